"""A step at a level of nodes of any width: the children of all beams, end to end, in passes."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from genret.decoding._beside import SecondTrie
from genret.decoding._per_device import per_device
from genret.decoding._ranking import Draw
from genret.decoding._readout import Projection, Scored
from genret.decoding._restriction import NO_ROW, Restriction
from genret.decoding._sorted import count_before
from genret.decoding._state import Candidates, NodeRange, take_beams
from genret.index.segment import Level, Segment
from genret.typing import Array, Float, Int

LEAST_SLOTS = 256
"""Children that a pass makes room for, at least."""


def ragged_step(
    segment: Segment,
    level: int,
    place: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
    beams: int,
    draw: Draw | None,
    beside: SecondTrie | None = None,
) -> Candidates:
    """Choose the best children of all beams at a level whose nodes may be of any width.

    A padded array would be as wide as the widest node for every beam. Here child ``j`` of a request
    belongs to the first beam whose children, with those of the beams before it, are more than
    ``j``; passes over a fixed number of children go on until each request has seen all of its own.

    Args:
      segment: the segment.
      level: the level, a ragged one.
      place: where the beams stand.
      scored: the beams' scores and readouts.
      restriction: what the requests may not be answered; None forbids nothing.
      beams: M, children to choose.
      draw: the randomness of a sampling search; None: the best are chosen.
      beside: another trie, whose children are left out here; None: there is none.

    Returns:
      The children.
    """
    arguments = _arguments(segment, level, place, scored, restriction, draw, beside)
    width = _width(segment, level, place, beams)
    best = per_device(lambda own, every: _choose(own, every, beams, width), *arguments)
    scores, keys, parents, edges = best
    stored = segment.levels[level]
    begin, end = stored.rows_of(edges, take_beams(place.lo, parents), take_beams(place.hi, parents))
    return Candidates(
        scores=scores,
        keys=None if draw is None else keys,
        parents=parents,
        codes=stored.codes.at[edges].get(mode="clip").astype(jnp.int32),
        place=NodeRange(nodes=edges, lo=begin, hi=end),
    )


def ragged_normalizer(
    segment: Segment,
    level: int,
    place: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
    beside: SecondTrie | None,
) -> Float[Array, "B M"]:
    """Return the logsumexp of the logits of each beam's children; -inf: it has none."""
    arguments = _arguments(segment, level, place, scored, restriction, None, beside)
    width = _width(segment, level, place, 1)
    return per_device(lambda own, every: _Passes(own, every, width).normalizer(), *arguments)


def ragged_largest(
    segment: Segment,
    level: int,
    place: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
    beams: int,
    draw: Draw,
    beside: SecondTrie | None,
) -> Float[Array, "B M"]:
    """Return ``max(g)`` of each beam, as :func:`ragged_step` draws; -inf: it has no child."""
    arguments = _arguments(segment, level, place, scored, restriction, draw, beside)
    width = _width(segment, level, place, beams)  # each pass draws for itself
    return per_device(lambda own, every: _Passes(own, every, width).largest(), *arguments)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class _Requests:
    """What belongs to a request: its beams' edges [B, M], scores, dead edges, filter, draw."""

    begin: Any
    count: Any
    scored: Scored
    dead: Any
    filter_of: Any
    draw: Draw | None
    beside: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class _Shared:
    """What all requests read: the trie's level, the filters' edges, the output embedding."""

    level: Level
    mask: Any
    table: Any
    beside: Any


def _arguments(
    segment: Segment,
    level: int,
    place: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
    draw: Draw | None,
    beside: SecondTrie | None,
) -> tuple[_Requests, _Shared]:
    stored = segment.levels[level]
    begin = stored.edges_before(place.lo)
    count = stored.edges_before(place.hi) - begin
    dead = filters = filter_of = None
    if restriction is not None:
        filters, filter_of = restriction.filters, restriction.filter_of
        if restriction.excluded is not None:
            edges, is_dead = restriction.dead_edges(segment, level)
            dead = jnp.sort(jnp.where(is_dead, edges, NO_ROW), axis=1)
    table = None
    if isinstance(scored.readout, Projection):  # its table belongs to no request
        table = scored.readout.table
        scored = dataclasses.replace(scored, readout=scored.readout.hidden)
    own, every = (None, None) if beside is None else beside.split()
    requests = _Requests(
        begin=begin,
        count=count,
        scored=scored,
        dead=dead,
        filter_of=filter_of,
        draw=draw,
        beside=own,
    )
    mask = None if filters is None else filters.masks[level]
    return requests, _Shared(level=stored, mask=mask, table=table, beside=every)


def _width(segment: Segment, level: int, place: NodeRange, beams: int) -> int:
    """Return the children of a pass."""
    return max(LEAST_SLOTS, beams, segment.levels[level].layout.width * place.lo.shape[1])


class _Passes:
    """The children of all requests of a device, ``width`` of each request at a time."""

    def __init__(self, requests: _Requests, shared: _Shared, width: int) -> None:
        self.requests, self.shared, self.width = requests, shared, width
        self.until = jnp.cumsum(requests.count, axis=1)
        self.request = jnp.arange(self.until.shape[0])[:, None]

    def over(self, body: Callable[[Any, Any], Any], start: Any) -> Any:
        """Carry a value over the passes: ``body(part, value)``."""
        total = self.until[:, -1].max()

        def step(carry: tuple[Any, Any]) -> tuple[Any, Any]:
            part, values = carry
            return part + 1, body(part, values)

        going = lambda carry: carry[0] * self.width < total  # noqa: E731
        return jax.lax.while_loop(going, step, (jnp.zeros((), jnp.int32), start))[1]

    def children(self, part: Any) -> tuple[Array, Array, Array]:
        """Return beam, edge and logit of the children of a pass; -inf: forbidden."""
        return _children(self.requests, self.shared, self.until, part * self.width, self.width)

    def scores(self, normalizer: Array, beam: Array, logits: Array) -> Array:
        base = take_beams(self.requests.scored.base, beam)
        scores = base + (logits - take_beams(normalizer, beam))
        return jnp.where(scores > -jnp.inf, scores, -jnp.inf)  # NaN cannot win a place

    def drawn(self, scores: Array, part: Any) -> Array:
        """Return the scores of a pass plus its Gumbel variables."""
        draw = self.requests.draw
        assert draw is not None
        return scores + draw.noise((self.width,), part)

    def given_normalizer(self) -> Float[Array, "B M"]:
        """Return the normalizer that was given, or that of the children here."""
        scored = self.requests.scored
        own = self.normalizer() if scored.normalizer is None else scored.normalizer
        return scored.per_beam(own)

    def normalizer(self) -> Float[Array, "B M"]:
        """Return the logsumexp of the children's logits of each beam."""

        def see(part: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            largest, total = carry
            beam, _, logits = self.children(part)
            new = largest.at[self.request, beam].max(logits)
            shift = jnp.where(jnp.isfinite(new), new, 0)
            total = total * jnp.exp(jnp.where(jnp.isfinite(largest), largest - shift, -jnp.inf))
            more = jnp.exp(logits - take_beams(shift, beam))
            return new, total.at[self.request, beam].add(more)

        base = self.requests.scored.base
        start = (jnp.full_like(base, -jnp.inf), jnp.zeros_like(base))
        largest, total = self.over(see, start)
        return jnp.where(jnp.isfinite(largest), largest, 0) + jnp.log(total)

    def largest(self) -> Float[Array, "B M"]:
        """Return the largest ``phi + Gumbel`` of the children of each beam."""
        normalizer = self.given_normalizer()

        def see(part: Any, largest: Array) -> Array:
            beam, _, logits = self.children(part)
            drawn = self.drawn(self.scores(normalizer, beam, logits), part)
            return largest.at[self.request, beam].max(drawn)

        return self.over(see, jnp.full_like(self.requests.scored.base, -jnp.inf))


def _choose(
    requests: _Requests, shared: _Shared, beams: int, width: int
) -> tuple[Array, Array, Array, Array]:
    """Return scores, keys, parents and edges of the best children."""
    passes = _Passes(requests, shared, width)
    normalizer = passes.given_normalizer()
    draw = requests.draw
    largest = None
    if draw is not None:
        largest = passes.largest() if draw.largest is None else draw.largest

    def merge(part: Any, best: tuple[Array, Array, Array, Array]) -> Any:
        beam, edge, logits = passes.children(part)
        scores = keys = passes.scores(normalizer, beam, logits)
        if draw is not None and largest is not None:
            most, parent = take_beams(largest, beam), take_beams(draw.parents, beam)
            keys = draw.condition(passes.drawn(scores, part), most, parent)
        # Those of earlier passes come first, so equal keys stay in the order of beam and code.
        joined = [
            jnp.concatenate(pair, 1) for pair in zip(best, (scores, keys, beam, edge), strict=True)
        ]
        _, where = jax.lax.top_k(joined[1], beams)
        return tuple(take_beams(values, where) for values in joined)

    batch = requests.begin.shape[0]
    nothing = jnp.full((batch, beams), -jnp.inf)
    nowhere = jnp.zeros((batch, beams), jnp.int32)
    return passes.over(merge, (nothing, nothing, nowhere, nowhere))


def _children(
    requests: _Requests, shared: _Shared, until: Int[Array, "B M"], start: Any, width: int
) -> tuple[Array, Array, Array]:
    """Return beam, edge and logit of the children ``start`` to ``start + width``; -inf: forbidden."""
    slot = jnp.broadcast_to(start + jnp.arange(width, dtype=jnp.int32), (until.shape[0], width))
    beam = jnp.minimum(count_before(until, slot, equal=True), until.shape[1] - 1)
    within = slot - take_beams(until - requests.count, beam)
    edge = take_beams(requests.begin, beam) + within
    legal = slot < until[:, -1:]
    edge = jnp.where(legal, edge, 0)
    level = shared.level
    if shared.mask is not None:
        words = shared.mask.at[requests.filter_of[:, None], edge // 32].get(mode="clip")
        legal &= words >> (edge % 32).astype(jnp.uint32) & 1 == 1
    if requests.dead is not None:
        near = count_before(requests.dead, edge)
        found = jnp.take_along_axis(requests.dead, near, axis=1, mode="clip")
        legal &= found != edge
    codes = level.codes.at[edge].get(mode="clip").astype(jnp.int32)
    if requests.beside is not None:
        legal &= ~SecondTrie.join(requests.beside, shared.beside).holds(beam, codes)
    logits = _logits(requests.scored.readout, shared.table, beam, codes)
    return beam, edge, jnp.where(legal, logits, -jnp.inf)


def _logits(
    readout: Any, table: Array | None, beam: Int[Array, "B C"], codes: Int[Array, "B C"]
) -> Float[Array, "B C"]:
    request = jnp.arange(beam.shape[0])[:, None]
    beam = jnp.minimum(beam, readout.shape[1] - 1)  # one readout may stand for all beams
    if table is None:
        return readout.at[request, beam, codes].get(mode="clip").astype(jnp.float32)
    return jnp.einsum(
        "bcd,bcd->bc",
        readout.at[request, beam].get(mode="clip"),
        table.at[codes].get(mode="clip"),
        preferred_element_type=jnp.float32,
    )
