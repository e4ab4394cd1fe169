"""What the beam search asks of a model."""

from typing import Any, Protocol, TypeVar, runtime_checkable

from genret.decoding._readout import Readout
from genret.typing import Array, Int

Cache = TypeVar("Cache")
"""A model's own state between the levels: any pytree."""


@runtime_checkable
class GenerativeModel(Protocol[Cache]):
    """A model that spells semantic IDs, one code after the other.

    A model is a pytree (a registered dataclass, a flax.nnx module, …), so that it goes through
    ``jax.jit`` as an argument; histories and caches are pytrees of the model's own.

    A model may also have ``score_tail(codes [B, C, T], parents [B, C], cache)``: with a cache whose
    last readout was that of level ``l``, it returns the log-probabilities, float32 [B, C, T], of
    the ``T = L - l`` codes of each continuation given those before it, in one pass. ``parents``
    are beams of that readout.
    """

    def prefill(self, history: Any) -> tuple[Readout, Cache]:
        """Read the histories, once per request.

        Args:
          history: what the model takes for a batch of B requests.

        Returns:
          The readout of level 0, and the cache.
        """
        ...

    def step(
        self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: Cache
    ) -> tuple[Readout, Cache]:
        """Extend beams by one code.

        Args:
          codes: int32, the codes that were chosen at the previous level. Beams that are no longer
            alive have code 0.
          parents: int32, the beam of the previous readout that each beam extends. After
            ``prefill`` there is one, 0.
          cache: the cache of the previous readout.

        Returns:
          The readout of the next level, and its cache.
        """
        ...
