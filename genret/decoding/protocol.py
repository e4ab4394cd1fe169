"""What the beam search asks of a model, and an adapter for models of one pass."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp

from genret.decoding.readout import Readout
from genret.errors import GenretError
from genret.pytree import register_pytree
from genret.typing import Array, Float, Int

History = Any
"""What a model reads for a batch of B requests: any pytree."""

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

    def prefill(self, history: History) -> tuple[Readout, Cache]:
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


@runtime_checkable
class TailModel(GenerativeModel[Cache], Protocol[Cache]):
    """A model that can score the rest of many semantic IDs in one pass."""

    def score_tail(
        self, codes: Int[Array, "B C T"], parents: Int[Array, "B C"], cache: Cache
    ) -> Float[Array, "B C T"]:
        """Score the remaining codes of continuations; see :class:`GenerativeModel`."""
        ...


@runtime_checkable
class LevelsModel(Protocol):
    """A model of one pass: the logits of a level do not depend on the codes before it."""

    def __call__(self, history: History) -> Array | Sequence[Array]:
        """Return the logits of all levels: [B, L, V], or a sequence of L arrays [B, V_l]."""
        ...


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class ParallelHeads:
    """Makes a model of one pass searchable: after that pass the model is not called again.

    The search is the one of any other model: exact, under the trie and filters. (RecGPT, arXiv
    2506.06270, and RPG, arXiv 2506.05781, predict all codes at once; their own decoders walk a
    Python trie, or a graph.)

    Attributes:
      model: any pytree with ``__call__(history)``, see :class:`LevelsModel`.

    >>> from genret import TrieIndex, beam_search
    >>> class Fixed:  # two requests, two levels, three codes
    ...     def __call__(self, history):
    ...         return jnp.log(jnp.array([[[0.2, 0.7, 0.1], [0.1, 0.1, 0.8]]] * 2))
    >>> _ = jax.tree_util.register_static(Fixed)
    >>> index = TrieIndex.from_codes([[0, 2], [1, 0], [2, 2]])
    >>> beam_search(ParallelHeads(model=Fixed()), None, index, beams=2).items.tolist()
    [[0, 1], [0, 1]]
    """

    model: LevelsModel

    def prefill(self, history: History) -> tuple[Float[Array, "B 1 V"], tuple[Array, ...]]:
        """Call the model; see :meth:`genret.decoding.GenerativeModel.prefill`."""
        levels = self.model(history)
        if isinstance(levels, jax.Array):
            if levels.ndim != 3:
                raise GenretError(f"model: logits are {levels.shape}, expected [B, L, V]")
            levels = [levels[:, level] for level in range(levels.shape[1])]
        first, *rest = (logits[:, None] for logits in levels)
        return first, (first, *rest)

    def step(
        self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: tuple[Array, ...]
    ) -> tuple[Float[Array, "B 1 V"], tuple[Array, ...]]:
        """Return the logits of the next level, the same ones for all beams."""
        if len(cache) < 2:
            raise GenretError("model: gives logits of fewer levels than the index has")
        return cache[1], cache[1:]

    def score_tail(
        self, codes: Int[Array, "B C T"], parents: Int[Array, "B C"], cache: tuple[Array, ...]
    ) -> Float[Array, "B C T"]:
        """Score the remaining codes; see :class:`genret.decoding.GenerativeModel`."""
        if len(cache) < codes.shape[-1]:
            raise GenretError("model: gives logits of fewer levels than the index has")
        scores = []
        for offset in range(codes.shape[-1]):
            log_probs = jax.nn.log_softmax(cache[offset][:, 0].astype(jnp.float32))
            scores.append(jnp.take_along_axis(log_probs, codes[..., offset], axis=1, mode="clip"))
        return jnp.stack(scores, axis=-1)
