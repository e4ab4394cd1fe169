"""The beams of a request as one array: what a level reads and writes is one record a beam.

A record is a row of 128 int32. It holds the codes of the beam so far, its score, and the items
below it: how many there are, which of them are allowed, and all of their remaining codes. So a
level needs no table beside the logits, and moving a beam moves everything that belongs to it.

Lanes of a record:

- 0 to 23: the codes so far, one a level;
- ``SCORE``: the bits of the score, float32;
- ``LO``: the first row of the items below the beam; ``COUNT``: how many there are, 0: no beam;
- ``ALLOWED``: bit k says whether row ``LO + k`` is allowed;
- ``NODE``: the number of the beam's node, where a level asks for it, see
  :mod:`genret_kernels.lines_level.layout`;
- ``DATA`` on: for each pair of remaining levels ``stride`` lanes, one for each row: the code of the
  first level of the pair in the lower 16 bits, that of the second in the upper ones.

Rows are in the order of their codes, so the children of a beam are the runs of equal codes.
"""

import jax
import jax.numpy as jnp

LANES = 128
MOST_LEVELS = 24
SCORE, LO, COUNT, ALLOWED, NODE, DATA = 24, 25, 26, 27, 28, 32
MOST_ROWS = 32
"""Rows of a beam at most: the bits of a word."""


def num_words(levels: int) -> int:
    """Return the 32-bit words that hold a row's codes of some levels."""
    return -(-levels // 2)


def fits(stride: int, levels: int, depth: int) -> bool:
    """Say whether a record has room for ``stride`` rows of ``levels`` remaining codes."""
    in_data = stride * num_words(levels) <= LANES - DATA
    return in_data and stride <= MOST_ROWS and depth <= MOST_LEVELS


def num_records(beams: int) -> int:
    """Return the records of a request: its beams, filled up to whole registers."""
    return -(-beams // 8) * 8


def pack(
    codes: jax.Array,
    scores: jax.Array,
    lo: jax.Array,
    count: jax.Array,
    allowed: jax.Array,
    words: jax.Array | None = None,
    *,
    beams: int | None = None,
    nodes: jax.Array | None = None,
) -> jax.Array:
    """Put beams into records.

    Args:
      codes: int32 [B, M, l], the codes so far.
      scores: float32 [B, M].
      lo: int32 [B, M].
      count: int32 [B, M], rows of each beam; 0: no beam.
      allowed: uint32 [B, M].
      words: uint32 [B, M, P, stride], the remaining codes of the rows; None: they are 0, for
        :func:`genret_kernels.load_rows.load_rows` to fill.
      beams: beams to make room for; None: M.
      nodes: int32 [B, M], the numbers of their nodes; None: 0.

    Returns:
      int32 [B, beams filled up, 128].
    """
    bits = lambda x: jax.lax.bitcast_convert_type(x, jnp.int32)[..., None]  # noqa: E731
    gap = jnp.zeros((*scores.shape, MOST_LEVELS - codes.shape[-1]), jnp.int32)
    parts = [codes, gap, bits(scores), lo[..., None], count[..., None], bits(allowed)]
    parts.append((jnp.zeros_like(lo) if nodes is None else nodes)[..., None])
    if words is not None:
        data = jax.lax.bitcast_convert_type(words, jnp.int32).reshape(*scores.shape, -1)
        parts += [jnp.zeros((*scores.shape, DATA - NODE - 1), jnp.int32), data]
    records = jnp.concatenate(parts, axis=-1)
    room = num_records(scores.shape[1] if beams is None else beams)
    fill = ((0, 0), (0, room - scores.shape[1]))
    return jnp.pad(records, (*fill, (0, LANES - records.shape[-1])))
