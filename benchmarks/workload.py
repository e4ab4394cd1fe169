"""What every method of a point is asked, and a method made ready: built, compiled, checked."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.draws import Kind, draw_codes, given_logits
from benchmarks.methods import METHODS, Beams, HashBitmap, Method, Unsupported
from benchmarks.methods.static_code import TOKENS_PER_BEAM, Static
from benchmarks.oracle import Beams as Exact
from benchmarks.oracle import Catalog, check_answer, given
from genret import TrieIndex, beam_search
from genret.config import DecoderOnlyConfig
from genret.errors import GenretError
from genret.models import History, build_model
from genret.typing import Array, Codes, Float

Figures = dict[str, Any]
Search = Callable[[], Any]
ModelSize = Literal["0.3M", "30M", "300M"]
MODELS: dict[ModelSize, tuple[int, int, int, int, int]] = {
    "0.3M": (64, 4, 4, 16, 192),
    "30M": (512, 8, 8, 64, 1408),
    "300M": (1280, 16, 10, 128, 3456),
}
"""Width, layers, heads, width of a head and of the MLP; parameters without the codes' embeddings."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """A size at which methods are compared."""

    items: int  # |C|
    codes: int  # V
    depth: int  # L
    batch: int  # B
    beams: int  # M
    kind: Kind = "uniform"  # how codes are drawn
    filters: int = 0  # sets of allowed items in a batch, half of all items each
    inserted: float = 0.0  # share of the items that come when the index is built already
    methods: tuple[str, ...] = tuple(METHODS)  # the first is what the others are compared with
    model: ModelSize | None = None  # None: logits are given and cost nothing
    by_level: bool = False  # each step is also timed alone
    repeats: int = 150  # rounds at most
    processes: int = 0  # fresh processes that share the rounds; 0: the calling process measures
    seconds: float = 40.0  # of all methods; one that used its share has no more rounds after three

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


class CodeSet:
    """The semantic IDs of a point, sorted, and both indices of them, made when they are first asked for."""

    def __init__(self, point: Point, data: Path | None = None, drawn: Codes | None = None) -> None:
        self.sizes = (point.codes,) * point.depth
        if drawn is None:
            drawn = draw_codes(point.items, self.sizes, point.kind, data=data)
        self.catalog, self._rival = Catalog.of(drawn), None

    @classmethod
    def of_sizes(cls, items: int, codes: int, depth: int, kind: Kind = "uniform") -> "CodeSet":
        """Draw the code set of a size."""
        return cls(Point(items=items, codes=codes, depth=depth, batch=1, beams=1, kind=kind))

    @functools.cached_property
    def index(self) -> TrieIndex:
        """Ours."""
        return TrieIndex.from_codes(self.catalog.codes, codes_per_level=self.sizes)

    def rival(self, static: Static) -> Any:
        """STATIC's."""
        if self._rival is None:
            self._rival = static.index(self.catalog.codes, self.sizes[0])
        return self._rival


@functools.partial(jax.jit, static_argnames=("levels", "beams"))
def decode(method: Method, model: Any, history: Any, *, levels: int, beams: int) -> Beams:
    """Search with any method and any model, in one loop, so that only the step differs."""
    logits, cache = model.prefill(history)
    state = method.start(logits.shape[0])
    for level in range(levels):
        state = method.step(logits, state, beams)
        if level + 1 < levels:
            logits, cache = model.step(state.codes[..., -1], state.parents, cache)
    return state


@functools.partial(jax.jit, static_argnames="beams")
def step(method: Method, logits: Float[Array, "B m V"], state: Beams, *, beams: int) -> Beams:
    """Take one step alone."""
    return method.step(logits, state, beams)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """What every method of a point is given."""

    point: Point
    codes: CodeSet
    masks: list[np.ndarray]  # sets of allowed items by row of the catalog
    filter_of: list[int]  # the set of each request
    model: Any
    history: Any

    @classmethod
    def of(
        cls, point: Point, data: Path | None = None, *, codes: CodeSet | None = None, seed: int = 1
    ) -> "Workload":
        """Draw the items (unless they are given), the filters and the logits."""
        if point.filters and point.inserted:
            raise GenretError("point: found filters and inserted items, expected one of them")
        codes = codes or CodeSet(point, data)
        rng = np.random.default_rng(3)
        masks = [rng.random(point.items) < 0.5 for _ in range(point.filters)]
        filter_of = [b % point.filters for b in range(point.batch)] if masks else []
        if point.model is None:
            model, history = given_logits(point.batch, point.beams, codes.sizes, seed=seed)
        else:
            model, history = _transformer(point, codes)
        return cls(
            point=point, codes=codes, masks=masks, filter_of=filter_of, model=model, history=history
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes of each level."""
        return self.codes.sizes

    @property
    def catalog(self) -> Catalog:
        """All items."""
        return self.codes.catalog

    @functools.cached_property
    def answerable(self) -> list[Catalog]:
        """The items that each request may be answered."""
        allowed = [Catalog.of(self.catalog.codes, mask) for mask in self.masks]
        return (
            [allowed[n] for n in self.filter_of] if allowed else [self.catalog] * self.point.batch
        )

    @functools.cached_property
    def exact(self) -> list[Exact] | None:
        """What brute force answers each request; None where a model's logits are not exact."""
        return self.search() if self.point.model is None else None

    def search(self, *, legal: bool = False) -> list[Exact]:
        """Search by brute force; with ``legal``, normalized over the legal children."""
        return [
            own.search(given(self.model, self.history, b), self.point.beams, legal=legal)
            for b, own in enumerate(self.answerable)
        ]

    def ours(self, **options: Any) -> Any:
        """Search as users do."""
        own = {"beams": self.point.beams, **options}
        return beam_search(self.model, self.history, self.codes.index, **own)

    def theirs(self, static: Static, tokens_per_beam: int = TOKENS_PER_BEAM) -> Any:
        """Search with STATIC's own code; return semantic IDs [B, M, L], of which some may not exist."""
        rival, beams = self.codes.rival(static), self.point.beams
        return static.decode(self.model, self.history, rival, beams, tokens_per_beam)

    def check(self, result: Any) -> None:
        """Refuse an answer of `beam_search` that is not the exact one."""
        expected = [found.items(self.point.beams) for found in self.exact or []]
        check_answer(result, expected, self.catalog.codes)

    def of_exact(self, answers: Sequence[Codes]) -> float:
        """Return the share of the exact beams that are among the answers of each request."""
        exact = self.exact or []
        hits = [o.hits(*x) for o, *x in zip(self.answerable, answers, exact, strict=True)]
        return sum(hits) / max(1, sum(len(beams.lo) for beams in exact))

    def judge(self, codes: np.ndarray, real: np.ndarray) -> Figures:
        """Say which share of the answers (those that are ``real``) exist, and how many exact ones are there."""
        held = np.stack([own.holds(codes[b]) for b, own in enumerate(self.answerable)]) & real
        figures: Figures = {"valid": float(held.sum() / max(1, real.sum()))}
        if self.exact is not None:
            figures["of_exact"] = self.of_exact([codes[b][own] for b, own in enumerate(real)])
        return figures


def _transformer(point: Point, codes: CodeSet) -> tuple[Any, History]:
    assert point.model is not None
    width, layers, heads, head_dim, mlp_dim = MODELS[point.model]
    config = DecoderOnlyConfig(
        codes_per_level=codes.sizes, max_items=20, dtype="bfloat16", dropout=0.0, width=width,
        layers=layers, heads=heads, kv_heads=heads, head_dim=head_dim, mlp_dim=mlp_dim,
    )  # fmt: skip
    narrow = lambda x: x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x  # noqa: E731
    items = np.random.default_rng(2).integers(0, point.items, (point.batch, 20))
    history = History.from_items(codes.catalog.codes, items, max_items=20)
    return jax.tree.map(narrow, build_model(config, 0)), history


@contextmanager
def timed(figures: Figures, name: str) -> Iterator[None]:
    """Put the seconds that the block takes into the figures."""
    start = time.perf_counter()
    yield
    figures[name] = time.perf_counter() - start


def prepare(name: str, work: Workload) -> tuple[Figures, Method | None, Search | None]:
    """Build a method, compile and check its search; return its figures, itself and the search."""
    figures: Figures = {}
    try:
        method = _built(METHODS[name], work, figures)
        figures["bytes"] = method.bytes
        own = {"levels": work.point.depth, "beams": work.point.beams}
        with timed(figures, "compile_s"):
            compiled = decode.lower(method, work.model, work.history, **own).compile()
        with timed(figures, "first_s"):
            answer = jax.block_until_ready(compiled(method, work.model, work.history))
        figures |= quality(METHODS[name], answer, work)
        if isinstance(method, HashBitmap):
            figures["false_positive_rate"] = method.false_positive_rate
    except (GenretError, MemoryError, jax.errors.JaxRuntimeError) as e:
        return {"error": f"{type(e).__name__}: {str(e)[:300]}"}, None, None
    return figures, method, lambda: compiled(method, work.model, work.history)


def _built(kind: type[Method], work: Workload, figures: Figures) -> Method:
    """Build the index of a method, with the items that come late and the filters."""
    late = np.zeros(work.point.items, bool)
    count = round(work.point.inserted * work.point.items)
    late[np.random.default_rng(4).permutation(work.point.items)[:count]] = True
    base, more = work.catalog.codes[~late], work.catalog.codes[late]
    with timed(figures, "build_s"):
        method = kind.build(base, work.sizes)
        jax.block_until_ready(method)
    if len(more):
        method = updated(method, work, base, more, figures)
    if work.masks:
        restrict = getattr(method, "restrict", None)
        if restrict is None:
            raise Unsupported(f"{kind.name}: needs an index for each set of allowed items")
        with timed(figures, "restrict_s"):
            method = jax.block_until_ready(restrict(work.masks, work.filter_of))
    return method


def updated(
    method: Method, work: Workload, base: np.ndarray, late: np.ndarray, figures: Figures
) -> Method:
    """Let a method hold items that came later; add ``update_s`` and ``refresh_s`` to its figures.

    They are the times from the late codes, or from all codes in no order, to the first answer that could
    hold them. Each change is made twice, with other items of the same number; the second is timed: what
    was compiled for the first and can be used again is. A method that cannot take items up is rebuilt.
    """
    everything = np.concatenate([base, late])
    rng = np.random.default_rng(5)

    def rebuilt(codes: np.ndarray) -> Method:
        return type(method).build(Catalog.of(codes).codes, work.sizes)

    refresh = getattr(method, "refresh", rebuilt)
    insert = getattr(method, "insert", lambda codes: rebuilt(np.concatenate([base, codes])))
    others = (late + 1) % np.asarray(work.sizes, late.dtype)
    changed = method
    for figure, change, codes in (
        ("refresh_s", refresh, rng.permutation(everything)),
        ("refresh_s", refresh, rng.permutation(everything)),
        ("update_s", insert, others),
        ("update_s", insert, late),
    ):
        with timed(figures, figure):
            changed = change(codes)
            own = {"levels": work.point.depth, "beams": work.point.beams}
            jax.block_until_ready(decode(changed, work.model, work.history, **own))
    return changed


def prepare_static(static: Static, work: Workload) -> tuple[Figures, Search | None]:
    """Do the same with STATIC's own code, which is a whole search and answers without scores."""
    figures: Figures = {}
    try:
        if work.masks or work.point.inserted:
            raise Unsupported("static: has no filters and takes no items up")
        with timed(figures, "build_s"):
            index = work.codes.rival(static)
            jax.block_until_ready(index.arrays)
        figures["bytes"] = index.nbytes
        with timed(figures, "compile_s"):  # the first search is in it
            answers = np.asarray(work.theirs(static))
    except Exception as e:  # whatever it raises is its answer
        return {"error": f"{type(e).__name__}: {str(e)[:300]}"}, None
    real = np.ones(answers.shape[:2], bool)
    return figures | work.judge(answers, real), lambda: work.theirs(static)


def quality(method: type[Method], answer: Any, work: Workload) -> Figures:
    """Judge an answer; refuse that of a method which calls itself exact where it is not brute force's."""
    codes, scores = np.asarray(answer.codes), np.asarray(answer.scores)
    real = scores > -np.inf
    for request, beams in enumerate(work.exact or [] if method.exact else []):
        mine, items = real[request], work.answerable[request].codes[beams.lo]
        if not (
            np.array_equal(codes[request][mine], items)
            and np.array_equal(scores[request][mine], beams.scores)
        ):
            raise GenretError(f"{method.name}: request {request}: not the answer of brute force")
    return work.judge(codes, real)
