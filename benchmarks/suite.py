"""The suite: every method on the same logits and models, each answer checked before it is timed."""

import dataclasses
import gc
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.draws import floor
from benchmarks.methods import Method
from benchmarks.methods.static_code import NAME as STATIC_CODE
from benchmarks.methods.static_code import load
from benchmarks.record import Record
from benchmarks.timing import in_own_process, interleave, merge, more_than, times_of
from benchmarks.workload import Figures, Point, Workload, prepare, prepare_static, step
from genret.errors import GenretError

QUEUE = 6
"""Searches that are asked for before any is waited for."""

QUEUED_MS = 1000.0
"""A search that takes longer is not queued: the host's part of it is nothing."""


def run(
    points: Sequence[Point],
    record: Record,
    say: Callable[[str, Figures], object],
    static: Path | None = None,
    data: Path | None = None,
    profile: Path | None = None,
) -> None:
    """Measure the points that a run does not have yet; with a folder, trace some searches of each.

    The speed of a machine drifts for minutes. So the processes of a point are spread over the run:
    every point is measured by its first process, then every point by its second.

    Args:
      points: what to measure.
      record: the run; holds what was measured before, and takes what is measured now.
      say: called with the key and the figures of each whole point.
      static: checkout of the rival's own code.
      data: folder of the shipped code sets.
      profile: folder for the traces.
    """

    def whole(key: str, figures: Figures) -> None:
        say(key, record.add(key, figures))

    turns = max([1, *(point.processes for point in points)])
    for turn in range(turns):
        for number, point in enumerate(points):
            # All are whole in the last turn, in order.
            part = turn - turns + max(1, point.processes)
            if point.key in record.points or part < 0:
                continue
            folder = None if profile is None else profile / f"point_{number:02d}"
            if not point.processes:
                whole(point.key, measure(point, static, data, folder))
                continue
            parts = record.document["parts"].get(point.key, [])
            if part >= len(parts):
                try:
                    found = measure_part(point, part, static, data, folder)
                except BrokenProcessPool:
                    whole(point.key, _killed(point))
                    continue
                parts = record.add_part(point.key, found)
                record.say(f"{point.key}: process {len(parts)} of {point.processes}")
            if len(parts) == point.processes:
                figures = merge(parts) | {"sizes": _sizes(point)}
                beside_first(figures["methods"], point)
                whole(point.key, figures)


def measure_part(
    point: Point,
    number: int,
    static: Path | None = None,
    data: Path | None = None,
    profile: Path | None = None,
) -> Figures:
    """Measure a point's share of rounds in a fresh process.

    Args:
      point: what to measure, by ``point.processes`` processes in all.
      number: which of them this is. The first alone times the steps by level, and is traced.
      static: checkout of the rival's own code.
      data: folder of the shipped code sets.
      profile: folder for a trace.

    Returns:
      As :func:`measure`.

    Raises:
      BrokenProcessPool: the process was killed, as for memory.
    """
    share = dataclasses.replace(
        point,
        seconds=point.seconds / point.processes,
        repeats=math.ceil(point.repeats / point.processes),
        by_level=point.by_level and number == 0,
    )
    return in_own_process(measure, share, static, data, profile if number == 0 else None)


def _killed(point: Point) -> Figures:
    error = "MemoryError: the process of this point was killed"
    return {"methods": {name: {"error": error} for name in point.methods}, "sizes": _sizes(point)}


def measure(
    point: Point,
    static: Path | None = None,
    data: Path | None = None,
    profile: Path | None = None,
) -> Figures:
    """Build, check and time the methods of a point.

    Args:
      point: what to measure.
      static: checkout of the rival's own code, timed where logits are given.
      data: folder of the shipped code sets.
      profile: folder for a trace of a few searches of each method, after the timing; None: none.

    Returns:
      The point's sizes, the floors, and for each method its figures, or ``error``: why there are
      none.
    """
    try:
        work = Workload.of(point, data)
    except GenretError as e:  # no data: the point is recorded, not dropped
        errors = {name: {"error": f"{type(e).__name__}: {e}"} for name in point.methods}
        return {"sizes": _sizes(point), "methods": errors}
    figures: dict[str, Figures] = {}
    built: dict[str, Method] = {}
    ready: dict[str, Callable[[], Any]] = {}
    for name in point.methods:
        figures[name], method, function = prepare(name, work)
        if method is not None and function is not None:
            built[name], ready[name] = method, function
    if static is not None and work.exact is not None:
        figures[STATIC_CODE], function = prepare_static(load(static), work)
        if function is not None:
            ready[STATIC_CODE] = function
    each = point.seconds / max(1, len(ready))
    before = None
    if point.model is None:
        before = ready["logsumexp"] = partial(floor, work.model, work.history)
    times = interleave(ready, point.repeats, warm=1, seconds_each=each, before=before)
    queued = {
        name: partial(_queue, function)
        for name, function in ready.items()
        if name in figures and times[name]["ms"] <= QUEUED_MS
    }
    rounds = 3 if point.processes > 1 else min(7, point.repeats)
    in_queue = interleave(queued, rounds, warm=1, seconds_each=each)
    if profile is not None:
        _trace(ready, profile)
    found: Figures = {"sizes": _sizes(point)}
    if point.model is None:
        found["floors"] = {
            "logsumexp_ms": times["logsumexp"]["ms"],
            "read_once_ms": _read_once_ms(work.model),
        }
    for name, own in figures.items():
        if name not in times:
            continue
        own |= {k: v for k, v in times[name].items() if k != "first_s"}
        own["rounds_ms"] = [own["rounds_ms"]]  # of this process
        own["step_ms"] = own["ms"] / point.depth
        if name in in_queue:
            own["queued_ms"] = in_queue[name]["ms"] / QUEUE
    if point.by_level and built:
        for name, levels in _by_level(built, work, before).items():
            figures[name]["level_ms"] = levels
    del built, ready, queued, before, work
    gc.collect()  # the next point's indices may be large
    return found | {"methods": beside_first(figures, point)}


def beside_first(figures: dict[str, Figures], point: Point) -> dict[str, Figures]:
    """Add to the figures of each method how its time stands to that of the point's first method."""
    first = figures.get(point.methods[0], {})
    if "rounds_ms" in first:
        for own in figures.values():
            if "rounds_ms" in own:
                own["over_first_ms"] = more_than(own, first) / point.depth
                own["times_first"] = times_of(own, first)
    return figures


def _queue(function: Callable[[], Any]) -> list[Any]:
    """Ask for several searches without waiting: what the device needs for one, without the host."""
    return [function() for _ in range(QUEUE)]


def _trace(functions: Mapping[str, Callable[[], Any]], folder: Path) -> None:
    """Trace three searches of each method, under its name; everything is compiled already."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # Python's own calls would fill the trace
    with jax.profiler.trace(folder, profiler_options=options):
        for name, function in functions.items():
            for number in range(3):
                with jax.profiler.StepTraceAnnotation(name, step_num=number):
                    jax.block_until_ready(function())


def _by_level(
    methods: Mapping[str, Method], work: Workload, before: Callable[[], Any] | None
) -> dict[str, list[float]]:
    """Time each step alone, where its search stands then; return milliseconds by level."""
    point, model = work.point, work.model
    found: dict[str, list[float]] = {name: [] for name in methods}
    logits, cache = model.prefill(work.history)
    states = {name: method.start(point.batch) for name, method in methods.items()}
    for level in range(point.depth):
        steps = {
            name: partial(step, method, logits, states[name], beams=point.beams)
            for name, method in methods.items()
        }
        each = point.seconds / point.depth / len(steps)
        times = interleave(steps, point.repeats, warm=1, seconds_each=each, before=before)
        for name, run_step in steps.items():
            found[name].append(times[name]["ms"])
            states[name] = run_step()
        if level + 1 < point.depth:  # logits are given: whatever the codes are
            some = next(iter(states.values()))
            logits, cache = model.step(some.codes[..., -1], some.parents, cache)
    return found


def _sizes(point: Point) -> Mapping[str, Any]:
    return {
        field.name: getattr(point, field.name)
        for field in dataclasses.fields(point)
        if field.name not in ("methods", "seconds", "by_level")
    }


def _read_once_ms(model: Any) -> float:
    """Return how long reading all logits once takes, at the speed of a copy of 64 MiB."""
    block = jnp.zeros(1 << 24, jnp.float32)
    copy = jax.jit(lambda x: x + 1)
    ms = interleave({"copy": lambda: copy(block)}, 5)["copy"]["ms"]
    per_byte = ms / (2 * block.nbytes)
    return per_byte * sum(x.nbytes for x in jax.tree.leaves(model))
