"""Evaluation over the whole catalog: one held-out item a user, means with intervals.

The rules: every item of the catalog competes (no sampled negatives); items are counted, not
semantic IDs, so that two items with one ID occupy two ranks; whether the items of the history are
forbidden is one setting for all methods. A target that occurs in the user's history cannot be
recommended when they are forbidden: it counts as a miss, and ``seen_targets`` says how many.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from genret.config import EvaluateConfig, require
from genret.data import HeldOut
from genret.decoding import GenerativeModel
from genret.evaluation._bootstrap import bootstrap_interval
from genret.evaluation._slices import slices
from genret.evaluation.metrics import (
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
    target_ranks,
    valid_share,
)
from genret.evaluation.popularity import popular_items
from genret.histories import Histories
from genret.index import ItemFilter, TrieIndex
from genret.models import Transitions
from genret.recommend import Recommender, ThompsonSampling
from genret.typing import Float, Int

_BY_RANK = {"ndcg": ndcg, "recall": recall, "mrr": mrr, "clicks": playlist_clicks}

Lists = Int[np.ndarray, "U K"]
"""Item rows of each user, best first, ``-1`` padded."""


def evaluate_model(
    model: GenerativeModel,
    codes: Int[np.ndarray, "N L"],
    index: TrieIndex,
    held_out: HeldOut,
    config: EvaluateConfig,
    *,
    max_items: int,
    train_counts: Int[np.ndarray, "N"] | None = None,
    seen_share: Float[np.ndarray, "N"] | None = None,
    filters: Sequence[ItemFilter] | None = None,
    dense_share: float | None = None,
    transitions: Transitions | None = None,
    seed: int = 0,
    keep_lists: bool = False,
    progress: Callable[..., object] | None = None,
) -> dict[str, Any]:
    """Evaluate a model by constrained beam search over the whole catalog.

    Args:
      model: the model.
      codes: semantic ID of each item.
      index: the trie made from ``codes``.
      held_out: histories and their targets.
      config: cut-offs, beams, exclusions, how many users.
      max_items: longest history that the model sees.
      train_counts: see :func:`measure`.
      seen_share: see :func:`measure`.
      filters: one filter that all answers obey; the other items still count as the catalog.
      dense_share: weight of the dense head of a model that has one; None: as trained.
      transitions: counts that are fused with the model; None: it is ranked alone.
      seed: seed of the choice of users, of the intervals and of an exploration.
      keep_lists: also return what was measured, see :func:`evaluate_lists`.
      progress: called with the number of users after each batch.

    Returns:
      See :func:`measure`.

    Raises:
      GenretError: there are no users to evaluate.
    """
    recommender = Recommender(
        model, index, codes,
        max_items=max_items, dense_share=dense_share, transitions=transitions,
    )  # fmt: skip

    explore = ThompsonSampling(strength=config.explore, seed=seed) if config.explore else None

    def answer(histories: Histories) -> Lists:
        found = recommender.recommend_many(
            histories,
            k=max(config.k),
            beams=config.beams,
            exact=config.exact,
            exclude_seen=config.exclude_seen,
            where=filters,
            explore=explore,
            users_per_batch=config.batch_size,
            progress=progress,
        )
        return found.items

    return evaluate_lists(
        answer,
        held_out,
        config,
        num_items=index.num_items,
        train_counts=train_counts,
        seen_share=seen_share,
        seed=seed,
        keep_lists=keep_lists,
    )


def evaluate_popularity(
    train_counts: Int[np.ndarray, "N"],
    held_out: HeldOut,
    config: EvaluateConfig,
    *,
    seen_share: Float[np.ndarray, "N"] | None = None,
    seed: int = 0,
    keep_lists: bool = False,
) -> dict[str, Any]:
    """Evaluate the popularity baseline on the users that :func:`evaluate_model` takes.

    Args:
      train_counts: training events of each item.
      held_out: histories and their targets.
      config: cut-offs, exclusions, how many users.
      seen_share: see :func:`measure`.
      seed: seed of the choice of users and of the intervals.
      keep_lists: also return what was measured, see :func:`evaluate_lists`.

    Returns:
      See :func:`measure`.

    Raises:
      GenretError: there are no users to evaluate.
    """

    def answer(histories: Histories) -> Lists:
        k, exclude_seen = max(config.k), config.exclude_seen
        return popular_items(train_counts, histories, k=k, exclude_seen=exclude_seen)

    return evaluate_lists(
        answer,
        held_out,
        config,
        num_items=len(train_counts),
        train_counts=train_counts,
        seen_share=seen_share,
        seed=seed,
        keep_lists=keep_lists,
    )


def evaluate_lists(
    answer: Callable[[Histories], Lists],
    held_out: HeldOut,
    config: EvaluateConfig,
    *,
    num_items: int,
    train_counts: Int[np.ndarray, "N"] | None = None,
    seen_share: Float[np.ndarray, "N"] | None = None,
    seed: int = 0,
    keep_lists: bool = False,
) -> dict[str, Any]:
    """Evaluate any method, on the users that :func:`evaluate_model` takes.

    Args:
      answer: gives ranked lists for histories.
      held_out: histories and their targets.
      config: cut-offs, how many users; ``answer`` has to obey its exclusions.
      num_items: items of the catalog.
      train_counts: see :func:`measure`.
      seen_share: see :func:`measure`.
      seed: seed of the choice of users and of the intervals.
      keep_lists: also return what was measured: ``lists`` [U, K], and ``asked`` [U], the rows
        of ``held_out`` that they answer. These are arrays, not JSON values.

    Returns:
      See :func:`measure`.

    Raises:
      GenretError: there are no users to evaluate.
    """
    rows = chosen_users(held_out, config, seed)
    asked = held_out.take(rows)
    lists = answer(asked.histories)
    result = measure(
        lists,
        asked,
        config,
        num_items=num_items,
        train_counts=train_counts,
        seen_share=seen_share,
        seed=seed,
    )
    if keep_lists:
        result["lists"] = lists
        result["asked"] = rows
    return result


def measure(
    lists: Int[np.ndarray, "U K"],
    held_out: HeldOut,
    config: EvaluateConfig,
    *,
    num_items: int,
    train_counts: Int[np.ndarray, "N"] | None = None,
    seen_share: Float[np.ndarray, "N"] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure ranked lists, wherever they come from.

    Args:
      lists: item rows, best first, ``-1`` padded; at least as wide as the largest cut-off.
      held_out: the held-out item of each user, and the history before it.
      config: cut-offs and whether the items of the histories were forbidden.
      num_items: items of the catalog.
      train_counts: training events of each item; without them neither popularity bias nor slices
        by popularity are measured.
      seen_share: share of the training users who had each item, see :func:`seen_shares`; without
        it novelty is not measured.
      seed: seed of the intervals.

    Returns:
      JSON values. For each cut-off k the means over users ``ndcg@k``, ``recall@k``, ``mrr@k``,
      ``clicks@k`` and, with what they need, ``popularity@k`` (ARP) and ``epc@k``; then
      ``coverage@k`` and ``gini@k``; ``r_precision``, ``valid``, ``duplicates``, ``users``,
      ``seen_targets``; ``intervals``: name of each of the means -> [low, high], 95 %; and
      ``slices``: parts of the users by ``popularity`` (training events of their target) and by
      ``history`` (its length), see :func:`slices`.
    """
    targets, histories = held_out.targets, held_out.histories
    ranks = target_ranks(lists[:, : max(config.k)], targets)
    result: dict[str, Any] = {}
    intervals: dict[str, list[float]] = {}

    def mean(name: str, values: Float[np.ndarray, "U"]) -> None:
        values = values[~np.isnan(values)]  # of empty lists there is no mean
        result[name] = float(values.mean()) if len(values) else 0.0
        if config.bootstrap > 0 and len(values):
            low, high = bootstrap_interval(values, resamples=config.bootstrap, seed=seed)
            intervals[name] = [low, high]

    for k in config.k:
        for name, metric in _BY_RANK.items():
            mean(f"{name}@{k}", metric(ranks, k))
        if train_counts is not None:
            mean(f"popularity@{k}", average_popularity(lists, k, train_counts))
        if seen_share is not None:
            mean(f"epc@{k}", popularity_complement(lists, k, seen_share))
        result[f"coverage@{k}"] = coverage(lists, k, num_items)
        result[f"gini@{k}"] = gini(lists, k, num_items)
    mean("r_precision", r_precision(ranks))
    forbidden = histories if config.exclude_seen else histories.first(0)
    result["valid"] = valid_share(lists, num_items, forbidden)
    result["duplicates"] = duplicates_share(lists)
    result["users"] = len(held_out)
    result["seen_targets"] = int(histories.contains(targets[:, None]).sum())
    result["intervals"] = intervals
    by = {"history": histories.lengths}
    if train_counts is not None:
        by["popularity"] = train_counts[targets]
    k = 10 if 10 in config.k else max(config.k)
    result["slices"] = {
        name: slices(values, ranks, k, resamples=config.bootstrap, seed=seed)
        for name, values in by.items()
    }
    return result


def chosen_users(held_out: HeldOut, config: EvaluateConfig, seed: int) -> Int[np.ndarray, "U"]:
    """Return the rows of the questions that an evaluation asks: all, or some by seed.

    Raises:
      GenretError: there are none.
    """
    users = len(held_out)
    require(users > 0, f"split {config.split!r}: no user has a held-out item in it")
    if not 0 < config.users < users:
        return np.arange(users)
    return np.sort(np.random.default_rng(seed).permutation(users)[: config.users])
