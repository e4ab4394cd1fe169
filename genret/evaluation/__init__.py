"""Evaluation: ranked lists over the whole catalogue, their metrics, baselines and intervals.

:mod:`genret.evaluation.plots` draws the pictures of a report; it loads matplotlib and is imported
by name.
"""

# Protocol
from genret.evaluation._bootstrap import bootstrap_interval
from genret.evaluation._evaluate import evaluate_model, evaluate_popularity, measure

# Metrics
from genret.evaluation._metrics import (
    average_popularity,
    coverage,
    duplicates_share,
    mrr,
    ndcg,
    recall,
    target_ranks,
    valid_share,
)

# Recommendations
from genret.evaluation._popularity import item_counts, popular_items
from genret.evaluation._recommend import RecommendResult, recommend

__all__ = [
    "RecommendResult",
    "average_popularity",
    "bootstrap_interval",
    "coverage",
    "duplicates_share",
    "evaluate_model",
    "evaluate_popularity",
    "item_counts",
    "measure",
    "mrr",
    "ndcg",
    "popular_items",
    "recall",
    "recommend",
    "target_ranks",
    "valid_share",
]
