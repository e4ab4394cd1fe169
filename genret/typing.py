"""The shape letters of the project, and the aliases built from them.

Every array in a public signature is annotated as ``Float[Array, "B M V"]`` (jaxtyping) with these
letters; the tests check the annotations at run time.

=====  ==================================================================
``B``  requests (users) in a batch
``M``  beams of a request
``L``  codes of an item: the depth of the trie
``V``  codes of a level
``N``  items of the catalog
``U``  users
``E``  events, or edges of the trie
``S``  nodes of a trie level
``K``  candidates, or children of a node
``C``  candidates of a request, over all of its beams
``W``  words of bits, or width of a hidden state
``T``  positions of a history
``D``  width of a vector
``X``  excluded items of a request
=====  ==================================================================
"""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, Shaped, UInt

if TYPE_CHECKING:
    from jax import Array

PathLike = str | os.PathLike[str]
"""Anything that names a file or a folder."""

Codes = Integer[np.ndarray, "N L"]
"""Semantic IDs on the host, one row an item; signed or unsigned integers."""

Vectors = Float[np.ndarray, "N D"]
"""Item vectors on the host, one row an item."""


def __getattr__(name: str) -> Any:
    """Load ``Array`` on first use: what reads files and configurations needs no JAX."""
    if name == "Array":
        import jax

        return jax.Array
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Array",
    "Bool",
    "Codes",
    "Float",
    "Int",
    "Integer",
    "PathLike",
    "Shaped",
    "UInt",
    "Vectors",
]
