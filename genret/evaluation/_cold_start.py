"""Recall of items that no training event named, with and without a filter that asks for them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from genret.config import EvaluateConfig
from genret.data import HeldOut
from genret.decoding import GenerativeModel
from genret.evaluation._evaluate import evaluate_model
from genret.index import ItemFilter, TrieIndex
from genret.models import Transitions
from genret.typing import Int


def evaluate_cold_start(
    model: GenerativeModel,
    codes: Int[np.ndarray, "N L"],
    index: TrieIndex,
    held_out: HeldOut,
    cold: Int[np.ndarray, "C"],
    config: EvaluateConfig,
    *,
    max_items: int,
    transitions: Transitions | None = None,
    seed: int = 0,
    progress: Callable[..., object] | None = None,
) -> dict[str, Any]:
    r"""Ask a model for items that it has never seen, among all items and among those alone.

    A list of k items drawn at random from the C cold ones holds the wanted one with probability
    :math:`\min(k, C) / C`: that is what ``random`` says, exactly.

    Args:
      model: a model that was trained without the cold items.
      codes: semantic ID of each item; those of the cold ones from a tokenizer that was fitted
        without them.
      index: the trie made from ``codes``.
      held_out: histories without a cold item, and the cold item that followed.
      cold: rows of the cold items.
      config: cut-offs, beams, exclusions, how many users.
      max_items: longest history that the model sees.
      transitions: counts that are fused with the model, without the cold items; None: it is ranked
        alone.
      seed: seed of the choice of users and of the intervals.
      progress: called with the number of users after each batch, twice for each user.

    Returns:
      JSON values: ``items`` and ``users``, and for ``unconstrained``, ``random`` and
      ``constrained`` each ``recall@k`` -> {mean, low, high} (95 % over users; of ``random`` no
      interval is needed); ``ratio``: ``recall@k`` -> constrained / random, likewise.

    Raises:
      GenretError: no held-out event is of a cold item.

    Source: STATIC (arXiv:2602.22647), 2026, asks for Recall@1 of the newest items like this.
    """
    rows = np.zeros(index.num_items, bool)
    rows[cold] = True
    only_cold = ItemFilter.from_mask(index, rows)
    found: dict[str, dict[str, Any]] = {}
    for name, filters in (("unconstrained", None), ("constrained", [only_cold])):
        result = evaluate_model(
            model,
            codes,
            index,
            held_out,
            config,
            max_items=max_items,
            filters=filters,
            transitions=transitions,
            seed=seed,
            progress=progress,
        )
        found[name] = {f"recall@{k}": _interval(result, f"recall@{k}") for k in config.k}
        users = result["users"]
    chance = {k: min(k, len(cold)) / len(cold) for k in config.k}
    found["random"] = {f"recall@{k}": {"mean": p, "low": p, "high": p} for k, p in chance.items()}
    found["ratio"] = {
        f"recall@{k}": {
            name: value / p for name, value in found["constrained"][f"recall@{k}"].items()
        }
        for k, p in chance.items()
    }
    order = ("unconstrained", "random", "constrained", "ratio")
    return {"items": len(cold), "users": users} | {name: found[name] for name in order}


def _interval(result: dict[str, Any], name: str) -> dict[str, float]:
    low, high = result["intervals"].get(name, (result[name],) * 2)
    return {"mean": result[name], "low": low, "high": high}
