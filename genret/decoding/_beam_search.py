"""Exact constrained beam search: from a model, histories and an index to ranked items."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.decoding._leaves import expand_leaves, rows_below
from genret.decoding._protocol import GenerativeModel
from genret.decoding._readout import Readout, check_readout, has_nan
from genret.decoding._restriction import Restriction
from genret.decoding._state import BeamResult, BeamState
from genret.decoding._step import constrained_step
from genret.decoding._tail import AUTO_WIDTH, is_worthwhile, score_rows, tail_is_enough
from genret.errors import GenretError
from genret.index import FilterStack, ItemFilter, TrieIndex
from genret.typing import Array, Int


def beam_search(
    model: GenerativeModel,
    history: Any,
    index: TrieIndex,
    *,
    beams: int,
    filters: Any = None,
    filter_of: Any = None,
    exclude: Any = None,
    beams_of: Any = None,
    normalize: str = "level",
    tail: int | str | None = None,
    sample: Any = None,
    check: bool = False,
) -> BeamResult:
    """Find the items whose semantic IDs a model finds most probable, among those allowed.

    The score of an item is the sum over the levels of the log-probability of its code given the
    codes before it, normalized over the codes of the level. At each level the candidates of all
    beams of a request compete for M places; equal scores are ordered by beam and then by code.
    Items that share a semantic ID follow each other in the order of their positions. Everything
    forbidden is forbidden inside the search: the answer is that of an index of the allowed items.

    The whole search is one compiled program; a call with equal shapes reuses it. Under data
    parallelism, shard the history over the batch and replicate the model and the index. One beam is
    a greedy search.

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
        step. "auto": four items a beam. None: step by step. Over several devices the question
        whether all requests are there is the only one that they ask each other.
      sample: a key of ``jax.random``: the M items are a sample without replacement from the model's
        distribution over the allowed items (a stochastic beam search), in the order drawn; items
        that share a semantic ID are drawn together. Needs ``normalize="legal"``.
      check: look for NaN in the model's output, and for positions out of range in arguments that
        are on the device already (those on the host are always checked).

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
    if isinstance(beams, bool) or not isinstance(beams, int) or beams < 1:
        raise GenretError(f"beams: found {beams!r}, expected an integer of at least 1")
    options = _checked_options(index, beams, normalize, tail, sample)
    restriction = checked_restriction(index, filters, filter_of, exclude, check)
    beams_of = _checked_ints("beams_of", beams_of, 1, 0, beams, check)
    result, nan_level = _search(
        model, history, index, *restriction, beams_of, sample,
        beams=beams, options=options, check=check,
    )  # fmt: skip
    if check:
        _refuse_nan(nan_level)
    return result


NORMALIZE = ("level", "catalog", "legal")
"""Over which codes the scores of a search may be normalized."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How to search: over what scores are normalized, and the slots of the tail (0: none)."""

    normalize: str = "level"
    tail: int = 0


@functools.partial(jax.jit, static_argnames=("beams", "options", "check"))
def _search(
    model: GenerativeModel,
    history: Any,
    index: TrieIndex,
    filters: FilterStack | None,
    filter_of: Int[Array, "B"] | None,
    exclude: Int[Array, "B X"] | None,
    rows_of_items: tuple[Any, ...] | None,
    beams_of: Int[Array, "B"] | None,
    sample: Any = None,
    *,
    beams: int,
    options: Options = Options(),
    check: bool = False,
) -> tuple[BeamResult, Int[Array, "B"] | None]:
    """Search; with ``check``, also return the first level with NaN of each request (-1: none)."""
    readout, cache = model.prefill(history)
    batch = readout.shape[0]
    check_batch(batch, filter_of=filter_of, exclude=exclude, beams_of=beams_of)
    if filters is not None and filter_of is None:
        filter_of = jnp.zeros((batch,), jnp.int32)  # the only one
    restrictions = restrictions_of(index, filters, filter_of, exclude, rows_of_items)
    keys = None if sample is None else jax.random.split(sample, batch)
    has_tail = options.tail > 0 and hasattr(model, "score_tail")

    def search_from(
        level: int, state: BeamState, readout: Readout, cache: Any, nan_level: Array | None
    ) -> tuple[BeamResult, Array | None]:
        check_readout(readout, level, index.codes_per_level[level])
        if nan_level is not None:
            found = has_nan(readout, state.valid) & (nan_level < 0)
            nan_level = jnp.where(found, level, nan_level)
        state, parents = constrained_step(
            index, level, state, readout, restrictions, beams, beams_of,
            normalize=options.normalize, keys=keys,
        )  # fmt: skip
        if level == index.depth - 1:
            return expand_leaves(index, state, restrictions, beams_of), nan_level

        def go_on() -> tuple[BeamResult, Array | None]:
            following = model.step(state.codes[..., -1], parents, cache)
            return search_from(level + 1, state, *following, nan_level)

        if not has_tail or not is_worthwhile(index, level + 1, beams, options.tail):
            return go_on()
        below = rows_below(index, state, restrictions, options.tail)

        def finish() -> tuple[BeamResult, Array | None]:
            found = score_rows(model, cache, index, state, parents, below, beams, beams_of)
            return found, nan_level

        return jax.lax.cond(tail_is_enough(below, options.tail), finish, go_on)

    nan_level = jnp.full((batch,), -1, jnp.int32) if check else None
    state = BeamState.at_root(index, batch, sampling=keys is not None)
    return search_from(0, state, readout, cache, nan_level)


def checked_restriction(
    index: TrieIndex, filters: Any, filter_of: Any, exclude: Any, check: bool = False
) -> tuple[FilterStack | None, Any, Any, tuple[Any, ...] | None]:
    """Check what a caller forbids; return filters, filter_of, exclude and the rows of the items."""
    stack, filter_of = _checked_filters(index, filters, filter_of, check)
    exclude = _checked_ints("exclude", exclude, 2, -1, _last_position(index), check)
    return stack, filter_of, exclude, None if exclude is None else index.row_of_item


def restrictions_of(
    index: TrieIndex,
    filters: FilterStack | None,
    filter_of: Array | None,
    exclude: Array | None,
    rows_of_items: tuple[Any, ...] | None,
) -> tuple[Restriction | None, ...]:
    """Return what is forbidden in each segment."""
    found = []
    for number, segment in enumerate(index.segments):
        local = exclude
        if exclude is not None and number > 0:
            local = exclude - index.segments[0].num_rows  # positions go on from the first segment
        found.append(
            Restriction.of(
                segment,
                None if filters is None else filters.segments[number],
                filter_of,
                local,
                None if rows_of_items is None else rows_of_items[number],
            )
        )
    return tuple(found)


def check_normalize(normalize: Any) -> None:
    """Refuse what is no way to normalize."""
    if normalize not in NORMALIZE:
        raise GenretError(f"normalize: found {normalize!r}, expected one of {', '.join(NORMALIZE)}")


def _checked_options(
    index: TrieIndex, beams: int, normalize: Any, tail: Any, sample: Any
) -> Options:
    """Check how to search, and that the ways go together."""
    check_normalize(normalize)
    if tail == "auto":
        tail = AUTO_WIDTH * beams
    if tail is not None and (isinstance(tail, bool) or not isinstance(tail, int) or tail < 1):
        raise GenretError(f"tail: found {tail!r}, expected 'auto', None or at least 1 item")
    if sample is not None and normalize != "legal":
        raise GenretError("sample: found a key, expected with it normalize='legal'")
    if tail is not None and normalize != "level":
        raise GenretError(f"tail: found with normalize={normalize!r}, expected with 'level'")
    return Options(normalize=normalize, tail=tail or 0)


def _last_position(index: TrieIndex) -> int:
    if index.changes is not None:
        return index.num_items - 1
    # On the device nobody says how many items there are; what is past them excludes nothing.
    return sum(segment.layout.rows for segment in index.segments) - 1


def _checked_filters(
    index: TrieIndex,
    filters: Any,
    filter_of: Any,
    check: bool,
) -> tuple[FilterStack | None, Any]:
    """Stack the filters and check which of them each request chooses."""
    if filters is None:
        if filter_of is not None:
            raise GenretError("filter_of: found, but no filters")
        return index.allowed, None
    if isinstance(filters, ItemFilter):
        filters = [filters]
    stack = filters if isinstance(filters, FilterStack) else FilterStack.of(index, filters)
    stack.check_index(index)
    size = stack.capacity if stack.size < 0 else stack.size
    if filter_of is None:
        if size != 1:
            raise GenretError(f"filter_of: left out, expected one number a request: {size} filters")
        return stack, None
    return stack, _checked_ints("filter_of", filter_of, 1, 0, size - 1, check)


def _checked_ints(name: str, values: Any, ndim: int, least: int, most: int, check: bool) -> Any:
    """Return an argument as int32 after checking its shape, type and range."""
    if values is None:
        return None
    on_device = isinstance(values, jax.Array)
    try:
        array = values if on_device else np.asarray(values)
    except ValueError as e:
        raise GenretError(f"{name}: rows of different lengths, pad them with -1 ({e})") from e
    if array.ndim != ndim or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
        raise GenretError(
            f"{name}: found {array.dtype} {array.shape}, expected integers {'[B]' if ndim == 1 else '[B, X]'}"
        )
    # Reading an array back from the device waits for whatever computes it.
    if array.size and not isinstance(array, jax.core.Tracer) and (check or not on_device):
        low, high = int(array.min()), int(array.max())
        if low < least or high > most:
            raise GenretError(
                f"{name}: found {low if low < least else high}, expected {least} to {most}"
            )
    return array.astype(np.int32)


def check_batch(batch: int, **arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None and value.shape[0] != batch:
            raise GenretError(f"{name}: found {value.shape[0]} requests, the history has {batch}")


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
