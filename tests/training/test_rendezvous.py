"""Processes that meet: all come, or each that came hears what is wrong."""

import socket
import threading

import pytest

from genret.config import ProcessesConfig
from genret.errors import GenretError
from genret.training._rendezvous import meet


def free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])


def heard(*who: tuple[int, int], timeout: float = 20.0) -> list[str]:
    """Let processes (number, how many there are) meet; return what each hears, "" for a go."""
    address, said = ("localhost", free_port()), [""] * len(who)

    def come(place: int, number: int, count: int) -> None:
        try:
            meet(address, count, number, timeout)
        except GenretError as e:
            said[place] = str(e)

    threads = [
        threading.Thread(target=come, args=(place, *process)) for place, process in enumerate(who)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_all_come() -> None:
    assert heard((2, 3), (0, 3), (1, 3)) == ["", "", ""]


def test_one_that_never_comes_is_named_to_all() -> None:
    expected = "process 2 of 4 did not come within 1 s; start all processes, with numbers from 0"
    assert heard((0, 4), (1, 4), (3, 4), timeout=1.0) == [expected] * 3


def test_without_process_0_nobody_waits_for_ever() -> None:
    (said,) = heard((1, 2), timeout=0.3)
    assert said.startswith("process 0 of 2 did not come to localhost:")


def test_processes_that_count_differently() -> None:
    expected = "num_processes: found 3 in process 1, expected 2 as process 0 has"
    assert heard((0, 2), (1, 3)) == [expected] * 2


def test_a_number_that_comes_twice() -> None:
    said = heard((0, 3), (1, 3), (1, 3))
    assert said == ["process_id: found 1 in two processes, expected it in one"] * 3


def test_strangers_are_not_counted() -> None:
    port, said = free_port(), []
    waiting = threading.Thread(target=lambda: said.append(meet(("localhost", port), 2, 0, 20.0)))
    waiting.start()
    for sent in (b"GET / HTTP/1.1\r\n\r\n", b'{"process": "1"}\n', b"\xff\n"):
        while True:
            try:
                with socket.create_connection(("localhost", port), timeout=5) as stranger:
                    stranger.sendall(sent)
                break
            except ConnectionRefusedError:
                continue
    meet(("localhost", port), 2, 1, 20.0)
    waiting.join()
    assert said == [None]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_processes": 2}, "coordinator: found none with num_processes"),
        ({"coordinator": "auto", "process_id": 0}, "coordinator: found auto with"),
        ({"coordinator": "host", "num_processes": 2, "process_id": 0}, "expected HOST:PORT"),
        ({"coordinator": "host:99999", "num_processes": 2, "process_id": 0}, "expected HOST:PORT"),
        ({"coordinator": "host:80", "process_id": 0}, "num_processes: found None"),
        ({"coordinator": "host:80", "num_processes": 2, "process_id": 2}, "expected 0 to 1"),
        ({"join_timeout": 0}, "join_timeout: found 0"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(GenretError, match=message):
        ProcessesConfig(**options)  # type: ignore[arg-type]
