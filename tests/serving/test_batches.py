"""Which requests become a batch while others are searched, without a cluster."""

import asyncio
import threading
import types
from typing import Any

import pytest

from genret.config import ServeConfig
from genret.serving._requests import Request

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]


class Slow:
    """A service whose searches each take until they are let go."""

    largest_batch = 2

    def __init__(self) -> None:
        self.begun: list[list[str]] = []
        self.let_go = [threading.Event() for _ in range(4)]

    def search(self, requests: list[Any]) -> Any:
        number = len(self.begun)
        self.begun.append(sorted(str(one.user) for one in requests))
        assert self.let_go[number].wait(90)
        return types.SimpleNamespace(answers=lambda: [{"to": one.user} for one in requests])


class AtOnce:
    """Takes the place of Ray's batches, which need a replica: what comes in one turn is a batch."""

    def __init__(self, replica: Any) -> None:
        self.answer = type(replica)._answer.__wrapped__
        self.replica, self.asked = replica, list[Any]()
        self.answers: asyncio.Future[Any] | None = None

    async def __call__(self, requests: list[Any]) -> Any:
        self.asked.append(requests)
        if len(self.asked) == 1:
            self.answers = asyncio.ensure_future(self.batch())
        number, answers = len(self.asked) - 1, self.answers
        assert answers is not None
        return (await answers)[number]

    async def batch(self) -> Any:
        await asyncio.sleep(0.05)
        asked, self.asked = self.asked, []
        return await self.answer(self.replica, asked)


async def until(reached: Any) -> None:
    """Return when something holds; the loop goes on meanwhile."""
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.01)


def test_a_full_batch_goes_while_another_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray.serve", reason="ray[serve] is not installed: pip install genret[ray]")
    from genret.serving import _ray

    slow = Slow()
    monkeypatch.setattr(_ray, "Service", lambda config: slow)
    config = ServeConfig(run="shop", most_users=2, wait_ms=1.0)

    async def ask() -> None:
        replica = _ray.Recommend(config.to_dict())
        replica._answer = AtOnce(replica)  # type: ignore[method-assign]
        tasks = []

        def asked(name: str) -> None:
            tasks.append(asyncio.ensure_future(replica._batched([Request(user=name)])))

        asked("a")
        await until(lambda: slow.begun == [["a"]])
        asked("b")
        await asyncio.sleep(0.2)
        assert slow.begun == [["a"]]  # one waits: they are no batch, and the search is not over
        asked("c")
        await until(lambda: slow.begun == [["a"], ["b", "c"]])  # two fill one
        asked("d")
        asked("e")
        await asyncio.sleep(0.2)
        assert len(slow.begun) == 2  # the next is full, but two are searched
        slow.let_go[0].set()
        await until(lambda: slow.begun[2:] == [["d", "e"]])
        asked("f")
        for each in slow.let_go[1:3]:
            each.set()
        await until(lambda: slow.begun[3:] == [["f"]])  # nothing is searched: it need not be full
        slow.let_go[3].set()
        assert await asyncio.gather(*tasks) == [[{"to": name}] for name in "abcdef"]
        assert (replica._inside, replica._taken, replica._searching) == (0, 0, 0)

    asyncio.run(ask())
