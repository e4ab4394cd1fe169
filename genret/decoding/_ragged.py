"""A step at a level of nodes of any width: the children of all beams, end to end, in passes."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from genret.decoding._per_device import per_device
from genret.decoding._ranking import Draw
from genret.decoding._readout import Projection, Scored
from genret.decoding._restriction import NO_ROW, Restriction
from genret.decoding._state import Chosen, Place, of_beams
from genret.index.bits import rank
from genret.index.segment import Level, Segment
from genret.typing import Array, Float, Int

LEAST_SLOTS = 256
"""Children that a pass makes room for, at least."""


def ragged_step(
    segment: Segment,
    level: int,
    place: Place,
    scored: Scored,
    restriction: Restriction | None,
    beams: int,
    draw: Draw | None,
) -> Chosen:
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

    Returns:
      The children.
    """
    stored = segment.levels[level]
    begin = rank(stored.starts, place.lo)
    count = rank(stored.starts, place.hi) - begin
    dead = policies = policy_of = None
    if restriction is not None:
        policies, policy_of = restriction.policies, restriction.policy_of
        if restriction.excluded is not None:
            edges, is_dead = restriction.dead_edges(segment, level)
            dead = jnp.sort(jnp.where(is_dead, edges, NO_ROW), axis=1)
    table = None
    if isinstance(scored.readout, Projection):  # its table belongs to no request
        table = scored.readout.table
        scored = dataclasses.replace(scored, readout=scored.readout.hidden)
    requests = _Requests(
        begin=begin, count=count, scored=scored, dead=dead, policy_of=policy_of, draw=draw
    )
    mask = None if policies is None else policies.masks[level]
    shared = _Shared(level=stored, mask=mask, table=table)
    width = max(LEAST_SLOTS, beams, stored.layout.width * place.lo.shape[1])
    best = per_device(lambda own, every: _choose(own, every, beams, width), requests, shared)
    scores, keys, parents, edges = best
    lo, hi = of_beams(place.lo, parents), of_beams(place.hi, parents)
    return Chosen(
        scores=scores,
        keys=None if draw is None else keys,
        parents=parents,
        codes=stored.codes.at[edges].get(mode="clip").astype(jnp.int32),
        place=Place(
            nodes=edges,
            lo=stored.first_row(edges, lo, hi),
            hi=stored.first_row(edges + 1, lo, hi),
        ),
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class _Requests:
    """What belongs to a request: its beams' edges [B, M], scores, dead edges, policy, draw."""

    begin: Any
    count: Any
    scored: Scored
    dead: Any
    policy_of: Any
    draw: Draw | None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class _Shared:
    """What all requests read: the trie's level, the policies' edges, the output embedding."""

    level: Level
    mask: Any
    table: Any


def _choose(
    requests: _Requests, shared: _Shared, beams: int, width: int
) -> tuple[Array, Array, Array, Array]:
    """Return scores, keys, parents and edges of the best children, in passes of ``width``."""
    batch = requests.begin.shape[0]
    until = jnp.cumsum(requests.count, axis=1)
    total = until[:, -1].max()

    def over_passes(body: Callable[[Any, Any], Any], start: Any) -> Any:
        def step(carry: tuple[Any, Any]) -> tuple[Any, Any]:
            part, values = carry
            return part + 1, body(part, values)

        going = lambda carry: carry[0] * width < total  # noqa: E731
        return jax.lax.while_loop(going, step, (jnp.zeros((), jnp.int32), start))[1]

    def children(part: Any) -> tuple[Array, Array, Array]:
        return _children(requests, shared, until, part * width, width)

    scored, draw = requests.scored, requests.draw
    normaliser = scored.normaliser
    if normaliser is None:
        normaliser = _legal_normaliser(children, over_passes, scored.base)
    normaliser = scored.per_beam(normaliser)

    def scores_of(beam: Array, logits: Array) -> Array:
        scores = of_beams(scored.base, beam) + (logits - of_beams(normaliser, beam))
        return jnp.where(scores > -jnp.inf, scores, -jnp.inf)  # NaN cannot win a place

    largest = None
    if draw is not None:

        def see(part: Any, largest: Array) -> Array:
            beam, _, logits = children(part)
            drawn = scores_of(beam, logits) + draw.noise((width,), part)
            return largest.at[jnp.arange(batch)[:, None], beam].max(drawn)

        largest = over_passes(see, jnp.full_like(scored.base, -jnp.inf))

    def merge(part: Any, best: tuple[Array, Array, Array, Array]) -> Any:
        beam, edge, logits = children(part)
        scores = keys = scores_of(beam, logits)
        if draw is not None and largest is not None:
            drawn = scores + draw.noise((width,), part)
            keys = draw.condition(drawn, of_beams(largest, beam), of_beams(draw.parents, beam))
        # Those of earlier passes come first, so equal keys stay in the order of beam and code.
        joined = [
            jnp.concatenate(pair, 1) for pair in zip(best, (scores, keys, beam, edge), strict=True)
        ]
        _, where = jax.lax.top_k(joined[1], beams)
        return tuple(of_beams(values, where) for values in joined)

    nothing = jnp.full((batch, beams), -jnp.inf)
    nowhere = jnp.zeros((batch, beams), jnp.int32)
    return over_passes(merge, (nothing, nothing, nowhere, nowhere))


def _children(
    requests: _Requests, shared: _Shared, until: Int[Array, "B M"], start: Any, width: int
) -> tuple[Array, Array, Array]:
    """Return beam, edge and logit of the children ``start`` to ``start + width``; -inf: forbidden."""
    slot = jnp.broadcast_to(start + jnp.arange(width, dtype=jnp.int32), (until.shape[0], width))
    find = jax.vmap(
        lambda sums, slots: jnp.searchsorted(sums, slots, side="right", method="scan_unrolled")
    )
    beam = jnp.minimum(find(until, slot), until.shape[1] - 1).astype(jnp.int32)
    within = slot - of_beams(until - requests.count, beam)
    edge = of_beams(requests.begin, beam) + within
    legal = slot < until[:, -1:]
    edge = jnp.where(legal, edge, 0)
    level = shared.level
    if shared.mask is not None:
        words = shared.mask.at[requests.policy_of[:, None], edge // 32].get(mode="clip")
        legal &= words >> (edge % 32).astype(jnp.uint32) & 1 == 1
    if requests.dead is not None:
        near = jax.vmap(lambda own, asked: jnp.searchsorted(own, asked, method="scan_unrolled"))
        found = jnp.take_along_axis(requests.dead, near(requests.dead, edge), axis=1, mode="clip")
        legal &= found != edge
    codes = level.codes.at[edge].get(mode="clip").astype(jnp.int32)
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


def _legal_normaliser(
    children: Callable[[Any], Any], over_passes: Callable[[Any, Any], Any], base: Array
) -> Float[Array, "B M"]:
    """Return the logsumexp of the legal children's logits of each beam."""
    request = jnp.arange(base.shape[0])[:, None]

    def see(part: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        largest, total = carry
        beam, _, logits = children(part)
        new = largest.at[request, beam].max(logits)
        shift = jnp.where(jnp.isfinite(new), new, 0)
        total = total * jnp.exp(jnp.where(jnp.isfinite(largest), largest - shift, -jnp.inf))
        return new, total.at[request, beam].add(jnp.exp(logits - of_beams(shift, beam)))

    largest, total = over_passes(see, (jnp.full_like(base, -jnp.inf), jnp.zeros_like(base)))
    return jnp.where(jnp.isfinite(largest), largest, 0) + jnp.log(total)
