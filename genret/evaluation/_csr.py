"""Histories as offsets and items (CSR): the few operations that evaluation needs."""

import numpy as np

from genret.typing import Int


def owners(offsets: Int[np.ndarray, "_"]) -> Int[np.ndarray, "E"]:
    """Return the user of each event.

    >>> owners(np.array([0, 2, 2, 3]))
    array([0, 0, 2])
    """
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def pair_keys(
    users: Int[np.ndarray, "E"], items: Int[np.ndarray, "E"], num_items: int
) -> Int[np.ndarray, "E"]:
    """Return one int64 key for each (user, item): ``user · num_items + item``."""
    return users.astype(np.int64) * num_items + items


def seen_pairs(
    offsets: Int[np.ndarray, "_"], items: Int[np.ndarray, "E"], num_items: int
) -> Int[np.ndarray, "_"]:
    """Return the sorted distinct keys of the (user, item) pairs that occur in histories."""
    return np.unique(pair_keys(owners(offsets), items, num_items))


def take_users(
    offsets: Int[np.ndarray, "_"], items: Int[np.ndarray, "E"], users: Int[np.ndarray, "U"]
) -> tuple[Int[np.ndarray, "_"], Int[np.ndarray, "_"]]:
    """Return the histories of some users as new offsets and items.

    >>> take_users(np.array([0, 2, 2, 3]), np.array([7, 8, 9]), np.array([2, 0]))
    (array([0, 1, 3]), array([9, 7, 8]))
    """
    lengths = np.diff(offsets)[users]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    positions = np.arange(ends[-1]) + np.repeat(offsets[:-1][users] - ends[:-1], lengths)
    return ends, items[positions]
