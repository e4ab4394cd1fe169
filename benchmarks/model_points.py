"""Bars 8 and 10: sequential model calls with a tail, and the bytes that a decode keeps of a history."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.draws import draw_codes, hashed_logits, real_codes
from benchmarks.oracle import Answer, Catalog, check_answer, stepped
from benchmarks.record import Figures
from benchmarks.timing import interleave
from genret import BeamResult, TrieIndex, beam_search
from genret.config import ItemDecoderConfig
from genret.errors import GenretError
from genret.models import History, build_model
from genret.pytree import register_pytree
from genret.testing import TableModel
from genret.typing import Array, Codes, Float, Int

Kind = Literal["item_decoder", "decoder_only"]
MARK = 512.0
"""Scores of at most eight :func:`exact_logits` are above its negative."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the model bars."""

    items: int  # |C| of the uniform codes
    codes: int  # V
    depth: int  # L
    shape: tuple[int, int]  # (B, M)
    histories: int  # batches whose calls are counted
    repeats: int  # rounds of the timed decodes
    beams: tuple[int, ...]  # M of the memory figures
    history_items: int  # items of a history; each is four codes
    preset_width: int  # width of their model


@register_pytree
@dataclasses.dataclass(frozen=True)
class MarkedModel:
    """Another model, whose tail tells in the scores how many codes it was asked for.

    So the compiled program itself says where its tail began, without a callback in it. Scores stay
    exact: the mark, at most seven times :data:`MARK`, and a score take 24 bits together.
    """

    model: TableModel

    def prefill(self, history: Any) -> tuple[Float[Array, "B 1 V"], Any]:
        """Ask the model."""
        return self.model.prefill(history)

    def step(
        self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: Any
    ) -> tuple[Float[Array, "B M V"], Any]:
        """Ask the model."""
        return self.model.step(codes, parents, cache)

    def score_tail(
        self, codes: Int[Array, "B C T"], parents: Int[Array, "B C"], cache: Any
    ) -> Float[Array, "B C T"]:
        """Ask the model, and take a mark for each code after the first from the last score."""
        log_probs = self.model.score_tail(codes, parents, cache)
        return log_probs.at[..., -1].add(-MARK * (codes.shape[-1] - 1))


def unmark(result: BeamResult, depth: int) -> tuple[BeamResult, int]:
    """Return an answer without marks, and the codes of a beam before the tail; L: there was none."""
    scores = np.asarray(result.scores)
    marks = np.unique(np.floor(-scores[np.asarray(result.valid)] / MARK))
    if len(marks) != 1:
        raise GenretError(f"answer: found {len(marks)} different marks, expected one")
    tail = int(marks[0])
    unmarked = jnp.asarray(scores + np.float32(MARK * tail))
    return dataclasses.replace(result, scores=unmarked), depth - tail


def best_below(
    catalog: Catalog, model: TableModel, history: Array, beams: int, levels: int
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

    A beam of t codes took t calls, prefill and t - 1 steps, one after the other; the tail is one
    more, and without it the last step is the last call.
    """
    (batch, beams), depth = sizes.shape, codes.shape[1]
    per_level = (num_codes,) * depth
    catalog = Catalog.of(codes)
    index = TrieIndex.from_codes(codes, codes_per_level=per_level)
    plain = hashed_logits(per_level, seed=80)
    figures: Figures = {"tail_calls": [], "step_calls": [], "same_answer": []}
    for number in range(sizes.histories):
        history = jnp.arange(batch, dtype=jnp.int32) + 1000 * number
        search = functools.partial(beam_search, MarkedModel(plain), history, index, beams=beams)
        found, levels = unmark(search(tail="auto"), depth)
        steps, all_levels = unmark(search(), depth)
        for result, before in ((steps, depth), (found, levels)):
            requests = (history[b : b + 1] for b in range(batch))
            exact = [best_below(catalog, plain, one, beams, before) for one in requests]
            check_answer(result, exact, codes)
        figures["tail_calls"].append(levels + (levels < depth))
        figures["step_calls"].append(all_levels)
        same = (np.asarray(found.items) == np.asarray(steps.items)).mean()
        figures["same_answer"].append(float(same))
    search = functools.partial(beam_search, plain, history, index, beams=beams)
    times = interleave({"tail": lambda: search(tail="auto"), "steps": search}, sizes.repeats)
    most = {"most_calls": max(figures["tail_calls"]), "most_steps": max(figures["step_calls"])}
    return {**figures, **most, **times}


def passes(sizes: Sizes, data: Path | None) -> dict[str, Callable[[], Figures]]:
    """Bar 8: sequential model calls, prefill included."""
    shape = (sizes.codes,) * sizes.depth
    uniform = f"8 calls: uniform |C|={sizes.items} V={sizes.codes} L={sizes.depth}"
    return {
        uniform: lambda: count_calls(draw_codes(sizes.items, shape, seed=8), sizes.codes, sizes),
        "8 calls: beauty": lambda: count_calls(real_codes(data, "beauty"), 256, sizes),
    }


def decode_bytes(kind: Kind, beams: int, items: int, sizes: Sizes) -> tuple[int, int]:
    """Return the bytes of the cache after a step, and of the compiled search's temporaries."""
    batch, per_level = sizes.shape[0], (256,) * 4
    codes = draw_codes(2000, per_level, seed=10)
    index = TrieIndex.from_codes(codes, codes_per_level=per_level)
    width = sizes.preset_width
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
    return sum(x.size * x.dtype.itemsize for x in cache), temporary


def history_memory(kind: Kind, beams: int, sizes: Sizes) -> Figures:
    """Return the bytes of a decode that are there for the history's sake: what one twice as long adds."""
    short = decode_bytes(kind, beams, sizes.history_items, sizes)
    long = decode_bytes(kind, beams, 2 * sizes.history_items, sizes)
    names = ("cache_bytes", "temporary_bytes")
    more = {f"history_{n}": b - a for n, a, b in zip(names, short, long, strict=True)}
    return more | dict(zip(names, short, strict=True))


def history_bytes(sizes: Sizes) -> dict[str, Callable[[], Figures]]:
    """Bar 10: the history part of a decode with 80 history tokens does not grow with M."""
    kinds: tuple[Kind, ...] = ("decoder_only", "item_decoder")
    return {
        f"10 history: {kind} {4 * sizes.history_items} tokens M={beams}": functools.partial(
            history_memory, kind, beams, sizes
        )
        for kind in kinds
        for beams in sizes.beams
    }
