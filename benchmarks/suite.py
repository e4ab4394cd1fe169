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
from benchmarks.methods import Method, step
from benchmarks.methods.static_code import NAME as STATIC_CODE
from benchmarks.methods.static_code import available
from benchmarks.process import Figures, in_own_process
from benchmarks.record import Record
from benchmarks.timing import interleave, merge, more_than, times_of
from benchmarks.workload import Point, Search, Workload, prepare
from genret.errors import GenretError

QUEUE = 6
"""Searches that are asked for before any is waited for."""

QUEUED_MS = 1000.0
"""A search that takes longer is not queued: the host's part of it is nothing."""


def run(
    points: Sequence[Point],
    record: Record,
    say: Callable[[str, Figures], object],
    data: Path | None = None,
) -> None:
    """Measure the points that a record does not have yet; ``say`` is told of each whole point.

    The speed of a machine drifts for minutes. So the processes of a point are spread over the run:
    every point is measured by its first process, then every point by its second.
    """
    turns = max([1, *(point.processes for point in points)])
    for turn in range(turns):
        for point in points:
            # All are whole in the last turn, in order.
            part = turn - turns + max(1, point.processes)
            if point.key in record.points or part < 0:
                continue
            figures = _part(point, part, record, data) if point.processes else measure(point, data)
            if figures is not None:
                say(point.key, record.add(point.key, figures))


def _part(point: Point, part: int, record: Record, data: Path | None) -> Figures | None:
    """Measure a point by one process more; return its figures once all of them have."""
    parts = record.document["parts"].get(point.key, [])
    if part >= len(parts):
        share = dataclasses.replace(
            point,
            seconds=point.seconds / point.processes,
            repeats=math.ceil(point.repeats / point.processes),
            by_level=point.by_level and part == 0,  # the first alone times the steps by level
        )
        try:
            found = in_own_process(measure, share, data)
        except BrokenProcessPool:
            return _failed(point, "MemoryError: the process of this point was killed")
        parts = record.add_part(point.key, found)
        record.say(f"{point.key}: process {len(parts)} of {point.processes}")
    if len(parts) < point.processes:
        return None
    figures = merge(parts) | {"sizes": point.sizes()}
    beside_first(figures["methods"], point)
    return figures


def measure(point: Point, data: Path | None = None) -> Figures:
    """Build, check and time the methods of a point.

    Args:
      point: the point.
      data: folder of the shipped code sets.

    Returns:
      The point's ``sizes``, the ``floors``, and of each of the ``methods`` its figures, or ``error``: why
      there are none.
    """
    try:
        work = Workload.of(point, data)
    except GenretError as e:  # no data: the point is recorded, not dropped
        return _failed(point, f"{type(e).__name__}: {e}")
    figures: dict[str, Figures] = {}
    built: dict[str, Method] = {}
    ready: dict[str, Search] = {}
    # STATIC's own code is timed where there is a checkout of it, and logits are given.
    rival = (STATIC_CODE,) if available() and point.model is None else ()
    for name in (*point.methods, *rival):
        figures[name], method, search = prepare(name, work)
        if method is not None and search is not None:
            built[name], ready[name] = method, search
    each = point.seconds / max(1, len(ready))
    before = None
    if point.model is None:
        before = ready["logsumexp"] = partial(floor, work.model, work.history)
    times = interleave(ready, point.repeats, warm=1, seconds_each=each, before=before)
    queued = {
        name: partial(_queue, ready[name]) for name in built if times[name]["ms"] <= QUEUED_MS
    }
    rounds = 3 if point.processes > 1 else min(7, point.repeats)
    in_queue = interleave(queued, rounds, warm=1, seconds_each=each)
    found: Figures = {"sizes": point.sizes()}
    if point.model is None:
        least, once = times["logsumexp"]["ms"], _read_once_ms(work.model)
        found["floors"] = {"logsumexp_ms": least, "read_once_ms": once}
    for name, own in ((name, figures[name]) for name in built):
        own |= {k: v for k, v in times[name].items() if k != "first_s"}
        own["rounds_ms"] = [own["rounds_ms"]]  # of this process
        own["step_ms"] = own["ms"] / point.depth
        if name in in_queue:
            own["queued_ms"] = in_queue[name]["ms"] / QUEUE
    stepping = {name: method for name, method in built.items() if name != STATIC_CODE}
    if point.by_level and stepping:
        for name, levels in _by_level(stepping, work, before).items():
            figures[name]["level_ms"] = levels
    del built, stepping, ready, queued, before, work
    gc.collect()  # the next point's indices may be large
    return found | {"methods": beside_first(figures, point)}


def beside_first(figures: dict[str, Figures], point: Point) -> dict[str, Figures]:
    """Add to the figures of each method how its time stands to that of the point's first method."""
    first = figures.get(point.methods[0], {})
    for own in figures.values():
        if "rounds_ms" in own and "rounds_ms" in first:
            own["over_first_ms"] = more_than(own, first) / point.depth
            own["times_first"] = times_of(own, first)
    return figures


def _queue(search: Search) -> list[Any]:
    """Ask for several searches without waiting: what the device needs for one, without the host."""
    return [search() for _ in range(QUEUE)]


def _by_level(
    methods: Mapping[str, Method], work: Workload, before: Search | None
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


def _failed(point: Point, error: str) -> Figures:
    return {"sizes": point.sizes(), "methods": {name: {"error": error} for name in point.methods}}


def _read_once_ms(model: Any) -> float:
    """Return how long reading all logits once takes, at the speed of a copy of 64 MiB."""
    block = jnp.zeros(1 << 24, jnp.float32)
    copy = jax.jit(lambda x: x + 1)
    ms = interleave({"copy": lambda: copy(block)}, 5)["copy"]["ms"]
    return ms / (2 * block.nbytes) * sum(x.nbytes for x in jax.tree.leaves(model))
