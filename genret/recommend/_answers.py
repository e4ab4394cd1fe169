"""What a recommender answers: ranked items, with their ids and titles."""

import dataclasses
import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from genret.errors import GenretError
from genret.typing import Bool, Float, Int, Shaped


class Recommendation(NamedTuple):
    """One ranked item.

    Attributes:
      rank: from 1.
      item: its position.
      id: its id.
      title: its title; None where there is no catalog.
      score: the log-probability of its semantic ID, or the logarithm of the rate that exploration drew.
    """

    rank: int
    item: int
    id: Any
    title: str | None
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: rank, item_id, title, score."""
        return {"rank": self.rank, "item_id": self.id, "title": self.title, "score": self.score}


@dataclasses.dataclass(frozen=True, eq=False)
class Recommendations:
    """Ranked items of users.

    ``answers[u]`` is the list of user u, ``for one in answers`` runs over the users; printing shows
    a table.

    Attributes:
      items: item positions, best first, int32 [U, k]; -1 where fewer than k items are allowed.
      scores: log-probabilities, or logarithms of rates that exploration drew, float32 [U, k]; -inf in
        padded places.
      item_ids: the id of every item, [N]; None: ids are positions.
      item_titles: the title of every item, N of them; None where there is no catalog.
    """

    items: Int[np.ndarray, "U k"]
    scores: Float[np.ndarray, "U k"]
    item_ids: Shaped[np.ndarray, "N"] | None = None
    item_titles: list[str] | None = None

    @property
    def valid(self) -> Bool[np.ndarray, "U k"]:
        """Which places hold an item."""
        filled: np.ndarray = self.items >= 0
        return filled

    @property
    def ids(self) -> Shaped[np.ndarray, "U k"]:
        """The ids of the items, of Python objects [U, k]; None in padded places."""
        return self._looked_up(self.item_ids)

    @property
    def titles(self) -> Shaped[np.ndarray, "U k"]:
        """The titles of the items, of Python objects [U, k]; None in padded places, or all None."""
        if self.item_titles is None:
            return np.full(self.items.shape, None, object)
        return self._looked_up(np.array(self.item_titles, object))

    @property
    def _names(self) -> tuple[Any, Any]:
        return self.item_ids, self.item_titles

    def _looked_up(self, values: np.ndarray | None) -> np.ndarray:
        found = np.full(self.items.shape, None, object)
        listed = self.items[self.valid]
        found[self.valid] = (listed if values is None else values[listed]).tolist()
        return found

    def named(self, items: Int[np.ndarray, "E"]) -> list[dict[str, Any]]:
        """Return the ids and titles of any items by position, as JSON values."""
        one = Recommendations(items[None], np.zeros((1, len(items)), np.float32), *self._names)
        columns = zip(one.ids[0], one.titles[0], strict=True)
        return [{"item_id": item_id, "title": title} for item_id, title in columns]

    def __len__(self) -> int:
        """Number of users, U."""
        return len(self.items)

    def __getitem__(self, user: int) -> list[Recommendation]:
        """Return the list of a user, best first, without padding."""
        one = dataclasses.replace(
            self, items=self.items[user][None], scores=self.scores[user][None]
        )
        columns = (one.items[0], one.ids[0], one.titles[0], one.scores[0])
        return [
            Recommendation(rank, int(item), item_id, title, float(score))
            for rank, (item, item_id, title, score) in enumerate(zip(*columns, strict=True), 1)
            if item >= 0
        ]

    def __iter__(self) -> Iterator[list[Recommendation]]:
        return (self[user] for user in range(len(self)))

    def to_arrow(self) -> pa.Table:
        """Return a row for each answer: user (0 to U - 1), rank, item_id, title, score."""
        users, places = np.nonzero(self.valid)
        columns: dict[str, Any] = {
            "user": users.astype(np.int64),
            "rank": (places + 1).astype(np.int32),
            "item_id": pa.array(
                self.ids[users, places].tolist(),
                pa.int64() if self.item_ids is None else None,
            ),
        }
        if self.item_titles is not None:
            columns["title"] = pa.array(self.titles[users, places].tolist(), pa.string())
        return pa.table(columns | {"score": self.scores[users, places]})

    def to_pandas(self) -> Any:
        """Return :meth:`to_arrow` as a pandas DataFrame.

        Raises:
          GenretError: pandas is not installed.
        """
        try:
            importlib.import_module("pandas")
        except ImportError as e:
            raise GenretError("to_pandas: found no pandas, expected it: pip install pandas") from e
        return self.to_arrow().to_pandas()

    def __repr__(self) -> str:
        if len(self) == 1:
            return _table(self[0])
        counts = self.valid.sum(axis=1)
        short = int((counts < self.items.shape[1]).sum())
        lines = [f"Recommendations of {len(self):,} users, up to {self.items.shape[1]} items each"]
        if short:
            lines[0] += f" ({short:,} users have fewer)"
        for user in range(min(3, len(self))):
            names = [one.title or str(one.id) for one in self[user][:3]]
            more = ", …" if counts[user] > 3 else ""
            lines.append(f"  user {user}: {', '.join(names) or 'none'}{more}")
        if len(self) > 3:
            lines.append(f"  and {len(self) - 3:,} more users")
        return "\n".join(lines)


def _table(ranked: list[Recommendation]) -> str:
    """Return a list as lines of text."""
    if not ranked:
        return "no item is allowed"
    names = ["rank", "id", "title", "score"]
    rows = [[str(r.rank), str(r.id), r.title or "", f"{r.score:.2f}"] for r in ranked]
    if all(one.title is None for one in ranked):
        names.pop(2)
        rows = [[*row[:2], row[3]] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    right = {"rank", "score"}
    return "\n".join(
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(names, row, widths, strict=True)
        ).rstrip()
        for row in [names, *rows]
    )
