"""The rival: STATIC's open JAX code (github.com/youtube/static-constraint-decoding), as it is.

None of it is here: it is imported from a checkout. Its search asks a callable for logits and hands
it a "key" that may be any pytree, so the logits are run-time arguments of its compiled program, as
they are of ours.
"""

import dataclasses
import importlib
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.draws import GivenLogits
from genret.errors import GenretError
from genret.typing import Codes, Int

NAME = "static (its code)"
TOKENS_PER_BEAM = 30
"""Children of a beam that STATIC looks at in its dense step: its benchmark's choice, not exact."""


def load(checkout: Path) -> "Static":
    """Import STATIC from a checkout.

    Raises:
      GenretError: it is not there.
    """
    if not (checkout / "static_decoding" / "decoding_jax.py").is_file():
        raise GenretError(f"static: found no static_decoding/decoding_jax.py in {checkout}")
    sys.path.insert(0, str(checkout))
    try:
        build = importlib.import_module("static_decoding.csr_utils").build_static_index
        search = importlib.import_module("static_decoding.decoding_jax").sparse_transition_jax
    finally:
        sys.path.remove(str(checkout))
    return Static(build, search)


@dataclasses.dataclass(frozen=True)
class Index:
    """STATIC's index on the device."""

    arrays: tuple[jax.Array, ...]
    max_branch_factors: tuple[int, ...]
    vocab_size: int
    depth: int

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(array.nbytes for array in self.arrays)


@dataclasses.dataclass(frozen=True)
class Static:
    """STATIC's two functions."""

    build: Any
    search: Any

    def index(self, codes: Codes, vocab_size: int) -> Index:
        """Build its index of sorted codes and put it on the device."""
        built = self.build(codes, vocab_size, dense_lookup_layers=2)
        branches = tuple(int(width) for width in built[2])
        arrays = tuple(jnp.asarray(array) for array in (*built[:2], *built[3:]))
        return Index(arrays, branches, vocab_size, codes.shape[1])

    def decode(
        self,
        model: GivenLogits,
        history: Int[np.ndarray, "B"],
        index: Index,
        beams: int,
        tokens_per_beam: int = TOKENS_PER_BEAM,
    ) -> jax.Array:
        """Search; returns semantic IDs [B, M, L], of which some may not be valid."""
        return self.search(
            _answer, (model.first, history, *model.later), len(history), beams, tokens_per_beam,
            0, index.depth, index.vocab_size, index.max_branch_factors, *index.arrays, d_dense=2,
        )  # fmt: skip


def _answer(inputs: Any, state: Any) -> tuple[Any, Any]:
    """Be STATIC's model: the first call's state is (first, history, *later)."""
    del inputs
    if isinstance(state, tuple) and state[0].ndim == 2:
        first, history, *later = state
        return first[history][:, None], tuple(later)
    logits, *rest = state
    return logits.reshape(-1, 1, logits.shape[-1]), tuple(rest)
