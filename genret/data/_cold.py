"""The newest items, and histories from which they are held out."""

import dataclasses

import numpy as np

from genret.config import require
from genret.data._histories import SplitHistories
from genret.typing import Int

BY_TIME = "by the time of their first event"
BY_APPEARANCE = "by their first appearance in the file, as events have no time"


def newest_items(histories: SplitHistories, fraction: float) -> tuple[Int[np.ndarray, "C"], str]:
    """Choose the newest items: those whose first event is the latest.

    Where events have no time, the order of the histories stands in for it: users in the order of
    the input, each from the oldest event to the newest. That is an age only as far as the input is
    in the order of time.

    Args:
      histories: what each user did.
      fraction: share of the items that occur in them.

    Returns:
      Item rows, rising, int32 [C], and by which rule they were chosen. Of items with equal first
      times the lower rows are newer.

    Raises:
      GenretError: a share that is not between 0 and 1, or that leaves nothing to train on.

    >>> import pyarrow as pa
    >>> from genret import Histories
    >>> one = np.array([1], np.int32)
    >>> histories = SplitHistories(
    ...     pa.array(["ann"]), Histories.from_lists([[7, 8, 9]]),
    ...     train_end=one, valid_at=one, test_at=one + 1)
    >>> newest_items(histories, 0.3)
    (array([9], dtype=int32), 'by their first appearance in the file, as events have no time')
    """
    require(0 < fraction < 1, f"fraction: found {fraction}, expected more than 0 and less than 1")
    events = histories.events
    if events.times is None:
        items, first = np.unique(events.items, return_index=True)
    else:
        order = np.lexsort((events.times, events.items))
        items, at = np.unique(events.items[order], return_index=True)
        first = events.times[order][at]
    count = max(1, round(fraction * len(items)))
    require(
        count < len(items),
        f"fraction: {fraction} takes all of the {len(items)} items that occur",
    )
    newest = np.argsort(-first, kind="stable")[:count]
    rule = BY_APPEARANCE if events.times is None else BY_TIME
    return np.sort(items[newest]).astype(np.int32), rule


def hold_out_items(histories: SplitHistories, items: Int[np.ndarray, "C"]) -> SplitHistories:
    """Cut each history before the first of some items; that item becomes the user's test event.

    So no event of these items is trained on or validated with, and neither is anything that its
    user did later. Users who have none of them are trained on and validated with as before, and
    have no test event. Users who begin with one of them have no history to ask with: they have no
    test event either, and nothing to train on.

    Args:
      histories: what each user did.
      items: rows of the items to hold out.

    Returns:
      The histories with another split; ``held_out("test")`` asks for the items held out.

    >>> import pyarrow as pa
    >>> from genret import Histories
    >>> two = np.array([2, 2], np.int32)
    >>> histories = SplitHistories(
    ...     pa.array(["ann", "bob"]), Histories.from_lists([[1, 7, 2, 3], [4, 5, 6, 1]]),
    ...     train_end=two, valid_at=two, test_at=two + 1)
    >>> cold = hold_out_items(histories, np.array([7]))
    >>> cold.train_end.tolist(), cold.valid_at.tolist(), cold.test_at.tolist()
    ([1, 2], [-1, 2], [1, -1])
    """
    events, lengths = histories.events, histories.events.lengths
    owners = events.owners
    position = np.arange(events.num_events) - events.offsets[owners]
    held = np.isin(events.items, items)
    first = lengths.copy()
    np.minimum.at(first, owners[held], position[held])
    asks = (first < lengths) & (first > 0)
    return dataclasses.replace(
        histories,
        train_end=np.minimum(histories.train_end, first).astype(np.int32),
        valid_at=np.where(histories.valid_at < first, histories.valid_at, -1).astype(np.int32),
        test_at=np.where(asks, first, -1).astype(np.int32),
        split="leave-one-out",  # one event of a user: nothing is said of the moments of others
    )
