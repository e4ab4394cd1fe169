"""Evaluation: ranked lists over the whole catalog, their metrics, baselines and intervals.

:mod:`genret.evaluation.plots` draws the pictures of a report; it loads matplotlib and is imported
by name.
"""

# Protocol
from genret.evaluation._bootstrap import bootstrap_interval
from genret.evaluation._cold_start import evaluate_cold_start
from genret.evaluation._compare import compare, compare_lists
from genret.evaluation._evaluate import (
    evaluate_lists,
    evaluate_model,
    evaluate_popularity,
    measure,
)
from genret.evaluation._slices import slices

# Metrics
from genret.evaluation._metrics import (  # isort: skip
    average_popularity,
    coverage,
    duplicates_share,
    gini,
    mrr,
    ndcg,
    playlist_clicks,
    popularity_complement,
    r_precision,
    recall,
    seen_shares,
    target_ranks,
    valid_share,
)

# Baselines
from genret.evaluation._item_knn import ItemKNN  # isort: skip
from genret.evaluation._popularity import item_counts, popular_items  # isort: skip

__all__ = [
    "ItemKNN",
    "average_popularity",
    "bootstrap_interval",
    "compare",
    "compare_lists",
    "coverage",
    "duplicates_share",
    "evaluate_cold_start",
    "evaluate_lists",
    "evaluate_model",
    "evaluate_popularity",
    "gini",
    "item_counts",
    "measure",
    "mrr",
    "ndcg",
    "playlist_clicks",
    "popular_items",
    "popularity_complement",
    "r_precision",
    "recall",
    "seen_shares",
    "slices",
    "target_ranks",
    "valid_share",
]
