"""Processes meet: each says its number to process 0, which says whether all of them came.

JAX's own service ends a process that waits in vain with a stack trace, and does not say which number
is missing. So the processes meet before they join that service, at its address.
"""

import contextlib
import json
import socket
import time

from genret.errors import GenretError

_GO = "go"
_MOST_BYTES = 4096


def meet(address: tuple[str, int], count: int, number: int, timeout: float) -> None:
    """Return when all processes are there.

    Args:
      address: host and port of process 0.
      count: processes.
      number: of this process.
      timeout: seconds to wait.

    Raises:
      GenretError: in all processes that came: some did not, one came twice, or they differ on how
        many there are.
    """
    end = time.monotonic() + timeout
    verdict = _receive(address, count, end) if number == 0 else _call(address, count, number, end)
    if verdict != _GO:
        raise GenretError(verdict)


def _receive(address: tuple[str, int], count: int, end: float) -> str:
    """Wait for the other processes, as process 0, and tell them how it went; return that."""
    waited = end - time.monotonic()
    came: dict[int, socket.socket] = {}
    try:
        server = socket.create_server(("", address[1]), backlog=count)
    except OSError as e:
        raise GenretError(f"coordinator: port {address[1]} cannot be used: {e.strerror}") from e
    with server, contextlib.ExitStack() as stack:
        verdict = _GO
        while len(came) < count - 1 and verdict == _GO:
            server.settimeout(max(0.01, end - time.monotonic()))
            try:
                caller, _ = server.accept()
            except TimeoutError:
                missing = [n for n in range(1, count) if n not in came]
                named = ", ".join(map(str, missing))
                verdict = (
                    f"process {named} of {count} did not come within {waited:.0f} s; start all "
                    "processes, with numbers from 0"
                )
                break
            stack.enter_context(caller)
            said = _read(caller, min(end, time.monotonic() + 5))
            if not isinstance(said, dict) or not isinstance(said.get("process"), int):
                continue  # whoever that is, it is none of the processes
            number, theirs = said["process"], said.get("of")
            if theirs != count:
                verdict = (
                    f"num_processes: found {theirs} in process {number}, expected {count} as "
                    "process 0 has"
                )
            elif number in came:
                verdict = f"process_id: found {number} in two processes, expected it in one"
            if came.setdefault(number, caller) is not caller:
                _write(caller, verdict)
        for caller in came.values():
            _write(caller, verdict)
    return verdict


def _call(address: tuple[str, int], count: int, number: int, end: float) -> str:
    """Say the number of this process to process 0; return what that says in the end."""
    host, port = address
    waited = end - time.monotonic()
    while True:
        with contextlib.suppress(OSError), socket.create_connection(address, 5) as process_0:
            _write(process_0, {"process": number, "of": count})
            said = _read(process_0, end + 10)  # process 0 may have begun to wait later
            if isinstance(said, str):
                return said
        if time.monotonic() > end:
            return f"process 0 of {count} did not come to {host}:{port} within {waited:.0f} s"
        time.sleep(0.1)


def _read(connection: socket.socket, end: float) -> object:
    """Return the JSON value that the other end sends as a line; None: it sent none."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _MOST_BYTES:
        connection.settimeout(max(0.01, end - time.monotonic()))
        try:
            more = connection.recv(_MOST_BYTES)
        except OSError:
            return None
        if not more:
            return None
        line += more
    try:
        found: object = json.loads(line)
    except ValueError:
        return None
    return found


def _write(connection: socket.socket, value: object) -> None:
    with contextlib.suppress(OSError):  # it is gone: it will be missed later
        connection.sendall(json.dumps(value).encode() + b"\n")
