"""Look-ups by whole lines: a TPU gathers 128 neighboring words in fewer cycles than two single ones."""

from collections.abc import Callable

import jax.numpy as jnp

from genret.typing import Array, Int, Shaped

LANES = 128
"""Words of a line: the lanes of a vector register of a TPU."""

Load = Callable[[Array, Array], Array]
"""Returns some lines of a table: of int32 [T, 128] and int32 [...], int32 [..., 128]."""


def lines_at(
    words: Shaped[Array, "*P N"], at: Int[Array, "*shape"], *lead: Array
) -> tuple[Shaped[Array, "*shape 128"], Int[Array, "*shape"]]:
    """Return the line in which each word is, and the lane that it is in.

    Args:
      words: of 32 bits.
      at: int32; those past the last word find the last one's line, or zeros behind it.
      lead: which of the sets of words to ask, for each axis P; broadcast with ``at``.

    >>> line, lane = lines_at(jnp.arange(300), jnp.array([130]))
    >>> line.shape, int(line[0, lane[0]])
    ((1, 128), 130)
    """
    fill = [(0, 0)] * len(lead) + [(0, -words.shape[-1] % LANES)]
    lines = jnp.pad(words, fill).reshape(*words.shape[:-1], -1, LANES)
    line, lane = jnp.divmod(at, LANES)
    return lines.at[(*lead, line)].get(mode="clip"), lane
