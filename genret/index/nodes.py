"""Where beams stand in a trie, and the look-ups that the index and the search share."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from genret.pytree import register_pytree
from genret.typing import Array, Bool, Int, Shaped

MOST_COMPARED = 1024
"""Values of a row up to which a TPU compares with all of them."""
FEW = 64
"""Values of a row up to which every platform does."""


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeRange:
    """The nodes of a trie at which beams stand, and the rows of items below them.

    Attributes:
      nodes: int32 [B, M], nodes of the level.
      lo: int32 [B, M], the first row below each node.
      hi: int32 [B, M], the row after the last one; equal to ``lo``: the beam is not in this trie.
    """

    nodes: Int[Array, "B M"]
    lo: Int[Array, "B M"]
    hi: Int[Array, "B M"]

    @classmethod
    def at_root(cls, batch: int, num_rows: Int[Array, ""]) -> "NodeRange":
        """Return one beam a request, at the root of a trie of ``num_rows`` rows."""
        zeros = jnp.zeros((batch, 1), jnp.int32)
        return cls(nodes=zeros, lo=zeros, hi=jnp.broadcast_to(num_rows, zeros.shape))

    def where(self, valid: Bool[Array, "B M"]) -> "NodeRange":
        """Return the range with nothing below the beams that are not valid."""
        return NodeRange(
            nodes=jnp.where(valid, self.nodes, 0),
            lo=jnp.where(valid, self.lo, 0),
            hi=jnp.where(valid, self.hi, 0),
        )

    def rows_of(self, beams: Int[Array, "B K"]) -> tuple[Int[Array, "B K"], Int[Array, "B K"]]:
        """Return ``lo`` and ``hi`` of some beams."""
        return take_beams(self.lo, beams), take_beams(self.hi, beams)


def take_beams(
    values: Shaped[Array, "B M *rest"], beams: Int[Array, "B N"]
) -> Shaped[Array, "B N *rest"]:
    """Return the values of some beams of each request.

    A TPU compares with all beams in a third of the cycles of a gather of single numbers.
    """
    few = values.ndim == 2 and values.shape[1] <= MOST_COMPARED
    if few and values.dtype in (jnp.int32, jnp.uint32, jnp.float32):
        compare = taken_by_comparison
        return jax.lax.platform_dependent(values, beams, tpu=compare, default=_taken_by_gather)
    return _taken_by_gather(values, beams)


def taken_by_comparison(
    values: Shaped[Array, "B M"], beams: Int[Array, "B N"]
) -> Shaped[Array, "B N"]:
    """Return what :func:`take_beams` does, of one number a beam: a sum of which all but that is masked."""
    beam = jnp.arange(values.shape[1], dtype=jnp.int32).reshape(1, -1, 1)
    # Along this axis a TPU adds whole registers.
    return jnp.where(beams[:, None] == beam, values[..., None], 0).sum(axis=1, dtype=values.dtype)


def _taken_by_gather(
    values: Shaped[Array, "B M *rest"], beams: Int[Array, "B N"]
) -> Shaped[Array, "B N *rest"]:
    where = beams.reshape(*beams.shape, *[1] * (values.ndim - 2))
    return jnp.take_along_axis(values, where, axis=1, mode="clip")


def count_before(
    ascending: Int[Array, "B K"], asked: Int[Array, "*#B S"], *, equal: bool = False
) -> Int[Array, "B S"]:
    """Return how many values of a row are less than each that is asked for.

    Each value is compared with all where they are few, which is quicker than the gathers of a binary
    search and one kernel instead of a dozen; a TPU also does so where they are many. Other
    platforms then search, as :func:`jax.numpy.searchsorted` does. That one carries two
    bounds, and each of its steps makes two new ones out of both: unrolled, the paths from the first
    step to the last double with every step, and XLA's compiler for CPUs (from jaxlib 0.12 on) walks all
    of them, for minutes or for ever. Here one count is carried, and a step adds to it.

    Args:
      ascending: int32, each row in order; K may be 0.
      asked: int32, values for each row, or the same for all.
      equal: whether values that are equal count too.

    Returns:
      int32 counts, 0 to K.

    >>> count_before(jnp.array([[2, 5, 5, 9]]), jnp.array([[1, 5, 10]])).tolist()
    [[0, 1, 4]]
    >>> count_before(jnp.array([[2, 5, 5, 9]]), jnp.array([[1, 5, 10]]), equal=True).tolist()
    [[0, 3, 4]]
    """
    asked = jnp.broadcast_to(asked, (ascending.shape[0], asked.shape[-1]))
    search = functools.partial(_count_by_bisection, equal=equal)
    compare = functools.partial(count_by_comparison, equal=equal)
    if ascending.shape[1] > MOST_COMPARED:
        return search(ascending, asked)
    if ascending.shape[1] <= FEW:
        return compare(ascending, asked)
    return jax.lax.platform_dependent(ascending, asked, tpu=compare, default=search)


def count_by_comparison(
    ascending: Int[Array, "B K"], asked: Int[Array, "B S"], *, equal: bool
) -> Int[Array, "B S"]:
    """Return what :func:`count_before` does: each value is compared with all."""
    compare = jnp.less_equal if equal else jnp.less
    before = compare(ascending[:, None], asked[..., None])
    return before.sum(axis=-1, dtype=jnp.int32)


def _count_by_bisection(
    ascending: Int[Array, "B K"], asked: Int[Array, "B S"], *, equal: bool
) -> Int[Array, "B S"]:
    compare = jnp.less_equal if equal else jnp.less
    count = jnp.zeros_like(asked)
    left = ascending.shape[1]  # values that the count may still rise by
    while left:
        step = (left + 1) // 2
        value = jnp.take_along_axis(ascending, count + (step - 1), axis=1, mode="clip")
        count += jnp.where(compare(value, asked), step, 0)
        left -= step
    return count
