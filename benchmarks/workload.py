"""What every method of a point is asked, and a method made ready: built, compiled, checked."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.draws import Kind, draw_codes
from benchmarks.methods import EVERY, METHODS, Beams, HashBitmap, Method, StaticCode, Unsupported
from benchmarks.methods.static_code import NAME
from benchmarks.process import Figures, timed
from genret import ItemFilter, TrieIndex, beam_search
from genret.config import DecoderOnlyConfig
from genret.errors import GenretError
from genret.index import FilterStack
from genret.models import History, build_model
from genret.testing import Answer, GivenLogits, RowBeams, SortedCatalog, check_answer, given
from genret.typing import Bool, Codes

Search = Callable[[], Any]
ModelSize = Literal["0.3M", "30M", "300M"]
MODELS = dict(
    zip(
        get_args(ModelSize),
        ((64, 4, 4, 16, 192), (512, 8, 8, 64, 1408), (1280, 16, 10, 128, 3456)),
        strict=True,
    )
)
"""Width, layers, heads, width of a head and of the MLP; parameters without the codes' embeddings."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """A size at which methods are compared."""

    items: int  # |C|
    codes: int = 2048  # V
    depth: int = 8  # L
    batch: int = 2  # B
    beams: int = 70  # M
    kind: Kind = "uniform"  # how codes are drawn
    filters: int = 0  # sets of allowed items in a batch, from nearly nothing to nearly everything
    seen: int = 0  # items that each request must not be answered
    inserted: float = 0.0  # share of the items that come when the index is built already
    methods: tuple[str, ...] = tuple(METHODS)  # the first is what the others are compared with
    model: ModelSize | None = None  # None: logits are given and cost nothing
    repeats: int = 150  # rounds at most
    processes: int = 0  # fresh processes that share the rounds; 0: the calling process measures
    seconds: float = 40.0  # of all methods; one that used its share has no more rounds after three

    @property
    def size(self) -> str:
        """Name of the size."""
        more = f" filters={self.filters}" if self.filters else ""
        more += f" seen={self.seen}" if self.seen else ""
        more += f" inserted={self.inserted:g}" if self.inserted else ""
        return (
            f"|C|={self.items} V={self.codes} L={self.depth} "
            f"B={self.batch} M={self.beams} {self.kind}{more}"
        )

    @property
    def key(self) -> str:
        """Name of the point, unique in a run."""
        return f"{'given logits' if self.model is None else self.model} {self.size}"

    def sizes(self) -> Figures:
        """Return what the point is, as JSON values."""
        left_out = ("methods", "seconds")
        return {name: x for name, x in dataclasses.asdict(self).items() if name not in left_out}


class CodeSet:
    """The semantic IDs of a point, sorted, and both indices of them, made when they are first asked for."""

    def __init__(self, point: Point, data: Path | None = None, drawn: Codes | None = None) -> None:
        self.sizes = (point.codes,) * point.depth
        if drawn is None:
            drawn = draw_codes(point.items, self.sizes, point.kind, data=data)
        self.catalog = SortedCatalog.of(drawn)

    @functools.cached_property
    def index(self) -> TrieIndex:
        """Ours."""
        return TrieIndex.from_codes(self.catalog.codes, codes_per_level=self.sizes)

    @functools.cached_property
    def rival(self) -> StaticCode:
        """STATIC's."""
        return StaticCode.build(self.catalog.codes, self.sizes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """What every method of a point is given."""

    point: Point
    codes: CodeSet
    masks: list[np.ndarray]  # sets of allowed items by row of the catalog
    filter_of: np.ndarray  # int32, the set of each request
    seen: np.ndarray  # int32 [B, seen]
    model: Any
    history: Any

    @classmethod
    def of(
        cls, point: Point, data: Path | None = None, *, codes: CodeSet | None = None, seed: int = 1
    ) -> "Workload":
        """Draw the items (unless they are given), the rules and the logits."""
        if point.filters and point.inserted:
            raise GenretError("point: found filters and inserted items, expected one of them")
        codes = codes or CodeSet(point, data)
        rng = np.random.default_rng(3)
        shares = np.geomspace(0.95, 0.001, point.filters)
        masks = [rng.random(point.items) < share for share in shares]
        if point.model is None:
            model, history = GivenLogits.random(point.batch, point.beams, codes.sizes, seed=seed)
        else:
            model, history = _transformer(point, codes)
        return cls(
            point=point, codes=codes, masks=masks, model=model, history=history,
            filter_of=rng.permutation(point.batch).astype(np.int32) % max(1, point.filters),
            seen=rng.integers(0, point.items, (point.batch, point.seen)).astype(np.int32),
        )  # fmt: skip

    @property
    def catalog(self) -> SortedCatalog:
        """All items."""
        return self.codes.catalog

    @functools.cached_property
    def answerable(self) -> list[SortedCatalog]:
        """The items that each request may be answered."""
        if not self.masks and not self.point.seen:
            return [self.catalog] * self.point.batch
        allowed = np.ones((self.point.batch, self.point.items), bool)
        for own, number, seen in zip(allowed, self.filter_of, self.seen, strict=True):
            own &= self.masks[number] if self.masks else True
            own[seen] = False
        return [SortedCatalog.of(self.catalog.codes, own) for own in allowed]

    @functools.cached_property
    def exact(self) -> list[RowBeams] | None:
        """What brute force answers each request; None where a model's logits are not exact."""
        if self.point.model is not None:
            return None
        return [
            own.search(given(self.model, self.history, b), self.point.beams)
            for b, own in enumerate(self.answerable)
        ]

    def answers(self) -> list[Answer]:
        """Return the items that brute force answers, by row of the catalog, and their scores."""
        found = []
        for own, beams in zip(self.answerable, self.exact or [], strict=True):
            rows, scores = beams.items(self.point.beams)
            found.append((rows if own is self.catalog else own.positions[rows], scores))
        return found

    def rules(self, index: TrieIndex) -> dict[str, Any]:
        """Return what a search of an index is told of filters and seen items."""
        rules: dict[str, Any] = {}
        if self.masks:
            filters = [ItemFilter.from_mask(index, mask) for mask in self.masks]
            rules |= {"filters": FilterStack.of(index, filters), "filter_of": self.filter_of}
        return rules | ({"exclude": self.seen} if self.point.seen else {})

    @functools.cached_property
    def options(self) -> dict[str, Any]:
        """The rules of this point, for a search of its own index."""
        return self.rules(self.codes.index)

    def ours(self) -> Any:
        """Search as users do."""
        return beam_search(
            self.model, self.history, self.codes.index, beams=self.point.beams, **self.options
        )

    def theirs(self, rival: StaticCode | None = None) -> Any:
        """Search with STATIC's own code; return semantic IDs [B, M, L], of which some may not exist."""
        rival = rival or self.codes.rival
        return rival.run(self.model, self.history, self.point.depth, self.point.beams).codes

    def judge_static(self, rival: StaticCode | None = None) -> Figures:
        """Return the items of STATIC's answer that do not exist, and the share of the exact ones in it."""
        answers = np.asarray(self.theirs(rival))
        invalid = int((~self.catalog.holds(answers)).sum())
        return {"static_invalid": invalid, "static_of_exact": self.judge(answers)["of_exact"]}

    def check(self, result: Any) -> None:
        """Refuse an answer of `beam_search` that is not the exact one."""
        check_answer(result, self.answers(), self.catalog.codes)

    def judge(self, codes: np.ndarray, real: Bool[np.ndarray, "B M"] | None = None) -> Figures:
        """Say which share of the answers (those that are ``real``) exist, and how many exact ones are there."""
        real = np.ones(codes.shape[:2], bool) if real is None else real
        held = np.stack([own.holds(codes[b]) for b, own in enumerate(self.answerable)]) & real
        figures: Figures = {"valid": float(held.sum() / max(1, real.sum()))}
        if self.exact is not None:
            hits = 0
            for b, (own, beams) in enumerate(zip(self.answerable, self.exact, strict=True)):
                right = set(map(tuple, own.codes[beams.lo].tolist()))
                hits += len(right & set(map(tuple, codes[b][real[b]].tolist())))
            figures["of_exact"] = hits / max(1, sum(len(beams.lo) for beams in self.exact))
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


def prepare(name: str, work: Workload) -> tuple[Figures, Method | None, Search | None]:
    """Build a method, compile and check its search; return its figures, itself and the search."""
    figures: Figures = {}
    # Whatever STATIC's own code raises is its answer.
    caught = Exception if name == NAME else (GenretError, MemoryError, jax.errors.JaxRuntimeError)
    try:
        method = _built(EVERY[name], work, figures)
        figures["bytes"] = method.bytes
        with timed(figures, "compile_s"):
            search = method.compiled(work.model, work.history, work.point.depth, work.point.beams)
        with timed(figures, "first_s"):
            answer = jax.block_until_ready(search())
        figures |= quality(method, answer, work)
        if isinstance(method, HashBitmap):
            figures["false_positive_rate"] = method.false_positive_rate
    except caught as e:
        return {"error": f"{type(e).__name__}: {str(e)[:300]}"}, None, None
    return figures, method, search


def _built(kind: type[Method], work: Workload, figures: Figures) -> Method:
    """Build the index of a method, with the items that come late and the filters."""
    late = np.zeros(work.point.items, bool)
    count = round(work.point.inserted * work.point.items)
    late[np.random.default_rng(4).permutation(work.point.items)[:count]] = True
    base, more = work.catalog.codes[~late], work.catalog.codes[late]
    with timed(figures, "build_s"):
        method = kind.build(base, work.codes.sizes)
        jax.block_until_ready(method)
    if len(more):
        method = _updated(method, work, base, more, figures)
    if work.masks:
        restrict = getattr(method, "restrict", None)
        if restrict is None:
            raise Unsupported(f"{kind.name}: needs an index for each set of allowed items")
        with timed(figures, "restrict_s"):
            method = jax.block_until_ready(restrict(work.masks, work.filter_of))
    return method


def _updated(
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
        return type(method).build(SortedCatalog.of(codes).codes, work.codes.sizes)

    refresh = getattr(method, "refresh", rebuilt)
    insert = getattr(method, "insert", lambda codes: rebuilt(np.concatenate([base, codes])))
    others = (late + 1) % np.asarray(work.codes.sizes, late.dtype)
    changed = method
    for figure, change, codes in (
        ("refresh_s", refresh, rng.permutation(everything)),
        ("refresh_s", refresh, rng.permutation(everything)),
        ("update_s", insert, others),
        ("update_s", insert, late),
    ):
        with timed(figures, figure):
            changed = change(codes)
            sizes = work.point.depth, work.point.beams
            jax.block_until_ready(changed.run(work.model, work.history, *sizes))
    return changed


def quality(method: Method, answer: Beams, work: Workload) -> Figures:
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
