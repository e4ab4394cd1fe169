"""What every method of a point is asked, and a method made ready: built, compiled, checked."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.draws import tokenized_codes
from benchmarks.methods import EVERY, METHODS, Beams, HashBitmap, Method, StaticCode, Unsupported
from benchmarks.methods.static_code import NAME
from benchmarks.process import Figures, timed
from genret import ItemFilter, TrieIndex, beam_search
from genret.config import ItemDecoderConfig
from genret.errors import GenretError
from genret.index import FilterStack
from genret.models import History, build_model
from genret.testing import (
    Answer,
    GivenLogits,
    RowBeams,
    SortedCatalog,
    check_answer,
    given,
    random_codes,
)
from genret.typing import Bool, Codes, Float

Search = Callable[[], Any]
MODELS = {
    "0.3M": (64, 4, 4, 4, 16, 192),
    "1M": (128, 4, 4, 4, 32, 384),
    "30M": (512, 8, 8, 8, 64, 1408),
    "300M": (1280, 16, 10, 10, 128, 3456),
    "1.7B": (2048, 28, 16, 8, 128, 6144),
}
"""Width, layers, heads, key heads, width of a head and of the MLP, by the number of parameters without the
codes' embeddings; the last one is Qwen3-1.7B's."""


def model_config(size: str, kind: str, codes_per_level: tuple[int, ...], max_items: int) -> Any:
    """Return the configuration of a model of a size."""
    width, layers, heads, kv_heads, head_dim, mlp_dim = MODELS[size]
    return ItemDecoderConfig(
        codes_per_level=codes_per_level, max_items=max_items, dtype="bfloat16", dropout=0.0,
        width=width, layers=layers, code_layers=2, heads=heads, kv_heads=kv_heads,
        head_dim=head_dim, mlp_dim=mlp_dim,
    ).as_kind(kind)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """A size at which methods are compared."""

    items: int  # |C|
    codes: int = 2048  # V
    depth: int = 8  # L
    batch: int = 2  # B
    beams: int = 70  # M
    kind: Literal["uniform", "zipf", "tokenized"] = "uniform"  # drawn, or made by our tokenizer
    filters: int = 0  # sets of allowed items in a batch, from nearly nothing to nearly everything
    seen: int = 0  # items that each request must not be answered
    inserted: float = 0.0  # share of the items that come when the index is built already
    methods: tuple[str, ...] = tuple(METHODS)  # the first is what the others are compared with
    model: str | None = None  # one of MODELS; None: logits are given and cost nothing
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

    def __init__(self, point: Point, drawn: Codes | None = None) -> None:
        self.sizes = (point.codes,) * point.depth
        if drawn is not None:
            pass
        elif point.kind == "tokenized":
            drawn = tokenized_codes(point.items, levels=point.depth, codebook=point.codes)
        else:
            drawn = random_codes(point.items, self.sizes, point.kind)
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
    catalog: SortedCatalog  # all items
    masks: list[np.ndarray]  # sets of allowed items by row of the catalog
    filter_of: np.ndarray  # int32, the set of each request
    seen: np.ndarray  # int32 [B, seen]
    model: Any
    history: Any

    @classmethod
    def of(cls, point: Point, *, codes: CodeSet | None = None) -> "Workload":
        """Draw the items (unless they are given), the rules and the logits."""
        if point.filters and point.inserted:
            raise GenretError("point: found filters and inserted items, expected one of them")
        codes = codes or CodeSet(point)
        rng = np.random.default_rng(3)
        shares = np.geomspace(0.95, 0.001, point.filters)
        masks = [rng.random(point.items) < share for share in shares]
        if point.model is None:
            model, history = GivenLogits.random(point.batch, point.beams, codes.sizes, seed=1)
        else:
            model, history = _transformer(point, codes)
        return cls(
            point=point, codes=codes, catalog=codes.catalog, masks=masks, model=model, history=history,
            filter_of=rng.permutation(point.batch).astype(np.int32) % max(1, point.filters),
            seen=rng.integers(0, point.items, (point.batch, point.seen)).astype(np.int32),
        )  # fmt: skip

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

    def theirs(self, rival: StaticCode) -> Any:
        """Search with STATIC's own code; return semantic IDs [B, M, L], of which some may not exist."""
        return rival.run(self.model, self.history, self.point.depth, self.point.beams).codes

    def judge_static(self, rival: StaticCode) -> Figures:
        """Return the items of STATIC's answer that do not exist, and the share of the exact ones in it."""
        answers = np.asarray(self.theirs(rival))
        invalid = int((~self.catalog.holds(answers)).sum())
        return {"static_invalid": invalid, "static_of_exact": self.judge(answers)["of_exact"]}

    def check(self, result: Any) -> None:
        """Refuse an answer of `beam_search` that is not the exact one."""
        check_answer(result, self.answers(), self.catalog.codes)

    def expected(self, of_items: bool) -> list[tuple[Codes, Float[np.ndarray, "M"]]]:
        """Return the codes and scores of brute force: of its beams, or of the items below them."""
        if of_items:
            return [(self.catalog.codes[rows], scores) for rows, scores in self.answers()]
        both = zip(self.answerable, self.exact or [], strict=True)
        return [(own.codes[beams.lo], beams.scores) for own, beams in both]

    def judge(
        self, codes: np.ndarray, real: Bool[np.ndarray, "B M"] | None = None, of_items: bool = False
    ) -> Figures:
        """Say which share of the answers (those that are ``real``) exist, and how many exact ones are there."""
        real = np.ones(codes.shape[:2], bool) if real is None else real
        held = np.stack([own.holds(codes[b]) for b, own in enumerate(self.answerable)]) & real
        figures: Figures = {"valid": float(held.sum() / max(1, real.sum()))}
        if self.exact is not None:
            hits = count = 0
            for mine, there, (right, _) in zip(codes, real, self.expected(of_items), strict=True):
                distinct = set(map(tuple, right.tolist()))
                hits += len(distinct & set(map(tuple, mine[there].tolist())))
                count += len(distinct)
            figures["of_exact"] = hits / max(1, count)
        return figures


def _transformer(point: Point, codes: CodeSet) -> tuple[Any, History]:
    config = model_config(str(point.model), "decoder_only", codes.sizes, 20)
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
    hold them. Each change is made twice; the second is timed, so what was compiled and can be used again
    is. A method that cannot take items up is rebuilt.
    """
    shuffled = np.random.default_rng(5).permutation(np.concatenate([base, late]))

    def rebuilt(codes: np.ndarray) -> Method:
        return type(method).build(SortedCatalog.of(codes).codes, work.codes.sizes)

    refresh = getattr(method, "refresh", rebuilt)
    insert = getattr(method, "insert", lambda codes: rebuilt(np.concatenate([base, codes])))
    others = (late + 1) % np.asarray(work.codes.sizes, late.dtype)
    changed, asked = method, (work.model, work.history, work.point.depth, work.point.beams)
    for figure, change, codes in (
        ("refresh_s", refresh, shuffled), ("refresh_s", refresh, shuffled[::-1]),
        ("update_s", insert, others), ("update_s", insert, late),
    ):  # fmt: skip
        with timed(figures, figure):
            changed = change(codes)
            jax.block_until_ready(changed.run(*asked))
    return changed


def quality(method: Method, answer: Beams, work: Workload) -> Figures:
    """Judge an answer; refuse that of a method which calls itself exact where it is not brute force's."""
    codes, scores = np.asarray(answer.codes), np.asarray(answer.scores)
    real = scores > -np.inf
    if method.exact and work.exact is not None:
        for request, (items, right) in enumerate(work.expected(method.of_items)):
            mine = real[request]
            if not (
                np.array_equal(codes[request][mine], items)
                and np.array_equal(scores[request][mine], right)
            ):
                raise GenretError(
                    f"{method.name}: request {request}: not the answer of brute force"
                )
    return work.judge(codes, real, method.of_items)
