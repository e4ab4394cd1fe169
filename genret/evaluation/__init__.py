"""Evaluation: metrics of ranked lists over the whole catalog, baselines and confidence intervals.

>>> import numpy as np
>>> from genret.evaluation import bootstrap_interval, ndcg
>>> ranks = np.array([0, 3, 1])  # of the wanted item in each user's list; 0: not in it
>>> round(float(ndcg(ranks, 10).mean()), 3)
0.5
>>> low, high = bootstrap_interval(ndcg(ranks, 10), resamples=1000, seed=0)
>>> low <= 0.5 <= high
True

Further modules are imported by name: :mod:`genret.evaluation.metrics` has all metrics,
:mod:`genret.evaluation.popularity` counts items, and :mod:`genret.evaluation.plots` draws the
pictures of a report (it loads matplotlib).
"""

# Protocol
from genret.evaluation._bootstrap import bootstrap_interval
from genret.evaluation._cold_start import evaluate_cold_start
from genret.evaluation._compare import compare, compare_lists
from genret.evaluation._evaluate import (
    chosen_users,
    evaluate_lists,
    evaluate_model,
    evaluate_popularity,
)

# Metrics
from genret.evaluation.metrics import mrr, ndcg, recall, target_ranks  # isort: skip

# Baselines
from genret.evaluation._item_knn import ItemKNN  # isort: skip
from genret.evaluation.popularity import popular_items  # isort: skip

__all__ = [
    "ItemKNN",
    "bootstrap_interval",
    "chosen_users",
    "compare",
    "compare_lists",
    "evaluate_cold_start",
    "evaluate_lists",
    "evaluate_model",
    "evaluate_popularity",
    "mrr",
    "ndcg",
    "popular_items",
    "recall",
    "target_ranks",
]
