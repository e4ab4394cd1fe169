"""What every method of a point is asked, and a method made ready: built, compiled, checked."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.methods import EVERY, METHODS, Beams, HashBitmap, Method, Ours, Unsupported
from benchmarks.methods.static_code import NAME
from benchmarks.process import Figures, timed
from genret.config import ItemDecoderConfig, TokenizeConfig
from genret.data import read_semantic_ids
from genret.errors import GenretError
from genret.json_files import read_json
from genret.models import History, build_model
from genret.pytree import register_pytree, static_field
from genret.testing import (
    Answer,
    GivenLogits,
    RowBeams,
    SortedCatalog,
    check_answer,
    given,
    random_codes,
)
from genret.tokenizers import RQKMeans
from genret.typing import Codes, Float

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


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Observed:
    """A model whose calls are told apart: each is traced inside of ``around(its name)``."""

    model: Any
    around: Callable[[str], contextlib.AbstractContextManager[Any]] = static_field()

    def prefill(self, history: Any) -> tuple[Any, Any]:
        """Read the histories."""
        with self.around("prefill"):
            return self.model.prefill(history)

    def step(self, codes: Any, parents: Any, cache: Any) -> tuple[Any, Any]:
        """Take a step."""
        with self.around(f"step{cache.level + 1}"):
            return self.model.step(codes, parents, cache)

    def score_tail(self, codes: Any, parents: Any, cache: Any) -> Any:
        """Score all that may follow."""
        with self.around("tail"):
            return self.model.score_tail(codes, parents, cache)


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


@jax.jit
def floor(model: GivenLogits, history: Any) -> list[Any]:
    """Compute the logsumexps of all logits and nothing else: what normalizing costs at least.

    In two passes over the logits and without a copy; ``jax.nn.logsumexp`` takes longer.
    """
    found = []
    for logits in (model.first[history][:, None], *model.later):
        largest = logits.max(axis=-1)
        found.append(jnp.log(jnp.exp(logits - largest[..., None]).sum(axis=-1)) + largest)
    return found


def real_codes(data: Path | None, name: str) -> Codes:
    """Read the semantic IDs of a folder with index.json (LC-Rec's form), int32 [N, L]."""
    if data is None:
        raise GenretError(f"data: found none, expected --data FOLDER with {name}/index.json")
    path = data / name / "index.json"
    return read_semantic_ids(path, read_json(path)).codes


def tokenized_codes(num_items: int, *, levels: int = 4, codebook: int = 256) -> Codes:
    """Tokenize made-up vectors by residual k-means, int32 [N, L].

    The vectors have topics of very different sizes, each with sub-topics: codes as skewed, and as
    dependent on those before them, as those of real items.
    """
    rng = np.random.default_rng(0)
    width, topics = 32, 400
    centers = rng.normal(0, 1, (topics, width)).astype(np.float32)
    of_topic = rng.normal(0, 0.4, (topics, 30, width)).astype(np.float32)

    def draw(count: int) -> np.ndarray:
        topic = np.minimum(topics ** rng.random(count), topics).astype(np.int64) - 1
        part = np.minimum(30 ** rng.random(count), 30).astype(np.int64) - 1
        noise = rng.normal(0, 0.2, (count, width)).astype(np.float32)
        return centers[topic] + of_topic[topic, part] + noise

    config = TokenizeConfig(levels=levels, codebook_size=codebook, iterations=10)
    tokenizer = RQKMeans.fit(draw(min(num_items, 50_000)), config, seed=0)
    pieces = [min(100_000, num_items - begin) for begin in range(0, num_items, 100_000)]
    return np.concatenate([tokenizer.encode(draw(count)).codes for count in pieces])


def catalog_of(items: int, codes: int, depth: int, kind: str) -> SortedCatalog:
    """Draw the semantic IDs of a point, or make them by our tokenizer."""
    if kind == "tokenized":
        return SortedCatalog.of(tokenized_codes(items, levels=depth, codebook=codes))
    return SortedCatalog.of(random_codes(items, (codes,) * depth, kind))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """What every method of a point is given."""

    point: Point
    catalog: SortedCatalog  # all items
    codes_per_level: tuple[int, ...]
    masks: list[np.ndarray]  # sets of allowed items by row of the catalog
    filter_of: np.ndarray  # int32, the set of each request
    seen: np.ndarray  # int32 [B, seen]
    model: Any
    history: Any

    @classmethod
    def of(cls, point: Point, *, catalog: SortedCatalog | None = None) -> "Workload":
        """Draw the items (unless they are given), the rules and the logits."""
        if point.filters and point.inserted:
            raise GenretError("point: found filters and inserted items, expected one of them")
        catalog = catalog or catalog_of(point.items, point.codes, point.depth, point.kind)
        codes_per_level = (point.codes,) * point.depth
        rng = np.random.default_rng(3)
        shares = np.geomspace(0.95, 0.001, point.filters)
        masks = [rng.random(point.items) < share for share in shares]
        if point.model is None:
            model, history = GivenLogits.random(point.batch, point.beams, codes_per_level, seed=1)
        else:
            model, history = _transformer(point, catalog.codes)
        return cls(
            point=point, catalog=catalog, codes_per_level=codes_per_level, masks=masks, model=model,
            history=history,
            filter_of=rng.permutation(point.batch).astype(np.int32) % max(1, point.filters),
            seen=rng.integers(0, point.items, (point.batch, point.seen)).astype(np.int32),
        )  # fmt: skip

    @property
    def asked(self) -> tuple[Any, Any, int, int]:
        """What every search is given: model, history, levels and beams."""
        return self.model, self.history, self.point.depth, self.point.beams

    @property
    def restricted(self) -> bool:
        """Whether some items are forbidden."""
        return bool(self.masks or self.point.seen)

    @functools.cached_property
    def answerable(self) -> list[SortedCatalog]:
        """The items that each request may be answered."""
        if not self.restricted:
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

    def built(self, kind: type[Method], platform: str | None = None) -> Method:
        """Build a method that obeys the rules; for another platform than this one, if that is named."""
        method = kind.build(self.catalog.codes, self.codes_per_level)
        return self.obeyed(method.to(platform) if platform else method)

    def obeyed(self, method: Method) -> Method:
        """Tell a method the rules, if there are some."""
        if not self.restricted:
            return method
        restrict = getattr(method, "restrict", None)
        if restrict is None:
            raise Unsupported(f"{method.name}: needs an index for each set of allowed items")
        return jax.block_until_ready(restrict(self.masks, self.filter_of, self.seen))

    def ours(self) -> Search:
        """Return our search as users call it, when its answer was found to be the exact one."""
        search = functools.partial(
            self.built(Ours).answer, self.model, self.history, self.point.beams
        )
        check_answer(search(), self.answers(), self.catalog.codes)
        return search

    def expected(self, of_items: bool) -> list[tuple[Codes, Float[np.ndarray, "M"]]]:
        """Return the codes and scores of brute force: of its beams, or of the items below them."""
        if of_items:
            return [(self.catalog.codes[rows], scores) for rows, scores in self.answers()]
        both = zip(self.answerable, self.exact or [], strict=True)
        return [(own.codes[beams.lo], beams.scores) for own, beams in both]

    def judge(self, method: Method, answer: Beams) -> Figures:
        """Say which share of an answer exists, and which share of the exact one is in it.

        Raises:
          GenretError: a method that calls itself exact answers otherwise than brute force.
        """
        codes, scores = np.asarray(answer.codes), np.asarray(answer.scores)
        real = scores > -np.inf
        held = np.stack([own.holds(codes[b]) for b, own in enumerate(self.answerable)]) & real
        figures: Figures = {"valid": float(held.sum() / max(1, real.sum()))}
        if self.exact is None:
            return figures
        hits = count = 0
        for request, (right, best) in enumerate(self.expected(method.of_items)):
            mine, own = codes[request][real[request]], scores[request][real[request]]
            if method.exact and not (np.array_equal(mine, right) and np.array_equal(own, best)):
                raise GenretError(
                    f"{method.name}: request {request}: not the answer of brute force"
                )
            distinct = set(map(tuple, right.tolist()))
            hits += len(distinct & set(map(tuple, mine.tolist())))
            count += len(distinct)
        return figures | {"of_exact": hits / max(1, count)}


def of_static(judged: Figures, work: Workload) -> Figures:
    """Return what was said of STATIC's answer: items that do not exist, and the share of the exact ones."""
    invalid = round((1 - judged["valid"]) * work.point.batch * work.point.beams)
    return {"static_invalid": invalid, "static_of_exact": judged["of_exact"]}


def _transformer(point: Point, codes: Codes) -> tuple[Any, History]:
    config = model_config(str(point.model), "decoder_only", (point.codes,) * point.depth, 20)
    narrow = lambda x: x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x  # noqa: E731
    items = np.random.default_rng(2).integers(0, point.items, (point.batch, 20))
    history = History.from_items(codes, items, max_items=20)
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
            search = method.compiled(*work.asked)
        with timed(figures, "first_s"):
            answer = jax.block_until_ready(search())
        figures |= work.judge(method, answer)
        if isinstance(method, HashBitmap):
            figures["false_positive_rate"] = method.false_positive_rate
    except caught as e:
        return {"error": f"{type(e).__name__}: {str(e)[:300]}"}, None, None
    return figures, method, search


def _built(kind: type[Method], work: Workload, figures: Figures) -> Method:
    """Build the index of a method, with the items that come late and the rules."""
    late = np.zeros(work.point.items, bool)
    count = round(work.point.inserted * work.point.items)
    late[np.random.default_rng(4).permutation(work.point.items)[:count]] = True
    base, more = work.catalog.codes[~late], work.catalog.codes[late]
    with timed(figures, "build_s"):
        method = kind.build(base, work.codes_per_level)
        jax.block_until_ready(method)
    if len(more):
        method = _updated(method, work, base, more, figures)
    if work.restricted:
        with timed(figures, "restrict_s"):
            method = work.obeyed(method)
    return method


def _updated(method: Method, work: Workload, base: Codes, late: Codes, figures: Figures) -> Method:
    """Let a method hold items that came later; add ``update_s`` and ``refresh_s`` to its figures.

    They are the times from the late codes, or from all codes in no order, to the first answer that could
    hold them. Each change is made twice; the second is timed, so what was compiled and can be used again
    is.
    """
    sizes = work.codes_per_level
    shuffled = np.random.default_rng(5).permutation(np.concatenate([base, late]))
    for codes in (shuffled, shuffled[::-1]):
        with timed(figures, "refresh_s"):
            jax.block_until_ready(method.refresh(codes, sizes).run(*work.asked))
    for codes in ((late + 1) % np.asarray(sizes, late.dtype), late):
        with timed(figures, "update_s"):
            changed = method.insert(base, codes, sizes)
            jax.block_until_ready(changed.run(*work.asked))
    return changed
