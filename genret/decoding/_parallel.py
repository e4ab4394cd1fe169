"""Parallel heads: a model that gives the logits of all levels in one pass."""

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from genret.errors import GenretError
from genret.typing import Array, Float, Int


class LevelsModel(Protocol):
    """A model of one pass: the logits of a level do not depend on the codes before it."""

    def __call__(self, history: Any) -> Any:
        """Return the logits of all levels: [B, L, V], or a sequence of L arrays [B, V_l]."""
        ...


@jax.tree_util.register_dataclass
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

    model: Any

    def prefill(self, history: Any) -> tuple[Float[Array, "B 1 V"], tuple[Any, ...]]:
        """Call the model; see :meth:`genret.decoding.GenerativeModel.prefill`."""
        levels = self.model(history)
        if hasattr(levels, "ndim"):
            if levels.ndim != 3:
                raise GenretError(f"model: logits are {levels.shape}, expected [B, L, V]")
            levels = [levels[:, level] for level in range(levels.shape[1])]
        first, *rest = (logits[:, None] for logits in levels)
        return first, (first, *rest)

    def step(
        self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: tuple[Any, ...]
    ) -> tuple[Float[Array, "B 1 V"], tuple[Any, ...]]:
        """Return the logits of the next level, the same ones for all beams."""
        if len(cache) < 2:
            raise GenretError("model: gives logits of fewer levels than the index has")
        return cache[1], cache[1:]

    def score_tail(
        self, codes: Int[Array, "B C T"], parents: Int[Array, "B C"], cache: tuple[Any, ...]
    ) -> Float[Array, "B C T"]:
        """Score the remaining codes; see :class:`genret.decoding.GenerativeModel`."""
        if len(cache) < codes.shape[-1]:
            raise GenretError("model: gives logits of fewer levels than the index has")
        scores = []
        for offset in range(codes.shape[-1]):
            log_probs = jax.nn.log_softmax(cache[offset][:, 0].astype(jnp.float32))
            scores.append(jnp.take_along_axis(log_probs, codes[..., offset], axis=1, mode="clip"))
        return jnp.stack(scores, axis=-1)
