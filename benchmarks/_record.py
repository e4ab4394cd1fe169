"""Points and bars of a long benchmark: timed side by side, written as they come, resumed."""

import contextlib
import dataclasses
import json
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks._common import judge, write_json
from genret.errors import GenretError

TRACE, COMPILE = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/backend_compile_duration",
)
"""Events of ``jax.monitoring``."""

Figures = dict[str, Any]


def interleave(
    functions: Mapping[str, Callable[[], Any]],
    repeats: int,
    *,
    warm: int = 2,
    seconds: float = float("inf"),
    seconds_each: float = float("inf"),
    before: Callable[[], Any] | None = None,
    rehearse: bool = False,
) -> dict[str, Figures]:
    """Time functions in turn: each once, then each again, so that all meet the same moods.

    Args:
      functions: what to time; what each returns is waited for.
      repeats: rounds.
      seconds: no more rounds are begun after so long, once there are three.
      seconds_each: a function that took so long in all has no more rounds, once it has three: what
        lasts long is less noisy and need not hold up the others.
      warm: runs of each before that are not counted; the first one's time is kept, ``first_s``.
      before: run before each, untimed: every function then finds the caches and the cores in one
        state, whichever ran last.
      rehearse: run each function once untimed right before it is timed: what is timed is the
        function in use, its data in the caches and its threads awake. Else the shorter of two pays
        for what the longer left behind, in threads of another library that still spin, say.

    Returns:
      For each function the median and the quartiles in milliseconds, and each round's, the first
      round first.
    """
    first: dict[str, Figures] = {}
    for number in range(warm):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function())
            if number == 0:
                first[name] = {"first_s": time.perf_counter() - start}
    rounds: dict[str, list[float]] = {name: [] for name in functions}
    begun = time.perf_counter()
    for number in range(repeats):
        if number >= 3 and time.perf_counter() - begun > seconds:
            break
        for name, function in functions.items():
            if number >= 3 and sum(rounds[name]) > 1e3 * seconds_each:
                continue  # for good: its sum does not change
            if before is not None:
                jax.block_until_ready(before())
            if rehearse:
                jax.block_until_ready(function())
            start = time.perf_counter()
            jax.block_until_ready(function())
            rounds[name].append(1e3 * (time.perf_counter() - start))
    return {
        name: {
            "ms": statistics.median(times),
            "quartiles_ms": np.percentile(times, [25, 75]).tolist(),
            "rounds_ms": [round(t, 4) for t in times],
            **first.get(name, {}),
        }
        for name, times in rounds.items()
    }


@dataclasses.dataclass
class Compilations:
    """Programs traced and compiled since :func:`count_compilations` began."""

    traced: int = 0
    compiled: int = 0


@contextlib.contextmanager
def count_compilations() -> Iterator[Compilations]:
    """Count what JAX traces and compiles, whoever asks for it."""
    counts = Compilations()

    def listen(event: str, duration: float, **_: Any) -> None:
        counts.traced += event == TRACE
        counts.compiled += event == COMPILE

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield counts
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


class Record:
    """The JSON file of a run: every point as soon as it is there, then the bars.

    A point that fails is a point whose only figure is ``error``. A bar without all of its points
    is not met.

    Attributes:
      document: what is written.
    """

    def __init__(
        self,
        path: Path | None,
        heading: Mapping[str, Any],
        *,
        resume: bool = False,
        say: Callable[[str], None] = print,
    ) -> None:
        self.path, self.say = path, say
        self.document: dict[str, Any] = {**heading, "points": {}, "bars": {}, "verdicts": {}}
        if not resume:
            return
        if path is None:
            raise GenretError("resume: found no file to go on with, expected --json FILE")
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            if before.get("preset") != self.document["preset"]:
                raise GenretError(
                    f"{path}: is of preset {before.get('preset')!r}, "
                    f"expected {self.document['preset']!r}"
                )
            for part in ("points", "bars", "verdicts"):
                self.document[part] = before[part]
            self.document["resumed"] = before.get("resumed", 0) + 1

    def point(self, key: str, measure: Callable[[], Figures]) -> Figures:
        """Measure a point, unless it was measured before the run was cut off.

        Returns:
          Its figures; ``{"error": text}`` when it failed.
        """
        points = self.document["points"]
        if "error" in points.get(key, {"error": ""}):
            start = time.perf_counter()
            try:
                figures = measure()
            except Exception as e:  # a point must not take the others with it
                traceback.print_exc()
                figures = {"error": f"{type(e).__name__}: {str(e)[:500]}"}
            points[key] = figures | {"wall_s": round(time.perf_counter() - start, 1)}
            self.write()
            self.say(f"{key}: {summary(points[key])}")
        return points[key]

    def has(self, key: str) -> bool:
        """Say whether a point was measured."""
        return "error" not in self.document["points"].get(key, {"error": ""})

    def bar(
        self,
        name: str,
        points: list[Figures],
        value: Callable[[], Any],
        bar: float | None,
        *,
        at_most: bool = False,
    ) -> None:
        """Compute a figure from points and judge it.

        Args:
          name: of the bar.
          points: all that it needs; if one failed the bar is missed.
          value: the figure, of those points that did not fail.
          bar: what it should reach; None: it is only shown.
          at_most: it should be at most that.
        """
        errors = [point["error"] for point in points if "error" in point]
        try:
            found = value()
        except (ValueError, KeyError, statistics.StatisticsError) as e:
            found, errors = None, errors or [f"no figure: {e!r}"]
        self.document["bars"][name] = found
        self.document["verdicts"].pop(name, None)
        if errors or bar is not None:
            judged = {} if bar is None or found is None else judge(found, bar, at_most=at_most)
            missed: Figures = {"value": found, "bar": bar, "at_most": at_most, "met": False}
            if errors:
                judged = missed | {"errors": errors}
            self.document["verdicts"][name] = judged
        self.write()

    def write(self) -> None:
        """Write the file."""
        if self.path is not None:
            write_json(self.path, self.document)


def summary(figures: Figures) -> str:
    """Say the figures of a point in one line, without lists."""
    said = []
    for name, value in figures.items():
        if isinstance(value, dict) and "ms" in value:
            value = f"{value['ms']:.3f} ms"
        elif isinstance(value, float):
            value = f"{value:.3f}"
        elif isinstance(value, dict | list):
            continue
        said.append(f"{name} {value}")
    return ", ".join(said)


def good(points: list[Figures]) -> list[Figures]:
    """Return the points that did not fail."""
    return [point for point in points if "error" not in point]
