"""The rival: STATIC's open JAX code (github.com/youtube/static-constraint-decoding), as it is.

None of it is here: it is imported from a checkout. Its search asks a callable for logits and hands
it a "key" that may be any pytree, so the logits are run-time arguments of its compiled program, as
they are of ours. It is not exact: of the children of a beam it looks at 30 in its dense step.
"""

import dataclasses
import functools
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.methods._base import Beams, Method, Unsupported
from genret.errors import GenretError
from genret.pytree import register_pytree, static_field
from genret.typing import Codes

NAME = "static (its code)"


def use(checkout: Path | None) -> None:
    """Let STATIC be imported from a checkout, if there is one, here and in processes that this one starts."""
    if checkout is not None:
        if not (checkout / "static_decoding" / "decoding_jax.py").is_file():
            raise GenretError(f"static: found no static_decoding/decoding_jax.py in {checkout}")
        sys.path.append(str(checkout))


def available() -> bool:
    """Say whether STATIC can be imported."""
    return importlib.util.find_spec("static_decoding") is not None


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class StaticCode(Method):
    """STATIC's index, and its own whole search."""

    arrays: tuple[Any, ...]
    branches: tuple[int, ...] = static_field()
    shape: tuple[int, int] = static_field()  # codes of a level, and levels
    tokens_per_beam: int = static_field()

    name: ClassVar[str] = NAME
    exact: ClassVar[bool] = False

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int], tokens_per_beam: int = 30) -> Self:
        """Build its index of sorted codes and put it on the device."""
        if not available():
            raise Unsupported(f"{NAME}: is not here: --static CHECKOUT")
        build = importlib.import_module("static_decoding.csr_utils").build_static_index
        num_codes = codes_per_level[0]
        built = build(codes, num_codes, dense_lookup_layers=2)
        return cls(
            arrays=tuple(jnp.asarray(array) for array in (*built[:2], *built[3:])),
            branches=tuple(int(width) for width in built[2]),
            shape=(num_codes, codes.shape[1]),
            tokens_per_beam=tokens_per_beam,
        )

    def run(self, model: Any, history: Any, levels: int, beams: int) -> Beams:
        """Search; some of the semantic IDs may not be valid, and there are no scores."""
        search = importlib.import_module("static_decoding.decoding_jax").sparse_transition_jax
        num_codes, depth = self.shape
        codes = search(
            _answer, (model.first, history, *model.later), len(history), beams,
            self.tokens_per_beam, 0, depth, num_codes, self.branches, *self.arrays, d_dense=2,
        )  # fmt: skip
        zeros = np.zeros(codes.shape[:2], np.int32)
        return Beams(scores=zeros.astype(np.float32), codes=codes, parents=zeros, place=None)

    def compiled(self, *arguments: Any) -> Callable[[], Any]:
        """Run it once: it is compiled then."""
        search = functools.partial(self.run, *arguments)
        jax.block_until_ready(search())
        return search


def _answer(inputs: Any, state: Any) -> tuple[Any, Any]:
    """Be STATIC's model: the first call's state is (first, history, *later)."""
    del inputs
    if isinstance(state, tuple) and state[0].ndim == 2:
        first, history, *later = state
        return first[history][:, None], tuple(later)
    logits, *rest = state
    return logits.reshape(-1, 1, logits.shape[-1]), tuple(rest)
