"""Bars 8 and 10: sequential model calls with a tail, and the bytes that a decode keeps of a history."""

import collections
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.draws import draw_codes, real_codes
from benchmarks.process import Figures
from benchmarks.sizes import Points, Sizes
from benchmarks.timing import interleave
from genret import TrieIndex, beam_search
from genret.config import ItemDecoderConfig
from genret.models import History, build_model
from genret.pytree import register_pytree, static_field
from genret.testing import Answer, SortedCatalog, TableModel, check_answer, exact_logits
from genret.typing import Array, Codes, Float, Int

Kind = Literal["item_decoder", "decoder_only"]


class Calls(collections.Counter[str]):
    """The calls of a model that its compiled program made while it ran; one is equal to itself alone."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def count(self, what: str) -> None:
        """Let the program that is traced now count a call each time it runs."""
        jax.debug.callback(lambda: self.update([what]))


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class CountedModel(TableModel):
    """A model whose steps (prefill is one) and tails are counted."""

    calls: Calls = static_field()

    def prefill(self, history: Any) -> tuple[Float[Array, "B 1 V"], Any]:
        """Count and answer."""
        self.calls.count("step")
        return super().prefill(history)

    def step(
        self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: Any
    ) -> tuple[Float[Array, "B M V"], Any]:
        """Count and answer."""
        self.calls.count("step")
        return super().step(codes, parents, cache)

    def score_tail(
        self, codes: Int[Array, "B C T"], parents: Int[Array, "B C"], cache: Any
    ) -> Float[Array, "B C T"]:
        """Count and answer."""
        self.calls.count("tail")
        return super().score_tail(codes, parents, cache)


def stepped(model: Any, history: Any, beams: int) -> Callable[..., np.ndarray]:
    """Return the logits of the only request of a history, by stepping any model."""
    cache: Any = None

    def logits_of(level: int, codes: np.ndarray, parents: np.ndarray) -> np.ndarray:
        nonlocal cache
        if level == 0:
            logits, cache = model.prefill(history)
        else:
            padded = np.zeros((2, 1, beams), np.int32)
            padded[:, 0, : len(codes)] = codes, parents
            logits, cache = model.step(jnp.asarray(padded[0]), jnp.asarray(padded[1]), cache)
        return np.asarray(logits[0])

    return logits_of


def best_below(
    catalog: SortedCatalog, model: TableModel, history: Array, beams: int, levels: int
) -> Answer:
    """Return the exact best items of all below the beams after some levels, for one request.

    Equal scores are ordered by the score one level before, and so on, then by beam and row.
    """
    state = catalog.search(stepped(model, history, beams), beams, levels=levels)
    rows, scores = state.items(beams if levels == len(catalog.columns) else len(catalog.codes))
    if levels == len(catalog.columns):
        return catalog.positions[rows], scores
    codes = jnp.asarray(catalog.codes[rows])[None]
    _, cache = model.prefill(history)
    log_probs = model.score_tail(codes, jnp.zeros(codes.shape[:2], jnp.int32), cache)
    sums = np.cumsum(np.asarray(log_probs[0]), axis=1)
    order = np.lexsort([-sums[:, level] for level in range(levels, sums.shape[1])])[:beams]
    return catalog.positions[rows[order]], sums[order, -1]


def count_calls(codes: Codes, num_codes: int, sizes: Sizes) -> Figures:
    """Count the calls of searches with and without a tail, and check both answers.

    A beam of t codes took t calls, prefill and t - 1 steps, one after the other; the tail is one more.
    """
    (batch, beams), per_level = sizes.model_shape, (num_codes,) * codes.shape[1]
    catalog = SortedCatalog.of(codes)
    index = TrieIndex.from_codes(codes, codes_per_level=per_level)
    rng = np.random.default_rng(80)
    plain = TableModel.of([exact_logits(rng, 257, count) for count in per_level])
    counted = CountedModel(tables=plain.tables, calls=Calls())
    figures: Figures = {"tail_calls": [], "step_calls": [], "same_answer": []}
    for number in range(sizes.histories):
        history = jnp.arange(batch, dtype=jnp.int32) + 1000 * number
        answers = []
        for name, tail in (("tail_calls", "auto"), ("step_calls", None)):
            calls = counted.calls
            calls.clear()
            result = beam_search(counted, history, index, beams=beams, tail=tail)
            jax.effects_barrier()
            requests = (history[b : b + 1] for b in range(batch))
            exact = [best_below(catalog, plain, one, beams, calls["step"]) for one in requests]
            check_answer(result, exact, codes)
            figures[name].append(calls.total())
            answers.append(np.asarray(result.items))
        figures["same_answer"].append(float((answers[0] == answers[1]).mean()))
    search = functools.partial(beam_search, plain, history, index, beams=beams)
    times = interleave({"tail": lambda: search(tail="auto"), "steps": search}, sizes.model_repeats)
    most = {"most_calls": max(figures["tail_calls"]), "most_steps": max(figures["step_calls"])}
    return {**figures, **most, **times}


def passes(sizes: Sizes, data: Path | None) -> Points:
    """Bar 8: sequential model calls, prefill included."""
    items, codes, depth = sizes.model
    draw = functools.partial(draw_codes, items, (codes,) * depth, seed=8)
    return {
        f"8 calls: uniform |C|={items} V={codes} L={depth}": lambda: count_calls(
            draw(), codes, sizes
        ),
        "8 calls: beauty": lambda: count_calls(real_codes(data, "beauty"), 256, sizes),
    }


def decode_bytes(kind: Kind, beams: int, items: int, sizes: Sizes) -> np.ndarray:
    """Return the bytes of the cache after a step, and of the compiled search's temporaries."""
    batch, per_level, width = sizes.model_shape[0], (256,) * 4, sizes.width
    codes = draw_codes(2000, per_level, seed=10)
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


def history_memory(kind: Kind, beams: int, sizes: Sizes) -> Figures:
    """Return the bytes of a decode that are there for the history's sake: what one twice as long adds."""
    short, long = (decode_bytes(kind, beams, n * sizes.history_items, sizes) for n in (1, 2))
    return {
        f"{of}{name}": value
        for of, values in (("history_", long - short), ("", short))
        for name, value in zip(("cache_bytes", "temporary_bytes"), values.tolist(), strict=True)
    }


def history_bytes(sizes: Sizes) -> Points:
    """Bar 10: the history part of a decode with 80 history tokens does not grow with M."""
    kinds: tuple[Kind, ...] = ("decoder_only", "item_decoder")
    return {
        f"10 history: {kind} {4 * sizes.history_items} tokens M={beams}": functools.partial(
            history_memory, kind, beams, sizes
        )
        for kind in kinds
        for beams in sizes.beams
    }
