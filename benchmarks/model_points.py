"""Bars 8, 10 and 11: calls of a model with a tail, bytes kept of a history, and one user's recommendation."""

import collections
import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from flax import nnx

from benchmarks.process import Figures
from benchmarks.record import Points
from benchmarks.sizes import Sizes
from benchmarks.timing import interleave
from benchmarks.workload import Observed, real_codes
from genret import Recommender, TrieIndex, beam_search
from genret.config import ItemDecoderConfig
from genret.data import Catalog
from genret.errors import GenretError
from genret.models import History, build_model
from genret.testing import SortedCatalog, TableModel, check_answer, exact_logits, random_codes
from genret.typing import Array, Codes

Kind = Literal["decoder_only", "item_decoder"]
KINDS: tuple[Kind, ...] = ("decoder_only", "item_decoder")


def points(sizes: Sizes, data: Path | None) -> Points:
    """Return the points of searches with models."""
    items, codes, depth = sizes.model
    draw = functools.partial(random_codes, items, (codes,) * depth, seed=8)
    calls = {
        f"uniform |C|={items} V={codes} L={depth}": lambda: count_calls(draw(), codes, sizes),
        "beauty": lambda: count_calls(real_codes(data, "beauty"), 256, sizes),
    }
    return {
        **{f"8 calls: {name}": measure for name, measure in calls.items()},
        **{
            f"10 history: {kind} {4 * sizes.history_items} tokens M={beams}": functools.partial(
                history_memory, kind, beams, sizes
            )
            for kind in KINDS
            for beams in sizes.beams
        },
        f"11 one user: |C|={sizes.shop}": functools.partial(one_user, sizes),
    }


def count_calls(codes: Codes, num_codes: int, sizes: Sizes) -> Figures:
    """Bar 8: count the calls of searches with and without a tail, one after the other, prefill included.

    Stepping has to answer what the NumPy search does. With a tail the scores may only be better, since
    less is pruned.
    """
    (batch, beams), per_level = sizes.model_shape, (num_codes,) * codes.shape[1]
    catalog = SortedCatalog.of(codes)
    index = TrieIndex.from_codes(codes, codes_per_level=per_level)
    rng = np.random.default_rng(80)
    logits = [exact_logits(rng, 257, count) for count in per_level]
    model, calls = TableModel.of(logits), collections.Counter[str]()

    @contextlib.contextmanager
    def counted(name: str) -> Iterator[None]:
        """Let the program that is traced now count a call each time it runs."""
        jax.debug.callback(lambda: calls.update([name]))
        yield

    observed = Observed(model=model, around=counted)
    figures: Figures = {"tail_calls": [], "step_calls": [], "same_answer": []}
    for number in range(sizes.histories):
        history = jnp.arange(batch, dtype=jnp.int32) + 1000 * number
        answers = {}
        for name, tail in (("step_calls", None), ("tail_calls", "auto")):
            calls.clear()
            answers[name] = beam_search(observed, history, index, beams=beams, tail=tail)
            jax.effects_barrier()
            figures[name].append(calls.total())
        stepped, tailed = answers.values()
        exact = [_exact(catalog, model, history, b, beams) for b in range(batch)]
        check_answer(stepped, exact, codes)
        if not (tailed.scores >= stepped.scores).all():
            raise GenretError("tail: found lower scores than those of stepping")
        figures["same_answer"].append(float((stepped.items == tailed.items).mean()))
    most = {"most_calls": max(figures["tail_calls"]), "most_steps": max(figures["step_calls"])}
    return figures | most


def _exact(
    catalog: SortedCatalog, model: TableModel, history: Array, request: int, beams: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the NumPy search answers a request."""
    prefixes: list[tuple[int, ...]] = [()]

    def logits_of(level: int, codes: np.ndarray, parents: np.ndarray) -> np.ndarray:
        nonlocal prefixes
        if level:
            chosen = zip(parents.tolist(), codes.tolist(), strict=True)
            prefixes = [(*prefixes[parent], code) for parent, code in chosen]
        return np.stack([model.logits_after(history, request, prefix) for prefix in prefixes])

    rows, scores = catalog.search(logits_of, beams).items(beams)
    return catalog.positions[rows], scores


def history_memory(kind: Kind, beams: int, sizes: Sizes) -> Figures:
    """Bar 10: return the bytes of a decode, and those for the history's sake: what one twice as long adds."""
    short, long = (decode_bytes(kind, beams, n * sizes.history_items, sizes) for n in (1, 2))
    return {
        f"{of}{name}": value
        for of, values in (("history_", long - short), ("", short))
        for name, value in zip(("cache_bytes", "temporary_bytes"), values.tolist(), strict=True)
    }


def decode_bytes(kind: Kind, beams: int, items: int, sizes: Sizes) -> np.ndarray:
    """Return the bytes of the cache after a step, and of the compiled search's temporaries."""
    batch, per_level, width = sizes.model_shape[0], (256,) * 4, sizes.width
    codes = random_codes(2000, per_level, seed=10)
    index = TrieIndex.from_codes(codes, codes_per_level=per_level)
    config = ItemDecoderConfig(
        codes_per_level=per_level, width=width, heads=4, kv_heads=4, head_dim=width // 4,
        mlp_dim=2 * width, max_items=items,
    ).as_kind(kind)  # fmt: skip
    graph, params = nnx.split(build_model(config, 0))
    rows = np.arange(batch * items).reshape(batch, items)
    history = History.from_items(codes, rows, max_items=items)

    def after_a_step(params: Any, history: History) -> Any:
        model = nnx.merge(graph, params)
        _, cache = model.prefill(history)
        zeros = jnp.zeros((batch, beams), jnp.int32)
        return model.step(zeros, zeros, cache)[1]

    def search(params: Any, history: History, index: TrieIndex) -> Any:
        return beam_search(nnx.merge(graph, params), history, index, beams=beams)

    cache = jax.tree.leaves(jax.eval_shape(after_a_step, params, history))
    memory = jax.jit(search).lower(params, history, index).compile().memory_analysis()
    temporary = int(memory.temp_size_in_bytes) if memory else 0
    return np.array([sum(x.size * x.dtype.itemsize for x in cache), temporary])


def one_user(sizes: Sizes, beams: int = 50, k: int = 10) -> Figures:
    """Bar 11: time a warm call of ``Recommender.recommend`` beside the bare search that it runs."""
    rng = np.random.default_rng(0)
    per_level = (256,) * 3
    codes = rng.integers(0, 256, (sizes.shop, len(per_level)))
    ids, titles = ([f"{what} {n}" for n in range(sizes.shop)] for what in ("SKU", "Thing"))
    catalog = Catalog(pa.table({"item_id": ids, "title": titles}))
    index = TrieIndex.from_codes(codes, catalog.item_ids, codes_per_level=per_level)
    model = build_model(
        ItemDecoderConfig(
            codes_per_level=per_level, width=64, code_width=64, layers=2, heads=2, kv_heads=2,
            mlp_dim=192,
        ), 0,
    )  # fmt: skip
    shop = Recommender(model, index, catalog=catalog)
    rows = rng.choice(sizes.shop, model.config.max_items, replace=False)
    history = History.from_items(jnp.asarray(codes, jnp.int32), [rows], model.config.max_items)
    # As in the engine: a program of its own, which takes leaves and not a model to flatten.
    arguments = model, index, history, jnp.asarray(rows, jnp.int32)[None]
    leaves, structure = jax.tree.flatten(arguments)

    @jax.jit
    def search(leaves: list[jax.Array]) -> jax.Array:
        model, index, history, seen = jax.tree.unflatten(structure, leaves)
        return beam_search(model, history, index, beams=beams, exclude=seen).items[:, :k]

    calls = {"search": lambda: np.asarray(search(leaves))} | {
        f"by {name}": lambda own=[of[row] for row in rows]: (
            shop.recommend(own, k, beams=beams).items
        )
        for name, of in {"ids": ids, "titles": titles}.items()
    }
    bare, *others = (call().tolist() for call in calls.values())
    if others != [bare, bare]:
        raise GenretError(f"recommend: found items {others}, expected those of the search, {bare}")
    found = interleave(calls, 100)
    base, *own = (np.array(times["rounds_ms"]) for times in found.values())
    return found | {"ms_over_search": max(float(np.median(ms - base)) for ms in own)}
