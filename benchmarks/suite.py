"""The suite: every method on the same logits and models, each answer checked before it is timed."""

import dataclasses
import gc
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._lines import Line, Lines
from benchmarks._oracle import Beams as Exact
from benchmarks._oracle import Catalogue, given
from benchmarks._record import interleave
from benchmarks._static import Static
from benchmarks._workloads import Kind, draw_codes, floor, given_logits
from benchmarks.decode import decode, step
from benchmarks.methods import METHODS, HashBitmap, Method
from benchmarks.models import Size, build_sized
from genret.errors import GenretError
from genret.models import History

Figures = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """A size at which methods are compared.

    Attributes:
      items: |C|.
      codes: V.
      depth: L.
      batch: B.
      beams: M.
      kind: how codes are drawn.
      methods: names; the first is what the others are compared with.
      model: None: logits are given and cost nothing.
      by_level: whether each step is also timed alone.
      repeats: rounds at most.
      seconds: no more rounds are begun after so long, once there are three.
    """

    items: int
    codes: int
    depth: int
    batch: int
    beams: int
    kind: Kind = "uniform"
    methods: tuple[str, ...] = tuple(METHODS)
    model: Size | None = None
    by_level: bool = False
    repeats: int = 60
    seconds: float = 25.0

    @property
    def key(self) -> str:
        """Name of the point, unique in a run."""
        model = "given logits" if self.model is None else self.model
        return (
            f"{model} |C|={self.items} V={self.codes} L={self.depth} "
            f"B={self.batch} M={self.beams} {self.kind}"
        )


def run(
    points: Sequence[Point],
    lines: Lines,
    say: Callable[[Line], object],
    static: Static | None = None,
) -> None:
    """Measure the points that a run does not have yet."""
    for point in points:
        if point.key not in lines.points:
            say(lines.add(point.key, measure(point, static)))


def measure(point: Point, static: Static | None = None) -> Figures:
    """Build, check and time the methods of a point.

    Args:
      point: what to measure.
      static: the rival's own code, timed where logits are given.

    Returns:
      The point's sizes, the floors, and for each method its figures, or ``error``: why there are
      none.
    """
    sizes = (point.codes,) * point.depth
    catalogue = Catalogue.of(draw_codes(point.items, sizes, point.kind, seed=0))
    model, history = _model(point, catalogue, sizes)
    exact = None
    if point.model is None:
        exact = [
            catalogue.search(given(model, history, b), point.beams) for b in range(point.batch)
        ]
    figures: dict[str, Figures] = {}
    built: dict[str, Method] = {}
    ready: dict[str, Callable[[], Any]] = {}
    for name in point.methods:
        figures[name], method, function = _prepare(
            name, point, catalogue, sizes, model, history, exact
        )
        if method is not None and function is not None:
            built[name], ready[name] = method, function
    if static is not None and exact is not None:
        name = "static (its code)"
        figures[name], function = _prepare_static(static, point, catalogue, model, history, exact)
        if function is not None:
            ready[name] = function
    if point.model is None:
        ready["logsumexp"] = lambda: floor(model, history)
    times = interleave(ready, point.repeats, warm=1, seconds=point.seconds)
    found: Figures = {"sizes": _sizes(point)}
    if point.model is None:
        found["floors"] = {
            "logsumexp_ms": times["logsumexp"]["ms"],
            "read_once_ms": _read_once_ms(model),
        }
    base = times.get(point.methods[0], {}).get("ms")
    for name, own in figures.items():
        if name not in times:
            continue
        own |= {k: v for k, v in times[name].items() if k != "first_s"} | {
            "step_ms": times[name]["ms"] / point.depth
        }
        if base is not None:
            own["over_first_ms"] = (own["ms"] - base) / point.depth
    if point.by_level and built:
        for name, levels in _by_level(built, model, history, point).items():
            figures[name]["level_ms"] = levels
    del built, ready
    gc.collect()  # the next point's indices may be large
    return found | {"methods": figures}


def _prepare(
    name: str,
    point: Point,
    catalogue: Catalogue,
    sizes: tuple[int, ...],
    model: Any,
    history: Any,
    exact: list[Exact] | None,
) -> tuple[Figures, Method | None, Callable[[], Any] | None]:
    """Build a method, compile and check its search; return its figures, itself and the search."""
    try:
        start = time.perf_counter()
        method = METHODS[name].build(catalogue.codes, sizes)
        jax.block_until_ready(method)
        figures: Figures = {"build_s": time.perf_counter() - start, "bytes": method.bytes}
        start = time.perf_counter()
        arguments = {"levels": point.depth, "beams": point.beams}
        compiled = decode.lower(method, model, history, **arguments).compile()
        figures["compile_s"] = time.perf_counter() - start
        start = time.perf_counter()
        answer = jax.block_until_ready(compiled(method, model, history))
        figures["first_s"] = time.perf_counter() - start
        figures |= quality(METHODS[name], answer, catalogue, exact)
        if isinstance(method, HashBitmap):
            figures["false_positive_rate"] = method.false_positive_rate
    except (GenretError, MemoryError, jax.errors.JaxRuntimeError) as e:
        return {"error": f"{type(e).__name__}: {str(e)[:300]}"}, None, None
    return figures, method, lambda: compiled(method, model, history)


def _by_level(
    methods: Mapping[str, Method], model: Any, history: Any, point: Point
) -> dict[str, list[float]]:
    """Time each step alone, where its search stands then; return milliseconds by level."""
    found: dict[str, list[float]] = {name: [] for name in methods}
    logits, cache = model.prefill(history)
    states = {name: method.start(point.batch) for name, method in methods.items()}
    for level in range(point.depth):
        steps = {
            name: partial(step, method, logits, states[name], beams=point.beams)
            for name, method in methods.items()
        }
        times = interleave(steps, point.repeats, warm=1, seconds=point.seconds / point.depth)
        for name, run_step in steps.items():
            found[name].append(times[name]["ms"])
            states[name] = run_step()
        if level + 1 < point.depth:  # logits are given: whatever the codes are
            some = next(iter(states.values()))
            logits, cache = model.step(some.codes[..., -1], some.parents, cache)
    return found


def _prepare_static(
    static: Static,
    point: Point,
    catalogue: Catalogue,
    model: Any,
    history: Any,
    exact: list[Exact],
) -> tuple[Figures, Callable[[], Any] | None]:
    """Do the same with STATIC's own code, which is a whole search and answers without scores."""
    try:
        start = time.perf_counter()
        index = static.index(catalogue.codes, point.codes)
        jax.block_until_ready(index.arrays)
        figures: Figures = {"build_s": time.perf_counter() - start, "bytes": index.nbytes}
        start = time.perf_counter()
        answers = np.asarray(static.decode(model, history, index, point.beams))
        figures["compile_s"] = time.perf_counter() - start  # the first search is in it
    except Exception as e:  # whatever it raises is its answer
        return {"error": f"{type(e).__name__}: {str(e)[:300]}"}, None
    figures["valid"] = float(catalogue.holds(answers).mean())
    figures["of_exact"] = _found(
        answers, [np.ones(point.beams, bool)] * len(exact), catalogue, exact
    )
    return figures, lambda: static.decode(model, history, index, point.beams)


def quality(
    method: type[Method], answer: Any, catalogue: Catalogue, exact: list[Exact] | None
) -> Figures:
    """Say how much of the exact answer was found, and how much of the answer exists.

    Raises:
      GenretError: a method that calls itself exact answered something else.
    """
    codes, scores = np.asarray(answer.codes), np.asarray(answer.scores)
    real = scores > -np.inf
    held = catalogue.holds(codes) & real
    figures: Figures = {"valid": float(held.sum() / max(1, real.sum()))}
    if exact is None:
        return figures
    for request, beams in enumerate(exact):
        mine = real[request]
        if method.exact and not (
            np.array_equal(codes[request][mine], catalogue.codes[beams.lo])
            and np.array_equal(scores[request][mine], beams.scores)
        ):
            raise GenretError(f"{method.name}: request {request}: not the answer of brute force")
    return figures | {"of_exact": _found(codes, real, catalogue, exact)}


def _found(codes: Any, real: Any, catalogue: Catalogue, exact: list[Exact]) -> float:
    """Return the share of the exact beams that were found."""
    hits = wanted = 0
    for request, beams in enumerate(exact):
        right = set(map(tuple, catalogue.codes[beams.lo].tolist()))
        hits += len(right & set(map(tuple, codes[request][real[request]].tolist())))
        wanted += len(right)
    return hits / max(1, wanted)


def _model(point: Point, catalogue: Catalogue, sizes: tuple[int, ...]) -> tuple[Any, Any]:
    if point.model is None:
        return given_logits(point.batch, point.beams, sizes, seed=1)
    model = build_sized(point.model, sizes)
    rng = np.random.default_rng(2)
    length = model.config.max_items
    items = rng.integers(0, len(catalogue.codes), point.batch * length)
    offsets = np.arange(point.batch + 1) * length
    return model, History.from_items(catalogue.codes, offsets, items, max_items=length)


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
