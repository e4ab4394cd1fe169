"""Evaluation over the whole catalogue: one held-out item a user, means with intervals.

The rules: every item of the catalogue competes (no sampled negatives); items are counted, not
semantic IDs, so that two items with one ID occupy two ranks; whether the items of the history are
forbidden is one setting for all methods. A target that occurs in the user's history cannot be
recommended when they are forbidden: it counts as a miss, and ``seen_targets`` says how many.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from genret.config import EvaluateConfig, require
from genret.data import HeldOut
from genret.decoding import GenerativeModel
from genret.evaluation._bootstrap import bootstrap_interval
from genret.evaluation._csr import pair_keys, seen_pairs, take_users
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
from genret.evaluation._popularity import popular_items
from genret.evaluation._recommend import recommend
from genret.index import TrieIndex
from genret.typing import Int

_BY_RANK = {"ndcg": ndcg, "recall": recall, "mrr": mrr}


def evaluate_model(
    model: GenerativeModel,
    codes: Int[np.ndarray, "N L"],
    index: TrieIndex,
    held_out: HeldOut,
    config: EvaluateConfig,
    *,
    max_items: int,
    train_counts: Int[np.ndarray, "N"] | None = None,
    seed: int = 0,
    progress: Callable[..., object] | None = None,
) -> dict[str, Any]:
    """Evaluate a model by constrained beam search over the whole catalogue.

    Args:
      model: the model.
      codes: semantic ID of each item.
      index: the trie made from ``codes``.
      held_out: histories and their targets.
      config: cut-offs, beams, exclusions, how many users.
      max_items: longest history that the model sees.
      train_counts: training events of each item; without them popularity bias is not measured.
      seed: seed of the choice of users and of the intervals.
      progress: called with the number of users after each batch.

    Returns:
      See :func:`measure`.

    Raises:
      GenretError: there are no users to evaluate.
    """
    offsets, items, targets = _chosen(held_out, config, seed)
    found = recommend(
        model,
        codes,
        index,
        offsets,
        items,
        k=max(config.k),
        beams=config.beams,
        exact=config.exact,
        max_items=max_items,
        exclude_seen=config.exclude_seen,
        batch_size=config.batch_size,
        **_side(held_out, config, seed),
        progress=progress,
    )
    return measure(
        found.items,
        targets,
        offsets,
        items,
        config,
        num_items=index.num_items,
        train_counts=train_counts,
        seed=seed,
    )


def evaluate_popularity(
    train_counts: Int[np.ndarray, "N"], held_out: HeldOut, config: EvaluateConfig, *, seed: int = 0
) -> dict[str, Any]:
    """Evaluate the popularity baseline on the users that :func:`evaluate_model` takes.

    Args:
      train_counts: training events of each item.
      held_out: histories and their targets.
      config: cut-offs, exclusions, how many users.
      seed: seed of the choice of users and of the intervals.

    Returns:
      See :func:`measure`.

    Raises:
      GenretError: there are no users to evaluate.
    """
    offsets, items, targets = _chosen(held_out, config, seed)
    found = popular_items(
        train_counts, offsets, items, k=max(config.k), exclude_seen=config.exclude_seen
    )
    return measure(
        found,
        targets,
        offsets,
        items,
        config,
        num_items=len(train_counts),
        train_counts=train_counts,
        seed=seed,
    )


def measure(
    lists: Int[np.ndarray, "U K"],
    targets: Int[np.ndarray, "U"],
    offsets: Int[np.ndarray, "_"],
    items: Int[np.ndarray, "E"],
    config: EvaluateConfig,
    *,
    num_items: int,
    train_counts: Int[np.ndarray, "N"] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure ranked lists, wherever they come from.

    Args:
      lists: item rows, best first, ``-1`` padded; at least as wide as the largest cut-off.
      targets: the held-out item of each user.
      offsets: [U + 1], where each user's history begins in ``items``.
      items: the histories before the targets.
      config: cut-offs and whether the items of the histories were forbidden.
      num_items: items of the catalogue.
      train_counts: training events of each item.
      seed: seed of the intervals.

    Returns:
      JSON values. For each cut-off k ``ndcg@k``, ``recall@k``, ``mrr@k`` (means over users),
      ``coverage@k`` and, with ``train_counts``, ``popularity@k`` (ARP); ``valid``,
      ``duplicates``, ``users``, ``seen_targets``; and ``intervals``: name of each of the means ->
      [low, high], 95 %.
    """
    ranks = target_ranks(lists[:, : max(config.k)], targets)
    result: dict[str, Any] = {}
    intervals = {}
    for k in config.k:
        for name, metric in _BY_RANK.items():
            values = metric(ranks, k)
            result[f"{name}@{k}"] = float(values.mean())
            if config.bootstrap > 0:
                low, high = bootstrap_interval(values, resamples=config.bootstrap, seed=seed)
                intervals[f"{name}@{k}"] = [low, high]
        result[f"coverage@{k}"] = coverage(lists, k, num_items)
        if train_counts is not None:
            result[f"popularity@{k}"] = average_popularity(lists, k, train_counts)
    users = len(targets)
    seen = seen_pairs(offsets, items, num_items)
    forbidden = items if config.exclude_seen else items[:0]
    result["valid"] = valid_share(
        lists, num_items, offsets if config.exclude_seen else np.zeros_like(offsets), forbidden
    )
    result["duplicates"] = duplicates_share(lists)
    result["users"] = users
    result["seen_targets"] = int(
        np.isin(pair_keys(np.arange(users), targets, num_items), seen).sum()
    )
    result["intervals"] = intervals
    return result


def _chosen(
    held_out: HeldOut, config: EvaluateConfig, seed: int
) -> tuple[Int[np.ndarray, "_"], Int[np.ndarray, "E"], Int[np.ndarray, "U"]]:
    """Return offsets, items and targets of the users to evaluate: all, or some by seed."""
    some = _some(held_out, config, seed)
    if some is None:
        return held_out.offsets, held_out.items, held_out.targets
    offsets, items = take_users(held_out.offsets, held_out.items, some)
    return offsets, items, held_out.targets[some]


def _some(held_out: HeldOut, config: EvaluateConfig, seed: int) -> Int[np.ndarray, "U"] | None:
    """Return the questions to ask; None: all."""
    users = len(held_out.targets)
    require(users > 0, f"split {config.split!r}: no user has a held-out item in it")
    if not 0 < config.users < users:
        return None
    return np.sort(np.random.default_rng(seed).permutation(users)[: config.users])


def _side(held_out: HeldOut, config: EvaluateConfig, seed: int) -> dict[str, Any]:
    """Return times and users of the chosen histories, for models that read them."""
    some = _some(held_out, config, seed)
    if some is None:
        return {"times": held_out.times, "users": held_out.users}
    times = held_out.times
    if times is not None:
        _, times = take_users(held_out.offsets, times, some)
    return {"times": times, "users": held_out.users[some]}
