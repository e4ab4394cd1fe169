"""The dense head of a model as a model of its own, whose semantic ID is the item itself."""

import dataclasses

from genret.errors import GenretError
from genret.models._history import History
from genret.models._item_decoder import ItemDecoder
from genret.pytree import register_pytree
from genret.typing import Array, Float, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseHead:
    """Scores every item by the inner product of its vector with the state of the history.

    It is searched like a model whose item i has the one code i. Where both heads are searched,
    :meth:`ItemDecoder.prefill_heads` reads the histories once.

    Source: Yang et al., Unifying Generative and Dense Retrieval for Sequential Recommendation
    (LIGER), arXiv 2411.18814, 2024.

    Attributes:
      model: a model with a dense head.
      codes: the codes of every item, as the model reads them, int32 [N, L].

    >>> import jax.numpy as jnp
    >>> from genret.config import ItemDecoderConfig
    >>> from genret.models import build_model
    >>> shape = {"width": 16, "heads": 2, "kv_heads": 2, "head_dim": 8, "dense_head": True}
    >>> model = build_model(ItemDecoderConfig(codes_per_level=(8, 4), **shape), 0)
    >>> head = DenseHead(model=model, codes=jnp.array([[0, 1], [7, 3], [2, 2]]))
    >>> head.prefill(History.from_items(head.codes, [[0, 2]], max_items=3))[0].shape
    (1, 1, 3)
    """

    model: ItemDecoder
    codes: Int[Array, "N L"]

    def prefill(self, history: History) -> tuple[Float[Array, "B 1 N"], None]:
        """Read the histories, once per request.

        Args:
          history: B histories.

        Returns:
          Float32 scores [B, 1, N] of the next item, and no cache: no level follows.
        """
        _, scores = self.model.prefill_heads(history, self.model.item_vectors(self.codes))
        return scores, None

    def step(self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: None) -> None:
        """Refuse: an item is one code, so no level follows.

        Raises:
          GenretError: always.
        """
        raise GenretError("step: a dense head has one level: no level follows")
