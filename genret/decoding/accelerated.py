"""A step on an accelerator: one kernel a level, and beams that carry the codes below them."""

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from genret_kernels import KernelError
from genret_kernels.dense_level import dense_level
from genret_kernels.lines_level import lines_level
from genret_kernels.lines_level.reference import gathered
from genret_kernels.load_lines import load_lines
from genret_kernels.load_rows import load_rows
from genret_kernels.rows_level import layout, rows_level

from genret.decoding.beams import BeamState, OneTrie, Searched, constrained_step
from genret.decoding.live import TwoTries
from genret.decoding.readout import Projection, Readout
from genret.index.accelerated import AcceleratedLayout
from genret.index.cells import DenseLines
from genret.index.levels import DenseLevel, Level, RaggedLevel
from genret.index.lines import Load
from genret.index.nodes import NodeRange, take_beams
from genret.index.ragged_lines import RaggedLines
from genret.index.restriction import Restriction
from genret.index.trie import Trie
from genret.typing import Array, Float, Int, UInt

Answer = TypeVar("Answer")

LOG = logging.getLogger("genret")


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
    kernel covers it: on a CPU, on ragged levels under filters, in an index of two tries, with another
    normalizer than that of the level, in a sampling search. The answers are the same but for the last
    bit of a normalizer. While a search over an index that is laid out for an accelerator is traced, a
    logged line says which levels do without its kernels, and why.
    """

    def portable() -> tuple[BeamState, Int[Array, "B beams"]]:
        return constrained_step(
            searched, level, state, readout, beams,
            beams_of=beams_of, normalize=normalize, end_code=end_code, keys=keys,
        )  # fmt: skip

    trie = _main_trie(searched)
    plan = None if trie is None else trie.accelerated
    if trie is None or plan is None:
        return portable()
    whole = _search_refusal(searched, normalize, sampling=keys is not None)
    if whole is not None or not isinstance(searched, OneTrie):
        if level == 0:
            _say(plan, f"all {len(trie.levels)} levels", whole or "")
        return portable()
    refusal = _level_refusal(plan, searched, level, end_code)
    if refusal is not None:
        _say(plan, f"level {level}", refusal)
        return portable()
    batch = readout.shape[0]
    limit = jnp.full((batch,), beams, jnp.int32) if beams_of is None else beams_of
    stored, restriction = trie.levels[level], searched.restriction
    if level < plan.first:
        extended = _lines_step(plan, level, restriction, state, readout, beams, limit)
        if extended is not None:
            return extended
        return _dense_step(plan, stored, restriction, state, readout, beams, limit)
    return _rows_step(plan, stored, level, restriction, state, readout, beams, limit, end_code)


def _main_trie(searched: Searched) -> Trie | None:
    """Return the trie that was built; of a live index, not that of the inserted items."""
    if isinstance(searched, TwoTries):
        searched = searched.first
    return searched.trie if isinstance(searched, OneTrie) else None


def _search_refusal(searched: Searched, normalize: str, *, sampling: bool) -> str | None:
    """Say why the kernels cover no level of a search; None: they may."""
    if not isinstance(searched, OneTrie):
        return "the index has two tries, that of inserted items beside the first"
    if sampling:
        return "the search samples"
    if normalize != "level":
        return f"normalize={normalize!r}, and kernels normalize over the codes of a level"
    return None


def _level_refusal(
    plan: AcceleratedLayout, searched: OneTrie, level: int, end_code: int | None
) -> str | None:
    """Say why the kernels do not cover a level; None: they do, if its sizes fit them."""
    levels, restriction = searched.trie.levels, searched.restriction
    stored, depth = levels[level], len(levels)
    if level >= plan.first:
        if layout.fits(plan.stride, depth - plan.first, depth):
            return None
        return (
            f"a beam's record has no room for {plan.stride} items of {depth - plan.first} codes, "
            f"in {depth} levels"
        )
    if isinstance(stored, RaggedLevel):
        if restriction is not None and restriction.filters is not None:
            return "a ragged level under filters"
        if plan.branches[level] is None:
            return "a ragged level that is too large, or with other than dense ones before it"
    elif not isinstance(stored, DenseLevel):
        return "a level of few items a node, but a ragged one or one of 65,537 codes is below it"
    if end_code is not None and level > 0:
        return f"a {stored.kind} level below others in an index with an end code, {end_code}"
    return None


def _say(plan: AcceleratedLayout, where: str, reason: str) -> None:
    """Log what runs as XLA compiles it: tracing does so once a program."""
    LOG.warning("search on a %s: %s in XLA: %s", plan.platform.upper(), where, reason)


def _rows_step(
    plan: AcceleratedLayout,
    stored: Level,
    level: int,
    restriction: Restriction | None,
    state: BeamState,
    readout: Readout,
    beams: int,
    limit: Int[Array, "B"],
    end_code: int | None,
) -> tuple[BeamState, Int[Array, "B beams"]]:
    """Take a step whose beams' records hold the codes below them."""
    records = state.records
    if records is None or level == plan.first:
        records = _records(plan, level, restriction, state, beams)
    run = _with_fallback(plan, level, rows_level)
    records, parents, codes, scores = run(
        _logits(readout),
        records,
        limit,
        level=level,
        first=plan.first,
        width=stored.layout.width,
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
    stored: Level,
    restriction: Restriction | None,
    state: BeamState,
    readout: Readout,
    beams: int,
    limit: Int[Array, "B"],
) -> tuple[BeamState, Int[Array, "B beams"]]:
    """Take a step of beams whose children are bits: those of a dense level or a ragged one."""
    assert isinstance(state.nodes, NodeRange)
    level = state.codes.shape[-1]
    words = _words(plan, stored, level, restriction, state.nodes)
    run = _with_fallback(plan, level, dense_level)
    scores, parents, codes = run(_logits(readout), words, state.scores, beams=beams)
    valid = scores > -jnp.inf
    valid &= jnp.arange(beams, dtype=jnp.int32)[None] < limit[:, None]
    parents, codes = jnp.where(valid, parents, 0), jnp.where(valid, codes, 0)
    nodes = _located(plan, stored, level, state.nodes, parents, codes)
    so_far = [take_beams(state.codes[..., at], parents)[..., None] for at in range(level)]
    extended = BeamState(
        scores=jnp.where(valid, scores, -jnp.inf),
        keys=None,
        nodes=nodes.where(valid),
        codes=jnp.where(valid[..., None], jnp.concatenate([*so_far, codes[..., None]], axis=-1), 0),
        valid=valid,
    )
    return extended, parents


def _lines_step(
    plan: AcceleratedLayout,
    level: int,
    restriction: Restriction | None,
    state: BeamState,
    readout: Readout,
    beams: int,
    limit: Int[Array, "B"],
) -> tuple[BeamState, Int[Array, "B beams"]] | None:
    """Take a step of a ragged level as one kernel; None: there is none that fits.

    A GPU fuses the look-ups before and behind the choice with what asks for them, so it takes
    :func:`_dense_step`, as does a search that restricts the items.
    """
    branch, at_root = plan.branches[level], state.codes.shape[1] < beams
    if plan.platform != "tpu" or restriction is not None or at_root:
        return None
    if not isinstance(branch, RaggedLines):
        return None
    assert isinstance(state.nodes, NodeRange)
    records = state.records
    if records is None:
        records = _packed(state, beams, jnp.full(state.nodes.lo.shape, 0xFFFFFFFF, jnp.uint32))
    try:
        records, parents, codes, nodes, lo, hi, scores = lines_level(
            _logits(readout), records, limit, branch.lines, branch.cells.lines,
            layout=branch.layout, level=level, beams=beams, implementation="pallas_tpu",
        )  # fmt: skip
    except KernelError:
        return None  # the other step says why
    held = records[:, :beams]
    extended = BeamState(
        scores=scores,
        keys=None,
        nodes=NodeRange(nodes=nodes, lo=lo, hi=hi),
        codes=jnp.concatenate([held[..., :level], codes[..., None]], axis=-1),
        valid=scores > -jnp.inf,
        records=records,
    )
    return extended, parents


def _words(
    plan: AcceleratedLayout,
    stored: Level,
    level: int,
    restriction: Restriction | None,
    nodes: NodeRange,
) -> UInt[Array, "B M W"]:
    """Return the codes of each beam that lead to an allowed row, as bits."""
    load = _load(plan, level)
    dead = None if restriction is None else plan.dead_codes(level, restriction, load)
    branch = plan.branches[level]
    if isinstance(stored, DenseLevel):
        words = None
        if branch is not None and (restriction is None or restriction.filters is None):
            assert isinstance(branch, DenseLines)
            words = branch.words(nodes.nodes, load)
        return stored.legal_words(nodes, restriction, dead, words)
    assert isinstance(stored, RaggedLevel)
    assert isinstance(branch, RaggedLines)
    words = branch.words(nodes, load)
    if restriction is not None and dead is None:
        dead = stored.dead_codes(restriction)
    return words if dead is None else dead.cleared(words, nodes)


def _located(
    plan: AcceleratedLayout,
    stored: Level,
    level: int,
    nodes: NodeRange,
    parents: Int[Array, "B K"],
    codes: Int[Array, "B K"],
) -> NodeRange:
    """Return where the children along some codes are."""
    branch = plan.branches[level]
    if branch is None:
        assert isinstance(stored, DenseLevel)
        return stored.locate(nodes, None, parents, codes)[1]

    def of_parents(values: Int[Array, "B M"]) -> Int[Array, "B K"]:
        if values.shape[1] == 1:
            return jnp.broadcast_to(values, parents.shape)
        return take_beams(values, parents)

    return branch.child(jax.tree.map(of_parents, nodes), codes, _load(plan, level))


def _load(plan: AcceleratedLayout, level: int) -> Load:
    """Return what reads lines: XLA's gather from a TPU's HBM takes many times the cycles of copies."""
    if plan.platform != "tpu":
        return gathered
    copied = _with_fallback(plan, level, load_lines)

    def load(lines: Int[Array, "T 128"], which: Int[Array, "*shape"]) -> Int[Array, "*shape 128"]:
        found: Array = copied(lines, which.reshape(-1))
        return found.reshape(*which.shape, -1)

    return load


def _records(
    plan: AcceleratedLayout,
    level: int,
    restriction: Restriction | None,
    state: BeamState,
    beams: int,
) -> Int[Array, "B R C"]:
    """Put the beams and the codes of the items below them into records."""
    assert isinstance(state.nodes, NodeRange)
    records = state.records
    if records is None:
        lo = state.nodes.lo
        if restriction is None:
            allowed = jnp.full(lo.shape, 0xFFFFFFFF, jnp.uint32)
        else:
            allowed = restriction.window(lo)
        records = _packed(state, beams, allowed)
    # A GPU gathers the words by themselves, fused with what makes the records.
    run = _with_fallback(plan, level, load_rows) if plan.platform == "tpu" else load_rows
    filled: Int[Array, "B R C"] = run(
        plan.words,
        records,
        pairs=plan.pairs,
        stride=plan.stride,
        step=plan.step,
        held=plan.held,
    )
    return filled


def _packed(state: BeamState, beams: int, allowed: UInt[Array, "B M"]) -> Int[Array, "B R C"]:
    """Put the beams into records, without codes of the items below them."""
    assert isinstance(state.nodes, NodeRange)
    lo, hi = state.nodes.lo, state.nodes.hi
    records: Int[Array, "B R C"] = layout.pack(
        state.codes, state.scores, lo, hi - lo, allowed, beams=beams, nodes=state.nodes.nodes
    )
    return records


def _logits(readout: Readout) -> Float[Array, "B M V"]:
    """Return the logits in a type that the kernels read."""
    if isinstance(readout, Projection):
        return readout.logits()
    return readout if readout.dtype == jnp.bfloat16 else readout.astype(jnp.float32)


def _with_fallback(
    plan: AcceleratedLayout, level: int, op: Callable[..., Answer]
) -> Callable[..., Answer]:
    """Return an op that runs as the platform's kernel, or as XLA compiles it where there is none."""

    def run(*arguments: object, **options: object) -> Answer:
        try:
            if plan.platform == "tpu":
                return op(*arguments, **options, implementation="pallas_tpu")
            # AMD's GPUs, and a CPU that is asked for what a GPU runs, take the other one.
            return jax.lax.platform_dependent(
                *arguments,
                cuda=partial(op, **options, implementation="pallas_gpu"),
                default=partial(op, **options),
            )
        except KernelError as refusal:
            _say(plan, f"level {level}", str(refusal))
            return op(*arguments, **options)

    return run
