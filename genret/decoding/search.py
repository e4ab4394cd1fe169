"""Exact constrained beam search: from a model, histories and an index to ranked items."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.tree_util import PyTreeDef

from genret.decoding.accelerated import next_beams
from genret.decoding.arguments import (
    DataAxis,
    Filters,
    Integers,
    Limits,
    check_count,
    check_normalize,
)
from genret.decoding.beams import BeamResult, BeamState
from genret.decoding.protocol import Cache, GenerativeModel, History, TailModel
from genret.decoding.readout import Readout, check_readout, has_nan
from genret.decoding.tail import AUTO_WIDTH, expand_leaves, is_worthwhile, rows_below, score_rows
from genret.errors import GenretError
from genret.index import LiveIndex, TrieIndex
from genret.index.parts import specs_of
from genret.typing import Array, Int


def beam_search(
    model: GenerativeModel,
    history: History,
    index: TrieIndex | LiveIndex,
    *,
    beams: int,
    filters: Filters | None = None,
    filter_of: Integers | None = None,
    exclude: Integers | None = None,
    beams_of: Integers | None = None,
    normalize: str = "level",
    tail: int | str | None = None,
    sample: Array | None = None,
    check: bool = False,
    mesh: Mesh | None = None,
) -> BeamResult:
    """Find the items whose semantic IDs a model finds most probable, among those allowed.

    The score of an item is the sum over the levels of the log-probability of its code given the
    codes before it, normalized over the codes of the level. At each level the candidates of all
    beams of a request compete for M places; equal scores are ordered by beam and then by code.
    Items that share a semantic ID follow each other in the order of their positions. Everything
    forbidden is forbidden inside the search: the answer is that of an index of the allowed items.

    The whole search is one compiled program; a call with equal shapes reuses it. One beam is a
    greedy search. Under data parallelism, shard the history over the batch and replicate the model
    and the index: every device then searches for its own requests, and asks nothing of the others.

    Args:
      model: any pytree with the methods of :class:`GenerativeModel`.
      history: what the model's ``prefill`` takes for a batch of B requests.
      index: the items.
      beams: M, beams of a request and ranks of the answer; may exceed the number of items.
      filters: a sequence of :class:`ItemFilter`, or a :class:`FilterStack` of it that serves many
        calls: the sets of allowed items that the requests choose from. None allows all.
      filter_of: int [B], the filter of each request; may be left out when there is one filter.
      exclude: int [B, X], item positions that a request must not be answered (those already seen,
        say), on top of its filter; padded with -1.
      beams_of: int [B], beams of each request, 0 to M; None: M each.
      normalize: "level": log-probabilities are normalized over the codes of the level; "catalog":
        over the codes that lead to an item of the index, allowed or not; "legal": over those that
        lead to an allowed item.
      tail: items C that may be scored at once. As soon as no request has more than C items left
        below its beams, all of them are scored in one pass of the model (its ``score_tail``): fewer
        passes, and the exact best of those items. A model without ``score_tail`` goes on step by
        step. "auto": four items a beam. None: step by step. Each device decides for its requests.
      sample: a key of ``jax.random``: the M items are a sample without replacement from the model's
        distribution over the allowed items (a stochastic beam search), in the order drawn; items
        that share a semantic ID are drawn together. Needs ``normalize="legal"``.
      check: look for NaN in the model's output, and for positions out of range in arguments that
        are on the device already (those on the host are always checked).
      mesh: devices that share the requests, over its first axis. Needed only inside a function that
        is being transformed, where a history does not say how it is sharded (unless the axes of its
        mesh are explicit).

    Returns:
      The items, best first; ranks without an allowed item are padding.

    Raises:
      GenretError: an argument of the wrong shape, type or range; a filter of another index; a
        model with fewer codes than the index; with ``check``, NaN in the model's output.

    >>> from genret.index import TrieIndex
    >>> from genret.testing import TableModel
    >>> index = TrieIndex.from_codes([[0, 1], [0, 2], [3, 1]])
    >>> model = TableModel.random((4, 3), seed=0)
    >>> result = beam_search(model, jnp.array([7, 8]), index, beams=4, exclude=[[1], [-1]])
    >>> result.valid.tolist()
    [[True, True, False, False], [True, True, True, False]]
    """
    options = Options.of(beams, normalize, tail, sample, check)
    limits = Limits.of(
        index, filters=filters, filter_of=filter_of, exclude=exclude,
        beams_of=beams_of, beams=beams, check=check,
    )  # fmt: skip
    axis = DataAxis.of(history, mesh, index)
    if axis is not None and axis.items is not None and normalize != "level":
        raise GenretError(
            f"normalize: found {normalize!r} with an index in parts, expected 'level': "
            "the children of a beam lie on several devices"
        )
    if axis is None:
        result, nan_level = _search(model, history, index, limits, sample, options=options)
    else:
        result, nan_level = _search_sharded(
            model, history, index, limits, sample,
            options=options, axis=axis, specs=axis.specs(history, mesh is not None),
        )  # fmt: skip
    if nan_level is not None:
        _refuse_nan(nan_level)
    return result


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How to search.

    Attributes:
      beams: M.
      normalize: over which codes scores are normalized.
      tail: slots of the tail; 0: none.
      check: whether to look for NaN in the model's output.
    """

    beams: int
    normalize: str = "level"
    tail: int = 0
    check: bool = False

    @classmethod
    def of(
        cls,
        beams: int,
        normalize: str,
        tail: int | str | None,
        sample: Array | None,
        check: bool,
    ) -> "Options":
        """Check how to search, and that the ways go together."""
        check_count("beams", beams)
        check_normalize(normalize)
        if tail == "auto":
            tail = AUTO_WIDTH * beams
        if tail is not None and (isinstance(tail, bool) or not isinstance(tail, int) or tail < 1):
            raise GenretError(f"tail: found {tail!r}, expected 'auto', None or at least 1 item")
        if sample is not None and normalize != "legal":
            raise GenretError("sample: found a key, expected with it normalize='legal'")
        if tail is not None and normalize != "level":
            raise GenretError(f"tail: found with normalize={normalize!r}, expected with 'level'")
        return cls(beams=beams, normalize=normalize, tail=tail or 0, check=bool(check))


@functools.partial(jax.jit, static_argnames=("options",))
def _search(
    model: GenerativeModel[Cache],
    history: History,
    index: TrieIndex | LiveIndex,
    limits: Limits,
    sample: Array | None = None,
    *,
    options: Options,
) -> tuple[BeamResult, Int[Array, "B"] | None]:
    """Search; ``sample``: a key, or one of each request.

    Returns:
      The items; and where NaN is looked for, its first level of each request (-1: none).
    """
    readout, cache = model.prefill(history)
    batch = readout.shape[0]
    searched = limits.searched(index, batch)
    keys = sample if sample is None or sample.ndim else jax.random.split(sample, batch)
    end_code = index.end_code
    beams_of = None if limits.beams_of is None else jnp.asarray(limits.beams_of)

    def search_from(
        level: int, state: BeamState, readout: Readout, cache: Cache, nan_level: Array | None
    ) -> tuple[BeamResult, Array | None]:
        check_readout(readout, level, index.codes_per_level[level])
        if nan_level is not None:
            is_first = has_nan(readout, state.valid) & (nan_level < 0)
            nan_level = jnp.where(is_first, jnp.int32(level), nan_level)
        state, parents = next_beams(
            searched, level, state, readout, options.beams,
            beams_of=beams_of, normalize=options.normalize, end_code=end_code, keys=keys,
        )  # fmt: skip
        if level == index.depth - 1:
            answer = expand_leaves(searched, state, end_code=end_code, beams_of=beams_of)
            return answer, nan_level

        def go_on() -> tuple[BeamResult, Array | None]:
            following = model.step(state.codes[..., -1], parents, cache)
            return search_from(level + 1, state, *following, nan_level)

        if not options.tail or not isinstance(model, TailModel):
            return go_on()
        if not is_worthwhile(searched, level + 1, options.beams, options.tail):
            return go_on()
        below = rows_below(searched, state, options.tail)

        def finish() -> tuple[BeamResult, Array | None]:
            found = score_rows(
                model, cache, searched, state, parents, below, options.beams,
                end_code=end_code, beams_of=beams_of,
            )  # fmt: skip
            return found, nan_level

        return jax.lax.cond(below.fit, finish, go_on)

    nan_level = jnp.full((batch,), -1, jnp.int32) if options.check else None
    state = BeamState.at_root(searched, batch, sampling=keys is not None)
    return search_from(0, state, readout, cache, nan_level)


@functools.partial(jax.jit, static_argnames=("options", "axis", "specs"))
def _search_sharded(
    model: GenerativeModel,
    history: History,
    index: TrieIndex | LiveIndex,
    limits: Limits,
    sample: Array | None = None,
    *,
    options: Options,
    axis: DataAxis,
    specs: tuple[PyTreeDef, tuple[object, ...]],
) -> tuple[BeamResult, Int[Array, "B"] | None]:
    """Search with requests or items split over devices; ``specs``: how the history is."""
    structure, leaves = specs
    rows, whole = axis.rows, P()
    if sample is not None:  # each request has the key that it has on one device
        split = [leaf for leaf, spec in zip(jax.tree.leaves(history), leaves, strict=True) if spec]
        sample = jax.random.split(sample, split[0].shape[0])
        if AxisType.Explicit in axis.mesh.axis_types:  # there each array says how it is split
            sample = jax.sharding.reshard(sample, NamedSharding(axis.mesh, rows))
    search = functools.partial(_search, options=options)
    own_limits = limits.specs(of_requests=rows, shared=whole)
    own = jax.tree.unflatten(structure, leaves)
    return axis.each(search, (whole, own, specs_of(index), own_limits, rows))(
        model, history, index, limits, sample
    )


def _refuse_nan(nan_level: Int[Array, "B"]) -> None:
    if isinstance(nan_level, jax.core.Tracer):
        raise GenretError(
            "check: found True inside a JAX transformation, where nothing can be raised"
        )
    levels = np.asarray(nan_level)
    if (levels >= 0).any():
        request = int(np.argmax(levels >= 0))
        raise GenretError(
            f"model: found NaN in the readout of level {levels[request]}, request {request}"
        )
