"""A whole job: from histories to a folder of Parquet files, by either engine."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

from genret.config import EngineConfig, ScoreConfig
from genret.errors import GenretError
from genret.scoring._engine import Done, score_shards
from genret.scoring._finish import finish
from genret.scoring._job import LOCK, Job, Shard
from genret.scoring._locations import find_files
from genret.typing import PathLike

Progress = Callable[[int, str], object]
_SMALL_JOB = 4 << 20
"""Bytes of histories below which compiling more programs costs more than it saves."""


@dataclasses.dataclass(frozen=True)
class ScoreResult:
    """What a job did.

    Attributes:
      manifest: the contents of ``manifest.json``.
      users_scored_now: users that this call scored; a restart scores only what was left.
      seconds: how long this call took.
    """

    manifest: dict[str, Any]
    users_scored_now: int
    seconds: float

    @property
    def rejected(self) -> int:
        """Rows that were not scored."""
        return int(self.manifest["summary"]["rejected"])

    def lines(self) -> list[tuple[str, str]]:
        """Return what was found, in words and numbers."""
        summary = self.manifest["summary"]
        found: list[tuple[str, Any]] = [
            ("users", summary["users"]),
            ("of them with fewer than k items", summary["short_lists"]),
            ("rows rejected", summary["rejected"]),
            ("unknown items left out", summary["unknown_items"]),
            ("shards", len(summary["shards"])),
        ]
        if self.users_scored_now:
            speed = round(self.users_scored_now / self.seconds)
            found += [("scored now", self.users_scored_now), ("users a second", speed)]
        if summary.get("padding_waste") is not None:
            found.append(("padding", f"{summary['padding_waste']:.1%}"))
        if summary.get("programs"):
            found.append(("compiled programs", len(summary["programs"])))
        return [(name, f"{v:,}" if isinstance(v, int) else str(v)) for name, v in found]


def score(
    run: PathLike,
    histories: PathLike,
    out: PathLike,
    config: ScoreConfig | None = None,
    engine: EngineConfig | None = None,
    *,
    progress: Progress | None = None,
) -> ScoreResult:
    """Recommend to every user of some files, into a folder of Parquet files.

    Every user is answered once: a shard (input file) is written beside its place and renamed, so
    a job that was killed goes on with the shards that are left, and a second job in the same folder
    is refused. The content of the folder depends on the run, the histories and ``config`` alone,
    byte for byte on one kind of device: not on the engine, the size of batches, the number of
    devices or workers, or on what was interrupted.

    Args:
      run: the run folder, with ``catalog/``, ``codes/``, ``index/`` and ``model/``.
      histories: a file, a folder, or a pattern; Parquet, CSV or JSON lines, here or in an object
        store (``s3://…``). A row is a user and a list of item ids, or an event.
      out: the output folder, here or in an object store.
      config: what is computed; None: the defaults.
      engine: with what; None: the defaults.
      progress: called with a number of users, and what to say about speed and padding.

    Returns:
      The manifest and figures of this call.

    Raises:
      GenretError: bad input; a folder that another job uses, or that holds scores of another job; a
        shard that could not be read (the others are done: a restart tries it again).
    """
    config, engine = config or ScoreConfig(), engine or EngineConfig()
    start = time.perf_counter()
    if engine.engine == "ray":
        from genret.scoring._ray import platform_of, score_on_ray

        platform = platform_of(engine)
    else:
        import jax

        platform = jax.default_backend()
    job = Job.plan(run, histories, out, _with_widths(config, histories), platform)
    config = ScoreConfig.from_dict(job.document["config"])
    with job.out.lock(LOCK):
        todo = job.open()
        if not todo and job.is_finished:
            return ScoreResult(dataclasses.asdict(job.manifest()), 0, time.perf_counter() - start)
        meter = _Meter(job, todo, progress)
        if engine.engine == "ray":
            done = score_on_ray(run, job, todo, engine, meter.advance)
        else:
            done = _local(run, job, todo, config, engine, meter)
        failed = []
        for one in done:
            meter.finished(one)
            if one.error is not None:
                failed.append(one.error)
        if failed:
            more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            raise GenretError(
                f"{failed[0]}{more}: {len(failed)} of {len(job.shards)} shards could not be "
                f"scored; the others are done: repair or remove the input and start again"
            )
        manifest = finish(job, meter.figures(start))
    return ScoreResult(dataclasses.asdict(manifest), meter.users, time.perf_counter() - start)


def _with_widths(config: ScoreConfig, histories: PathLike) -> ScoreConfig:
    """Decide how many widths histories are padded to, by the size of the files."""
    if config.history_widths != "auto":
        return config
    places = find_files(histories)
    size = sum(place.filesystem.get_file_info(place.path).size or 0 for place in places)
    return dataclasses.replace(config, history_widths="one" if size < _SMALL_JOB else "several")


def _local(
    run: PathLike,
    job: Job,
    todo: list[Shard],
    config: ScoreConfig,
    engine: EngineConfig,
    meter: "_Meter",
) -> Iterator[Done]:
    """Score in this process."""
    from genret.scoring._scorer import Scorer

    if not todo:
        return
    scorer = Scorer.load(run, config, engine, meter.compiling)
    meter.scorer = scorer
    yield from score_shards(scorer, job, todo, meter.advance)


class _Meter:
    """Counts users, and says how fast it goes and how long it will take."""

    def __init__(self, job: Job, todo: list[Shard], progress: Progress | None) -> None:
        self.users = 0
        self.scorer: Any = None
        self._job, self._progress = job, progress
        self._start = time.perf_counter()
        self._shards, self._done = len(todo), 0
        whole = len(todo) == len(job.shards)
        self._total = job.rows if whole else None
        self._positions = self._padding = self._programs = 0

    def advance(self, users: int) -> None:
        """Count users."""
        self.users += users
        if self._progress is not None:
            self._progress(users, self.note())

    @contextlib.contextmanager
    def compiling(self, program: tuple[int, int]) -> Iterator[None]:
        """Say which program is compiled in the block, of how many that the job may need."""
        self._programs += 1
        if self._progress is not None:
            likely = 1 if self.scorer is None else len(self.scorer.engine.search.widths)
            most = max(likely, self._programs)
            self._progress(0, f"compiling program {self._programs} of {most}")
        yield

    def note(self) -> str:
        """Return speed, time to go, and padding."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        parts = [f"{self.users / seconds:,.0f} users/s"]
        share = self.users / self._total if self._total else self._done / max(self._shards, 1)
        if 0 < share <= 1:
            left = int(seconds * (1 - share) / share)
            parts.append(f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} to go")
        positions, padding = self._counts()
        if positions:
            parts.append(f"padding {padding / positions:.0%}")
        return ", ".join(parts)

    def finished(self, done: Done) -> None:
        """Count a shard."""
        self._done += 1
        if done.record is not None:
            self._positions += done.record["positions"]
            self._padding += done.record["padding"]

    def _counts(self) -> tuple[int, int]:
        if self.scorer is not None:
            return self.scorer.positions, self.scorer.padding
        return self._positions, self._padding

    def figures(self, start: float) -> dict[str, Any]:
        """Return the figures of this call for the manifest."""
        seconds = time.perf_counter() - start
        positions, padding = self._counts()
        figures: dict[str, Any] = {
            "seconds": round(seconds, 3),
            "users_per_second": round(self.users / seconds, 1),
            "padding_waste": round(padding / positions, 4) if positions else None,
        }
        if self.scorer is not None:
            figures["users_per_batch"] = self.scorer.users_per_batch
            figures["programs"] = [
                {"history": width, "excluded": wide, "compile_seconds": round(seconds, 2)}
                for (width, wide), seconds in self.scorer.programs.items()
            ]
        return figures
