"""A step on an accelerator: one kernel a level, and beams that carry the codes below them."""

import logging
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from genret_kernels import KernelError
from genret_kernels.dense_level import dense_level
from genret_kernels.rows_level import layout, rows_level

from genret.decoding.beams import BeamState, OneTrie, Searched, constrained_step
from genret.decoding.readout import Projection, Readout
from genret.index.accelerated import AcceleratedLayout
from genret.index.levels import DenseLevel
from genret.index.nodes import NodeRange, take_beams
from genret.index.restriction import Restriction
from genret.typing import Array, Float, Int, UInt

LOG = logging.getLogger(__name__)


def next_beams(
    searched: Searched,
    level: int,
    state: BeamState,
    readout: Readout,
    beams: int,
    *,
    beams_of: Int[Array, "B"] | None = None,
    normalize: str = "level",
    end_code: int | None = None,
    keys: Array | None = None,
) -> tuple[BeamState, Int[Array, "B beams"]]:
    """Extend the beams by one code, in the way that is fastest where the index is.

    The arguments and the result are those of :func:`constrained_step`, which takes the step where no
    kernel covers it: on a CPU, on ragged levels, in an index of two tries, with another normalizer
    than that of the level, in a sampling search. The answers are the same but for the last bit of a
    normalizer.
    """
    if isinstance(searched, OneTrie) and normalize == "level" and keys is None:
        found = _accelerated(searched, level, state, readout, beams, beams_of, end_code)
        if found is not None:
            return found
    return constrained_step(
        searched, level, state, readout, beams,
        beams_of=beams_of, normalize=normalize, end_code=end_code, keys=keys,
    )  # fmt: skip


def _accelerated(
    searched: OneTrie,
    level: int,
    state: BeamState,
    readout: Readout,
    beams: int,
    beams_of: Int[Array, "B"] | None,
    end_code: int | None,
) -> tuple[BeamState, Int[Array, "B beams"]] | None:
    """Take the step with the platform's kernels; None: there are none for it."""
    trie, restriction = searched.trie, searched.restriction
    plan = trie.accelerated
    if plan is None:
        return None
    batch = readout.shape[0]
    limit = jnp.full((batch,), beams, jnp.int32) if beams_of is None else beams_of
    if level < plan.first:
        stored = trie.levels[level]
        if not isinstance(stored, DenseLevel) or plan.platform != "tpu":
            return None
        if end_code is not None and level > 0:
            return None
        return _dense_step(plan, stored, restriction, state, readout, beams, limit)
    depth = len(trie.levels)
    if not layout.fits(plan.stride, depth - plan.first, depth):
        return None
    records = state.records
    if records is None:
        records = _records(plan, restriction, state, beams)
    run = _with_fallback("rows_level", plan, level, rows_level)
    records, parents, codes, scores = run(
        _logits(readout),
        records,
        limit,
        level=level,
        first=plan.first,
        width=trie.levels[level].layout.width,
        stride=plan.stride,
        beams=beams,
        end_code=end_code,
    )
    held = records[:, :beams]
    lo = held[..., layout.LO]
    extended = BeamState(
        scores=scores,
        keys=None,
        nodes=NodeRange(nodes=lo, lo=lo, hi=lo + held[..., layout.COUNT]),
        # The newest codes come by themselves: nobody need wait for the records to be taken apart.
        codes=jnp.concatenate([held[..., :level], codes[..., None]], axis=-1),
        valid=scores > -jnp.inf,
        records=records,
    )
    return extended, parents


def _dense_step(
    plan: AcceleratedLayout,
    stored: DenseLevel,
    restriction: Restriction | None,
    state: BeamState,
    readout: Readout,
    beams: int,
    limit: Int[Array, "B"],
) -> tuple[BeamState, Int[Array, "B beams"]]:
    assert isinstance(state.nodes, NodeRange)
    level = state.codes.shape[-1]
    words = stored.legal_words(state.nodes, restriction)
    run = _with_fallback("dense_level", plan, level, dense_level)
    scores, parents, codes = run(_logits(readout), words, state.scores, beams=beams)
    valid = scores > -jnp.inf
    valid &= jnp.arange(beams, dtype=jnp.int32)[None] < limit[:, None]
    parents, codes = jnp.where(valid, parents, 0), jnp.where(valid, codes, 0)
    nodes = _located(plan, stored, level, state.nodes, parents, codes)
    so_far = jnp.where(valid[..., None], take_beams(state.codes, parents), 0)
    extended = BeamState(
        scores=jnp.where(valid, scores, -jnp.inf),
        keys=None,
        nodes=nodes.where(valid),
        codes=jnp.concatenate([so_far, codes[..., None]], axis=-1),
        valid=valid,
    )
    return extended, parents


def _located(
    plan: AcceleratedLayout,
    stored: DenseLevel,
    level: int,
    nodes: NodeRange,
    parents: Int[Array, "B K"],
    codes: Int[Array, "B K"],
) -> NodeRange:
    """Return where the children along some codes are."""
    cells, edges = plan.cells[level], plan.edges[level]
    if cells is None:
        return stored.locate(nodes, None, parents, codes)[1]
    at = codes if level == 0 else take_beams(nodes.nodes, parents) * stored.num_codes + codes
    both = jnp.stack([at, at + 1], axis=-1)
    rows = cells.at[both].get(mode="clip")
    number = rows[..., 0] if edges is None else edges.at[at].get(mode="clip")
    return NodeRange(nodes=number, lo=rows[..., 0], hi=rows[..., 1])


def _records(
    plan: AcceleratedLayout, restriction: Restriction | None, state: BeamState, beams: int
) -> Int[Array, "B R C"]:
    """Read the codes below the beams and put both into records."""
    assert isinstance(state.nodes, NodeRange)
    lo, hi = state.nodes.lo, state.nodes.hi
    if restriction is None:
        allowed = jnp.full(lo.shape, 0xFFFFFFFF, jnp.uint32)
    else:
        allowed = restriction.window(lo)
    return layout.pack(
        state.codes, state.scores, lo, hi - lo, allowed, _windows(plan, lo), beams=beams
    )


def _windows(plan: AcceleratedLayout, lo: Int[Array, "B M"]) -> UInt[Array, "B M P stride"]:
    """Return the words of the rows from ``lo`` on: one gather of slices."""
    pairs = plan.words.shape[0]
    starts = jnp.stack([jnp.zeros_like(lo), lo], axis=-1)
    dimensions = jax.lax.GatherDimensionNumbers(
        offset_dims=(2, 3), collapsed_slice_dims=(), start_index_map=(0, 1)
    )
    return jax.lax.gather(
        plan.words, starts, dimensions, slice_sizes=(pairs, plan.stride), mode="clip"
    )


def _logits(readout: Readout) -> Float[Array, "B M V"]:
    """Return the logits in a type that the kernels read."""
    if isinstance(readout, Projection):
        return readout.logits()
    return readout if readout.dtype == jnp.bfloat16 else readout.astype(jnp.float32)


def _with_fallback(
    name: str, plan: AcceleratedLayout, level: int, op: Callable[..., Any]
) -> Callable[..., Any]:
    """Return an op that runs as the platform's kernel, or as XLA compiles it where there is none."""
    if plan.platform != "tpu":
        return op

    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return op(*arguments, **options, implementation="pallas_tpu")
        except KernelError as refusal:
            LOG.info("level %d of the search runs in XLA: %s", level, refusal)
            return op(*arguments, **options)

    return run
