"""Behind Ray Serve: answers over HTTP, and errors in JSON."""

import contextlib
import json
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from genret.errors import GenretError
from genret.pipeline import remove_items
from genret.recommend import Recommender
from genret.serving import app, refresh
from tests.serving.conftest import FILTERS
from tests.training.test_rendezvous import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]


class Client:
    """Sends requests to the service."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"

    def wait(self) -> None:
        """Return when the proxy answers."""
        while True:
            with contextlib.suppress(OSError):
                if self(method="GET")[0] == 200:
                    return
            time.sleep(0.2)

    def __call__(self, body: Any = None, method: str = "POST") -> tuple[int, Any]:
        """Return the status and the JSON of an answer; its text where that is none."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        asked = urllib.request.Request(
            self.url, data=None if method == "GET" else data, method=method
        )
        try:
            with urllib.request.urlopen(asked, timeout=120) as found:
                return found.status, json.load(found)
        except urllib.error.HTTPError as e:
            text = e.read().decode()
            return e.code, json.loads(text) if text.startswith("{") else text


@pytest.fixture(scope="module")
def own_run(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run and a file of filters that may be changed."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(run, folder / "run")
    (folder / "filters.json").write_text(json.dumps(FILTERS))
    return folder / "run"


@pytest.fixture(scope="module")
def client(own_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Start the service with two replicas."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install genret[ray]")
    serve = pytest.importorskip("ray.serve", reason="ray[serve] is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        # A busy machine takes long to start a proxy, which Ray would kill and start anew.
        patch.setenv("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "200")
        patch.setenv("RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S", "60")
        patch.setenv("RAY_worker_niceness", "0")
        ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="error")
        port = free_port()
        with contextlib.suppress(TimeoutError):  # it goes on starting
            serve.start(http_options={"port": port})
        options = {
            "run": str(own_run), "filters": str(own_run.parent / "filters.json"), "k": 4,
            "beams": 8, "batch_sizes": [1, 4], "most_items": 12, "replicas": 2, "queue": 8,
        }  # fmt: skip
        serve.run(app(options), name="shop")
        client = Client(port)
        client.wait()
        yield client
        serve.shutdown()
        ray.shutdown()


def ids(answer: Any) -> list[int]:
    return [one["item_id"] for one in answer["items"]]


def test_answers_are_those_of_the_recommender(client: Client, run: Path) -> None:
    shop = Recommender.load(run)
    for history, name in ((["3", 4], "first"), ([], "last"), (["60"], None)):
        where = None if name is None else FILTERS[name]
        expected = shop.recommend(history, 4, beams=8, where=where)[0]
        status, found = client({"history": history, "filter": name})
        assert status == 200
        assert ids(found) == [one.id for one in expected]
    status, described = client(method="GET")
    assert (status, described["items"], described["filters"]) == (200, 60, ["first", "last"])


def test_several_users_in_one_request(client: Client) -> None:
    users: list[dict[str, Any]] = [
        {"history": ["3", "4"], "k": 2},
        {"filter": "last"},
        {"k": 1},
    ] * 3
    status, found = client({"requests": [*users, {"k": 9}, {"filter": "none"}]})
    assert status == 200
    *answers, wrong, unknown = found["answers"]
    assert [ids(one) for one in answers] == [ids(client(one)[1]) for one in users]
    assert wrong == {"error": "k: found 9, expected 1 to 4"}
    assert unknown == {"error": "filter: found 'none', expected one of first, last"}
    handle = serve_handle()
    assert handle.recommend_many.remote({"requests": users}).result()["answers"] == answers


def serve_handle() -> Any:
    """Return the service as other deployments of the cluster ask it."""
    from ray import serve

    return serve.get_app_handle("shop")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "request: "),
        ([], "request: found [], expected an object"),
        ({"k": 99}, "k: found 99, expected 1 to 4"),
        ({"filter": "none"}, "filter: found 'none', expected one of first, last"),
        ({"history": [None]}, "history[0]: found None"),
        ({"requests": [{}] * 257}, "requests: found 257, expected a list of 1 to 256 requests"),
    ],
)
def test_bad_requests_are_one_error_in_json(client: Client, body: Any, said: str) -> None:
    status, found = client(body)
    assert status == 400
    assert found["error"].startswith(said)
    assert client({}, "PUT")[0] == 405


def test_overload_is_refused_and_does_no_harm(client: Client) -> None:
    with ThreadPoolExecutor(100) as pool:
        statuses = [status for status, _ in pool.map(client, [{"history": ["3"]}] * 1000)]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 24  # two batches of each replica, and the queue
    assert client({"history": ["3"]})[0] == 200


def test_items_and_filters_change_while_it_answers(client: Client, own_run: Path) -> None:
    body = {"history": ["3"], "filter": "first"}
    gone = set(ids(client(body)[1]))
    ended = threading.Event()

    def keep_asking() -> list[int]:
        statuses = []
        while not ended.is_set():
            statuses.append(client(body)[0])
        return statuses

    with ThreadPoolExecutor(4) as pool:
        users = [pool.submit(keep_asking) for _ in range(4)]
        try:
            remove_items(own_run, ids=[str(item) for item in gone])
            conditions = FILTERS | {"new": "item_id <= 10"}
            (own_run.parent / "filters.json").write_text(json.dumps(conditions))
            described = refresh("shop")
            late = [client(body) for _ in range(50)]
            fresh = [client({"filter": "new"}) for _ in range(10)]
        finally:
            ended.set()
        assert {status for user in users for status in user.result()} == {200}
    assert [one["items"] for one in described] == [60 - len(gone)] * 2
    assert all(status == 200 and not gone.intersection(ids(found)) for status, found in late)
    assert all(status == 200 and max(ids(found)) <= 10 for status, found in fresh)

    (own_run.parent / "filters.json").write_text(json.dumps({"first": "no_such_column > 1"}))
    with pytest.raises(GenretError, match=r"2 of 2 replicas go on with what they had: .*no_such"):
        refresh("shop")
    assert client(body)[0] == 200
    with pytest.raises(GenretError, match="refresh: found no answer of the application 'none'"):
        refresh("none", timeout_s=10.0)
