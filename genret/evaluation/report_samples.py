"""The users that a report shows with their titles."""

from typing import Any

import numpy as np

from genret.data import Catalog, HeldOut
from genret.errors import GenretError
from genret.evaluation.report_page import Sample
from genret.typing import Int

_USERS, _HISTORY, _RECOMMENDED = 3, 5, 5


def samples_of(
    catalog: Catalog,
    user_ids: Any,
    held_out: HeldOut,
    asked: Int[np.ndarray, "U"],
    lists: Int[np.ndarray, "U K"],
    *,
    seed: int,
) -> list[Sample]:
    """Return a few users with their history, the item that they chose next and their list.

    The users are drawn by the seed, not picked: misses are shown as often as they occur.

    Args:
      catalog: gives the titles.
      user_ids: Arrow array of the ids of all users.
      held_out: the questions.
      asked: rows of ``held_out`` that ``lists`` answers.
      lists: item rows, best first, ``-1`` padded.
      seed: seed of the draw.

    Returns:
      At most three users.
    """
    count = min(_USERS, len(asked))
    chosen = np.sort(np.random.default_rng(seed).choice(len(asked), count, replace=False))
    titles, users = catalog.titles, held_out.histories.users
    if users is None:
        raise GenretError("held_out: its histories do not say whose they are")
    found = []
    for place in chosen:
        row = int(asked[place])
        past = held_out.histories[row]
        ranked = [int(item) for item in lists[place, :_RECOMMENDED] if item >= 0]
        wanted = int(held_out.targets[row])
        found.append(
            Sample(
                user=str(user_ids[int(users[row])].as_py()),
                history=[titles[int(item)] for item in past[-_HISTORY:]],
                earlier=max(0, len(past) - _HISTORY),
                wanted=titles[wanted],
                recommended=[titles[item] for item in ranked],
                hit=ranked.index(wanted) if wanted in ranked else -1,
            )
        )
    return found
