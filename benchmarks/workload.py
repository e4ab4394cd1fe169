"""What every method of a point is asked, and a method made ready: built, compiled, checked."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.draws import Kind, draw_codes, given_logits
from benchmarks.methods import METHODS, Beams, HashBitmap, Method, Unsupported
from benchmarks.methods.static_code import Static
from benchmarks.oracle import Beams as Exact
from benchmarks.oracle import Catalog, given
from genret.config import DecoderOnlyConfig
from genret.errors import GenretError
from genret.models import History, build_model
from genret.typing import Array, Float

Figures = dict[str, Any]
ModelSize = Literal["0.3M", "30M", "300M"]
MODELS: dict[ModelSize, dict[str, Any]] = {
    "0.3M": {"width": 64, "layers": 4, "heads": 4, "kv_heads": 4, "head_dim": 16, "mlp_dim": 192},
    "30M": {
        "width": 512, "layers": 8, "heads": 8, "kv_heads": 8, "head_dim": 64, "mlp_dim": 1408,
    },
    "300M": {
        "width": 1280, "layers": 16, "heads": 10, "kv_heads": 10, "head_dim": 128,
        "mlp_dim": 3456,
    },
}  # fmt: skip
"""Blocks of each decoder-only model, without the embeddings of the codes."""


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
      filters: sets of allowed items in a batch, half of all items each; 0: none.
      inserted: share of the items that come when the index is built already; 0: none.
      methods: names; the first is what the others are compared with.
      model: None: logits are given and cost nothing.
      by_level: whether each step is also timed alone.
      repeats: rounds at most.
      processes: fresh processes that share the rounds; 0: the calling process measures.
      seconds: of all methods together; one that used its share has no more rounds, once it has three.
    """

    items: int
    codes: int
    depth: int
    batch: int
    beams: int
    kind: Kind = "uniform"
    filters: int = 0
    inserted: float = 0.0
    methods: tuple[str, ...] = tuple(METHODS)
    model: ModelSize | None = None
    by_level: bool = False
    repeats: int = 150
    processes: int = 0
    seconds: float = 40.0

    @property
    def key(self) -> str:
        """Name of the point, unique in a run."""
        model = "given logits" if self.model is None else self.model
        more = f" filters={self.filters}" if self.filters else ""
        more += f" inserted={self.inserted:g}" if self.inserted else ""
        return (
            f"{model} |C|={self.items} V={self.codes} L={self.depth} "
            f"B={self.batch} M={self.beams} {self.kind}{more}"
        )


@partial(jax.jit, static_argnames=("levels", "beams"))
def decode(method: Method, model: Any, history: Any, *, levels: int, beams: int) -> Beams:
    """Search with any method and any model, in one loop, so that only the step differs."""
    logits, cache = model.prefill(history)
    state = method.start(logits.shape[0])
    for level in range(levels):
        state = method.step(logits, state, beams)
        if level + 1 < levels:
            logits, cache = model.step(state.codes[..., -1], state.parents, cache)
    return state


@partial(jax.jit, static_argnames="beams")
def step(method: Method, logits: Float[Array, "B m V"], state: Beams, *, beams: int) -> Beams:
    """Take one step alone."""
    return method.step(logits, state, beams)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """What every method of a point is given.

    Attributes:
      point: the sizes.
      sizes: codes of each level.
      catalog: all items.
      answerable: the items that each request may be answered.
      masks: sets of allowed items by row of the catalog.
      filter_of: the set of each request.
      model: what gives the logits.
      history: of the requests.
      exact: what brute force answers each request; None where a model's logits are not exact.
    """

    point: Point
    sizes: tuple[int, ...]
    catalog: Catalog
    answerable: list[Catalog]
    masks: list[np.ndarray]
    filter_of: list[int]
    model: Any
    history: Any
    exact: list[Exact] | None

    @classmethod
    def of(cls, point: Point, data: Any = None) -> "Workload":
        """Draw the items, the filters and the logits."""
        if point.filters and point.inserted:
            raise GenretError("point: found filters and inserted items, expected one of them")
        sizes = (point.codes,) * point.depth
        codes = draw_codes(point.items, sizes, point.kind, seed=0, data=data)
        catalog = Catalog.of(codes)
        rng = np.random.default_rng(3)
        masks = [rng.random(point.items) < 0.5 for _ in range(point.filters)]
        filter_of = [b % point.filters for b in range(point.batch)] if masks else []
        answerable = [catalog] * point.batch
        if masks:
            allowed = [Catalog.of(catalog.codes, mask) for mask in masks]
            answerable = [allowed[number] for number in filter_of]
        model, history = _model(point, catalog, sizes)
        exact = None
        if point.model is None:
            exact = [
                own.search(given(model, history, b), point.beams)
                for b, own in enumerate(answerable)
            ]
        return cls(
            point=point, sizes=sizes, catalog=catalog, answerable=answerable, masks=masks,
            filter_of=filter_of, model=model, history=history, exact=exact,
        )  # fmt: skip

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the codes that an index is built from, and those that come later."""
        late = np.zeros(self.point.items, bool)
        count = round(self.point.inserted * self.point.items)
        late[np.random.default_rng(4).permutation(self.point.items)[:count]] = True
        return self.catalog.codes[~late], self.catalog.codes[late]


def prepare(name: str, work: Workload) -> tuple[Figures, Method | None, Callable[[], Any] | None]:
    """Build a method, compile and check its search; return its figures, itself and the search."""
    point, kind = work.point, METHODS[name]
    try:
        base, late = work.parts()
        start = time.perf_counter()
        method = kind.build(base, work.sizes)
        jax.block_until_ready(method)
        figures: Figures = {"build_s": time.perf_counter() - start}
        if len(late):
            method, more = updated(method, work, base, late)
            figures |= more
        if work.masks:
            if not hasattr(method, "restrict"):
                raise Unsupported(f"{name}: needs an index for each set of allowed items")
            start = time.perf_counter()
            method = method.restrict(work.masks, work.filter_of)
            jax.block_until_ready(method)
            figures["restrict_s"] = time.perf_counter() - start
        figures["bytes"] = method.bytes
        start = time.perf_counter()
        arguments = {"levels": point.depth, "beams": point.beams}
        compiled = decode.lower(method, work.model, work.history, **arguments).compile()
        figures["compile_s"] = time.perf_counter() - start
        start = time.perf_counter()
        answer = jax.block_until_ready(compiled(method, work.model, work.history))
        figures["first_s"] = time.perf_counter() - start
        figures |= quality(kind, answer, work)
        if isinstance(method, HashBitmap):
            figures["false_positive_rate"] = method.false_positive_rate
    except (GenretError, MemoryError, jax.errors.JaxRuntimeError) as e:
        return {"error": f"{type(e).__name__}: {str(e)[:300]}"}, None, None
    return figures, method, lambda: compiled(method, work.model, work.history)


def updated(
    method: Method, work: Workload, base: np.ndarray, late: np.ndarray
) -> tuple[Method, Figures]:
    """Let a method hold items that came later, and say how long that takes.

    Times are from the codes to the first answer that could hold the new items. Each update is made
    twice, with other items of the same number; the second is timed: what was compiled for the first
    and can be used again is. A method that cannot take items up builds its index again.

    Returns:
      The method with all items; and ``update_s``, for the late items, and ``refresh_s``, for all
      items at once, from codes in no order.
    """
    everything = np.concatenate([base, late])
    counts = work.sizes

    def answer(changed: Method) -> None:
        arguments = {"levels": work.point.depth, "beams": work.point.beams}
        jax.block_until_ready(decode(changed, work.model, work.history, **arguments))

    def rebuilt(codes: np.ndarray) -> Method:
        return type(method).build(Catalog.of(codes).codes, counts)

    def insert(codes: np.ndarray) -> Method:
        if hasattr(method, "insert"):
            return method.insert(codes)
        return rebuilt(np.concatenate([base, codes]))

    def refresh(codes: np.ndarray) -> Method:
        return method.refresh(codes) if hasattr(method, "refresh") else rebuilt(codes)

    rng = np.random.default_rng(5)
    figures: Figures = {}
    others = {
        "refresh_s": (refresh, [rng.permutation(everything), rng.permutation(everything)]),
        "update_s": (insert, [(late + 1) % np.asarray(counts, late.dtype), late]),
    }
    changed = method
    for figure, (change, rounds) in others.items():
        for codes in rounds:
            start = time.perf_counter()
            changed = change(codes)
            answer(changed)
            figures[figure] = time.perf_counter() - start
    return changed, figures


def prepare_static(static: Static, work: Workload) -> tuple[Figures, Callable[[], Any] | None]:
    """Do the same with STATIC's own code, which is a whole search and answers without scores."""
    point, model, history = work.point, work.model, work.history
    try:
        if work.masks or point.inserted:
            raise Unsupported("static: has no filters and takes no items up")
        start = time.perf_counter()
        index = static.index(work.catalog.codes, point.codes)
        jax.block_until_ready(index.arrays)
        figures: Figures = {"build_s": time.perf_counter() - start, "bytes": index.nbytes}
        start = time.perf_counter()
        answers = np.asarray(static.decode(model, history, index, point.beams))
        figures["compile_s"] = time.perf_counter() - start  # the first search is in it
    except Exception as e:  # whatever it raises is its answer
        return {"error": f"{type(e).__name__}: {str(e)[:300]}"}, None
    figures["valid"] = float(work.catalog.holds(answers).mean())
    real = np.ones(answers.shape[:2], bool)
    figures["of_exact"] = _found(answers, real, work)
    return figures, lambda: static.decode(model, history, index, point.beams)


def quality(method: type[Method], answer: Any, work: Workload) -> Figures:
    """Say how much of the exact answer was found, and how much of the answer exists.

    Raises:
      GenretError: a method that calls itself exact answered something else.
    """
    codes, scores = np.asarray(answer.codes), np.asarray(answer.scores)
    real = scores > -np.inf
    held = np.stack([own.holds(codes[b]) for b, own in enumerate(work.answerable)]) & real
    figures: Figures = {"valid": float(held.sum() / max(1, real.sum()))}
    if work.exact is None:
        return figures
    for request, beams in enumerate(work.exact):
        mine = real[request]
        if method.exact and not (
            np.array_equal(codes[request][mine], work.answerable[request].codes[beams.lo])
            and np.array_equal(scores[request][mine], beams.scores)
        ):
            raise GenretError(f"{method.name}: request {request}: not the answer of brute force")
    return figures | {"of_exact": _found(codes, real, work)}


def _found(codes: Any, real: Any, work: Workload) -> float:
    """Return the share of the exact beams that were found."""
    hits = wanted = 0
    for request, beams in enumerate(work.exact or []):
        right = set(map(tuple, work.answerable[request].codes[beams.lo].tolist()))
        hits += len(right & set(map(tuple, codes[request][real[request]].tolist())))
        wanted += len(right)
    return hits / max(1, wanted)


def _model(point: Point, catalog: Catalog, sizes: tuple[int, ...]) -> tuple[Any, Any]:
    if point.model is None:
        return given_logits(point.batch, point.beams, sizes, seed=1)
    narrow = lambda x: x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x  # noqa: E731
    config = DecoderOnlyConfig(
        codes_per_level=sizes, max_items=20, dtype="bfloat16", dropout=0.0,
        **MODELS[point.model],
    )  # fmt: skip
    model = jax.tree.map(narrow, build_model(config, 0))
    items = np.random.default_rng(2).integers(0, len(catalog.codes), (point.batch, 20))
    return model, History.from_items(catalog.codes, items, max_items=20)
