"""Other views of training histories, drawn anew in each epoch: parts, gaps, another order."""

import numpy as np

from genret.config import TrainConfig
from genret.histories import Histories
from genret.typing import Int


def is_augmented(config: TrainConfig) -> bool:
    """Say whether a training sees its histories otherwise than they are."""
    return any((config.crop, config.drop_items, config.shuffle, config.reverse))


def augmented(
    histories: Histories,
    users: Int[np.ndarray, "U"],
    config: TrainConfig,
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, "E"], Int[np.ndarray, "U1"]]:
    """Return the events of some users as an epoch sees them.

    First a share ``crop`` of the histories is cut to a part, at a random place, of a length drawn evenly
    between half of the history and all of it. Of what is left each event is dropped with probability
    ``drop_items``, but a history keeps one event at least. Then a share ``shuffle`` of the histories comes in
    random order, and a share ``reverse`` of the others from the newest event to the oldest.

    Source: Xie et al., Contrastive Learning for Sequential Recommendation, 2022 (crop, mask, reorder).

    Args:
      histories: the training events of all users.
      users: rows of some of them.
      config: the shares.
      rng: source of what is drawn.

    Returns:
      Numbers of the events in ``histories``, user after user, and where each user's begin in them.

    >>> histories = Histories.from_lists([[7, 8, 9], [4, 5]])
    >>> config = TrainConfig(reverse=1.0)
    >>> events, offsets = augmented(histories, np.array([1, 0]), config, np.random.default_rng(0))
    >>> histories.items[events].tolist(), offsets.tolist()
    ([5, 4, 9, 8, 7], [0, 2, 5])
    """
    begin = histories.offsets[users]
    lengths = histories.offsets[users + 1] - begin
    count = len(users)
    shortest = np.where(rng.random(count) < config.crop, -(-lengths // 2), lengths)
    whole, lengths = lengths, rng.integers(shortest, lengths, endpoint=True)
    begin = begin + rng.integers(0, whole - lengths, endpoint=True)

    own = np.repeat(np.arange(count), lengths)
    first = np.cumsum(lengths) - lengths
    place = np.arange(len(own)) - first[own]
    kept = rng.random(len(own)) >= config.drop_items
    none = np.flatnonzero((np.bincount(own[kept], minlength=count) == 0) & (lengths > 0))
    kept[first[none] + rng.integers(0, lengths[none])] = True

    shuffled = rng.random(count) < config.shuffle
    backwards = ~shuffled & (rng.random(count) < config.reverse)
    key = np.where(backwards[own], -place, place).astype(np.float64)
    key = np.where(shuffled[own], rng.random(len(own)), key)
    order = np.lexsort((key, own))
    order = order[kept[order]]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(own[order], minlength=count))])
    return (begin[own] + place)[order], offsets
