"""Weights of what is fused with the codes of a model, tried on held-out items."""

from typing import Any

from genret.config import EvaluateConfig
from genret.data import HeldOut
from genret.evaluation import ndcg, target_ranks
from genret.index import TrieIndex
from genret.models import Transitions, capabilities_of
from genret.recommend import lists_by_share
from genret.semantic_ids import SemanticIds

DENSE_SHARES = tuple(share / 10 for share in range(11))
"""Weights of a dense head that are tried."""
TRANSITION_SHARES = tuple(share / 10 for share in range(10))
"""Weights of counted transitions that are tried, each with each of the dense head's."""

Shares = tuple[float | None, float | None]
"""Weight of the dense head and of the transitions; None where a model has none of them."""


def ndcg_by_share(
    model: Any,
    counts: Transitions | None,
    semantic_ids: SemanticIds,
    trie: TrieIndex,
    asked: HeldOut,
    config: EvaluateConfig,
    *,
    max_items: int,
) -> dict[Shares, float]:
    """Return the NDCG@10 of each pair of weights.

    Args:
      model: the model.
      counts: the transitions; None: there are none.
      semantic_ids: those of the items.
      trie: the trie made from them.
      asked: the users, and what they are asked for.
      config: beams, exclusions, users of a batch.
      max_items: longest history that the model sees.

    Returns:
      Weights -> NDCG@10, the smaller weights of the transitions first.
    """
    dense = DENSE_SHARES if capabilities_of(model).dense_share is not None else (None,)
    counted = TRANSITION_SHARES if counts is not None else (None,)
    shares: list[Shares] = [(own, other) for other in counted for own in dense]
    lists = lists_by_share(
        model,
        trie,
        semantic_ids.codes,
        asked.histories,
        shares,
        transitions=counts,
        max_items=max_items,
        k=10,
        beams=config.beams,
        exclude_seen=config.exclude_seen,
        users_per_batch=config.batch_size,
    )
    values = [float(ndcg(target_ranks(each, asked.targets), 10).mean()) for each in lists]
    return dict(zip(shares, values, strict=True))
