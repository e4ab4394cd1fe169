"""Scoring shards one after another: reading, decoding and writing go on at the same time."""

import collections
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from genret.config import ScoreConfig
from genret.errors import GenretError
from genret.scoring._histories import Encoded, Encoder, read_chunks
from genret.scoring._job import Job, Shard
from genret.scoring._locations import sha256
from genret.scoring._output import ShardWriter
from genret.scoring._scorer import Scorer

T = TypeVar("T")
_AHEAD = 2
"""Chunks that are read ahead, and that wait to be written."""

Advance = Callable[[int], object]


class Done(NamedTuple):
    """What became of a shard: its record, or why it could not be scored."""

    shard: Shard
    record: dict[str, Any] | None
    error: str | None


class _Part(NamedTuple):
    """A chunk of a shard; then, instead, its end: facts about the file, or an error."""

    shard: Shard
    users: Encoded | None = None
    facts: dict[str, Any] | None = None
    error: str | None = None


def score_shards(
    scorer: Scorer, job: Job, shards: Iterable[Shard], advance: Advance | None = None
) -> Iterator[Done]:
    """Score shards; a shard that cannot be read does not stop the others.

    Args:
      scorer: the scorer.
      job: the job.
      shards: the shards to do.
      advance: called with the number of users after each batch.

    Yields:
      What became of each shard, in order.

    Raises:
      GenretError: the output cannot be written.
    """
    config = ScoreConfig.from_dict(job.document["config"])
    item_ids = scorer.item_ids
    parts = _ahead(_parts(scorer, config, item_ids, shards))
    background = _Background()
    writer: ShardWriter | None = None
    finished: collections.deque[tuple[ShardWriter, Future[Done]]] = collections.deque()
    try:
        for part in parts:
            while finished and finished[0][1].done():
                yield finished[0][1].result()
                finished.popleft()
            if writer is None:
                writer = ShardWriter(job, part.shard, item_ids)
                started, padding, positions = time.perf_counter(), scorer.padding, scorer.positions
            if part.users is not None:
                users = part.users
                answers = scorer.score(users.histories, users.filter_of, progress=advance)
                background.do(writer.add, users, answers)
                continue
            if part.error is not None:
                background.do(writer.abort)
                finished.append((writer, background.do(Done, part.shard, None, part.error)))
            else:
                facts = {
                    "shard": part.shard.name,
                    **(part.facts or {}),
                    "decode_batch": scorer.group_size,
                    "seconds": round(time.perf_counter() - started, 3),
                    "positions": scorer.positions - positions,
                    "padding": scorer.padding - padding,
                }
                finished.append((writer, background.do(_finish, writer, part.shard, facts)))
            writer = None
        while finished:
            yield finished[0][1].result()
            finished.popleft()
    finally:
        parts.close()
        background.close()
        for unfinished in [w for w, _ in finished] + ([writer] if writer is not None else []):
            unfinished.abort()


def _finish(writer: ShardWriter, shard: Shard, facts: dict[str, Any]) -> Done:
    return Done(shard, writer.finish(facts), None)


def _parts(
    scorer: Scorer, config: ScoreConfig, item_ids: pa.Array, shards: Iterable[Shard]
) -> Iterator[_Part]:
    """Read and encode shards."""
    for shard in shards:
        encoder = Encoder(item_ids, config, scorer.filter_names, scorer.user_ids)
        try:
            with shard.place.local() as file:
                chunks = read_chunks(file, shard.place.uri, config, needs_times=scorer.needs_times)
                for chunk in chunks:
                    yield _Part(shard, users=encoder.encode(chunk))
                facts = {"input_bytes": file.stat().st_size, "input_sha256": sha256(file)}
            yield _Part(shard, facts=facts)
        except GenretError as e:
            yield _Part(shard, error=str(e))
        except OSError as e:
            yield _Part(shard, error=f"{shard.place.uri}: cannot be read: {e.strerror or e}")


def _ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield items that a thread prepares ahead."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = collections.deque(pool.submit(next, items, end) for _ in range(_AHEAD))
        try:
            while True:
                item = waiting.popleft().result()
                if item is end:
                    return
                waiting.append(pool.submit(next, items, end))
                yield item  # type: ignore[misc]
        finally:
            for future in waiting:
                future.cancel()
            pool.submit(getattr(items, "close", lambda: None)).result()


class _Background:
    """Does things in order in one thread; only so many wait, and nothing is done after a failure.

    A shard whose chunk could not be written must not be finished by what already waits.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: collections.deque[Future[Any]] = collections.deque()
        self._failure: BaseException | None = None

    def do(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Do something later; raise what went wrong with something before."""
        while len(self._waiting) > _AHEAD or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()
        future = self._pool.submit(self._unless_failed, function, *args)
        self._waiting.append(future)
        return future

    def _unless_failed(self, function: Callable[..., T], *args: Any) -> T:
        if self._failure is not None:
            raise self._failure
        try:
            return function(*args)
        except BaseException as e:
            self._failure = e
            raise

    def close(self) -> None:
        """Wait for what is being done, and drop the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)
