"""``genret recommend``: the next items for a history given on the command line."""

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any

import numpy as np

from genret.artifacts import Run
from genret.cli.base import Reporter, RunFolder, Verb
from genret.config import require
from genret.errors import GenretError
from genret.histories import Histories

if TYPE_CHECKING:
    from genret.data import Catalog, SplitHistories

_SEARCHED_USERS = 100_000
"""Users searched for a close match of an unknown id."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recommend(Verb):
    """Recommend items to somebody with a given history.

    Items are named by id, by title, or by any part of a title that fits one item only; oldest
    first. Without a history the answer is what a person gets of whom nothing is known.

    Example: genret recommend runs/movielens --history "Toy Story (1995)" "Star Wars" 50 --k 5
    """

    run_folder: RunFolder
    """Folder of the run, with its model."""
    history: tuple[str, ...] = ()
    """Ids or titles of items, oldest first."""
    user: str | None = None
    """Take the history of a user of the run instead."""
    k: int = 10
    """How many items."""
    beams: int = 50
    """Beams of the search; at least k."""
    exact: bool = False
    """Score every item instead of searching with beams: for catalogs of some ten thousand."""
    include_seen: bool = False
    """Items of the history may be recommended again."""
    where: str | None = None
    """Recommend only items that meet a condition, such as "price < 20 and category == 'Phones'"."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Recommend; return the history and the ranked items."""
        from genret.data import load_run_data
        from genret.evaluation import recommend
        from genret.index import TrieIndex
        from genret.models import load_model
        from genret.scoring import filter_where
        from genret.tokenizers import load_codes

        require(self.user is None or not self.history, "found --history and --user, expected one")
        run = Run.open(self.run_folder)
        for kind in ("catalog", "codes", "index", "model"):
            run.require(kind)
        catalog, histories = load_run_data(run.folder("catalog"))
        if self.user is not None:
            asked = history_of(histories, self.user)
        else:
            asked = Histories.from_lists([[catalog.find(text) for text in self.history]])
        codes = load_codes(run.folder("codes")).codes
        model = load_model(run.folder("model"))
        index = TrieIndex.load(run.folder("index"))
        filters = None if self.where is None else [filter_where(self.where, catalog, index)]
        found = recommend(
            model,
            codes,
            index,
            asked,
            k=self.k,
            beams=self.beams,
            exact=self.exact,
            max_items=model.config.max_items,
            exclude_seen=not self.include_seen,
            filters=filters,
        )
        result = {
            "history": [_item(catalog, int(row)) for row in asked.items],
            "recommendations": answers(catalog, found.items[0], found.scores[0]),
        }
        _show(reporter, result, self.k)
        return result


def answers(catalog: "Catalog", items: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """Return the filled ranks of one list as JSON values: rank, item_id, title, score."""
    return [
        {"rank": rank, **_item(catalog, int(row)), "score": float(score)}
        for rank, (row, score) in enumerate(zip(items, scores, strict=True), 1)
        if row >= 0
    ]


def history_of(histories: "SplitHistories", user: str) -> Histories:
    """Return all events of a user; see :func:`row_of`."""
    row = row_of(histories, user)
    return dataclasses.replace(histories.events.take([row]), users=np.array([row], np.int32))


def row_of(histories: "SplitHistories", user: str) -> int:
    """Return the row of a user.

    Raises:
      GenretError: no user has the id (the message gives close ones).
    """
    ids = histories.user_ids.cast("string").to_pylist()
    try:
        return ids.index(user)
    except ValueError:
        close = difflib.get_close_matches(user, ids[:_SEARCHED_USERS], 3)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise GenretError(f"--user: no user has the id {user!r} ({len(ids)} users){hint}") from None


def _item(catalog: "Catalog", row: int) -> dict[str, Any]:
    item_id = catalog.item_ids[row]
    return {
        "item_id": item_id if isinstance(item_id, str) else int(item_id),
        "title": catalog.titles[row],
    }


def _show(reporter: Reporter, result: dict[str, Any], k: int) -> None:
    history, ranked = result["history"], result["recommendations"]
    if history:
        reporter.table(
            "History", ("title", "item"), [(h["title"], str(h["item_id"])) for h in history]
        )
    else:
        reporter.say("no history: what anybody gets of whom nothing is known")
    reporter.table(
        "Recommended",
        ("rank", "title", "item", "score"),
        [(r["rank"], r["title"], str(r["item_id"]), r["score"]) for r in ranked],
    )
    if len(ranked) < k:
        reporter.say(f"{len(ranked)} items, not {k}: no other item is allowed")
