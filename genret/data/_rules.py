"""The rules of ingestion that work on whole columns: duplicates, k-core, order in time."""

import numpy as np

from genret.typing import Bool, Int


def repeated_rows(
    users: Int[np.ndarray, "E"], items: Int[np.ndarray, "E"], times: Int[np.ndarray, "E"]
) -> Bool[np.ndarray, "E"]:
    """Mark the rows that equal an earlier row in user, item and time.

    >>> repeated_rows(np.array([0, 1, 0]), np.array([5, 5, 5]), np.array([9, 9, 9])).tolist()
    [False, False, True]
    """
    order = np.lexsort((times, items, users))  # stable: the first of equals stays first
    repeated = np.zeros(len(order), bool)
    repeated[order[1:]] = _equals_before(users, order) & _equals_before(items, order)
    repeated[order[1:]] &= _equals_before(times, order)
    return repeated


def core_rows(
    users: Int[np.ndarray, "E"],
    items: Int[np.ndarray, "E"],
    min_user_events: int,
    min_item_events: int,
) -> Bool[np.ndarray, "E"]:
    """Mark the events of the k-core: those left when users and items with too few events are
    dropped again and again, until all that remain have enough.

    >>> core_rows(np.array([0, 0, 1]), np.array([0, 1, 1]), 2, 1).tolist()
    [True, True, False]
    """  # noqa: D205
    keep = np.ones(len(users), bool)
    left = -1
    while left != (left := int(keep.sum())):
        for ids, least in ((users, min_user_events), (items, min_item_events)):
            if least > 1:
                counts = np.bincount(ids[keep], minlength=int(ids.max(initial=0)) + 1)
                keep &= counts[ids] >= least
    return keep


def order_in_time(
    users: Int[np.ndarray, "E"], times: Int[np.ndarray, "E"] | None
) -> tuple[Int[np.ndarray, "E"], int]:
    """Return the order by user, then time, then row, and the number of ties in time.

    A tie is an event with the time of the event before it of the same user: their order is that
    of the rows.
    """
    order = np.argsort(users, kind="stable") if times is None else np.lexsort((times, users))
    if times is None:
        return order, 0
    return order, int((_equals_before(users, order) & _equals_before(times, order)).sum())


def _equals_before(values: Int[np.ndarray, "E"], order: Int[np.ndarray, "E"]) -> np.ndarray:
    """Mark, in an order, each row but the first whose value equals that of the row before."""
    ordered = values[order]
    equal: np.ndarray = ordered[1:] == ordered[:-1]
    return equal
