"""The item-kNN baseline: items like those of the history, by who had both."""

import dataclasses

import numpy as np
import scipy.sparse as sp

from genret.config import require
from genret.histories import Histories
from genret.typing import Int


@dataclasses.dataclass(frozen=True)
class ItemKNN:
    r"""Item-based collaborative filtering with cosine similarity.

    .. math:: s(i, j) = \frac{|U_i \cap U_j|}{\sqrt{|U_i|\,|U_j|}}

    where :math:`U_i` are the training users who had item i. Each item keeps its most similar items
    (itself not among them), and a user's score of item j is the sum of s(i, j) over the distinct
    items i of the history.

    Attributes:
      similar: float32 [N, N], row i holds the neighbors of item i.
      by_popularity: item rows, most training users first: how equal scores are ranked, [N].

    Source: Deshpande and Karypis, "Item-based top-N recommendation algorithms", 2004.

    >>> knn = ItemKNN.fit(Histories.from_lists([[0, 1], [0, 1], [0, 2, 3]]), num_items=5)
    >>> knn.recommend(Histories.from_lists([[1]]), k=3, exclude_seen=True)
    array([[0, 2, 3]], dtype=int32)
    """

    # scipy's types are no part of the public face.
    similar: "sp.csr_matrix"
    by_popularity: Int[np.ndarray, "N"]

    @classmethod
    def fit(cls, histories: Histories, num_items: int, *, neighbors: int = 100) -> "ItemKNN":
        """Count who had which items together.

        Args:
          histories: the training events of each user.
          num_items: N.
          neighbors: similar items that an item keeps; equal similarities by popularity.

        Returns:
          The baseline, ready.

        Raises:
          GenretError: ``neighbors`` is not positive.
        """
        require(neighbors >= 1, f"neighbors: found {neighbors}, expected at least 1")
        had = _incidence(histories, num_items)
        users = np.asarray(had.sum(axis=0)).ravel()
        by_popularity = np.argsort(-users, kind="stable").astype(np.int32)
        together = (had.T @ had).tocoo()
        scale = np.sqrt(users[together.row] * users[together.col])
        off_diagonal = together.row != together.col
        cosine = (together.data / scale).astype(np.float32)[off_diagonal]
        rows, columns = together.row[off_diagonal], together.col[off_diagonal]
        order = np.lexsort((_place(by_popularity)[columns], -cosine, rows))
        rows, columns, cosine = rows[order], columns[order], cosine[order]
        starts = np.searchsorted(rows, np.arange(num_items))
        near = np.arange(len(rows)) - starts[rows] < neighbors
        similar = sp.csr_matrix(
            (cosine[near], (rows[near], columns[near])), (num_items, num_items), np.float32
        )
        return cls(similar, by_popularity)

    def recommend(
        self, histories: Histories, *, k: int, exclude_seen: bool, cells: int = 1 << 24
    ) -> Int[np.ndarray, "U K"]:
        """Recommend k items to each user.

        Args:
          histories: the histories, item rows.
          k: length of the lists.
          exclude_seen: leave out the items of the user's own history.
          cells: scores held in memory at once, over all users of a batch, 4 bytes each.

        Returns:
          Item rows, int32, best first; equal scores, also those of items that nothing speaks for,
          by popularity and then by row. ``-1`` padded where fewer than k items are left.
        """
        num_items = self.similar.shape[0]
        users = len(histories)
        width = min(k, num_items)
        # One integer orders by score and then by popularity: the bits of floats that are not
        # negative rise with the float.
        tie = (num_items - 1 - _place(self.by_popularity)).astype(np.int64)
        out = np.full((users, k), -1, np.int32)
        batch = max(1, cells // num_items)
        for start in range(0, users, batch):
            part = histories.slice(start, min(start + batch, users))
            history = _incidence(part, num_items)
            scores = np.ascontiguousarray((history @ self.similar).toarray(), np.float32)
            keys = (scores.view(np.int32).astype(np.int64) << 32) + tie[None, :]
            if exclude_seen:
                keys[part.owners, part.items] = -1
            best = np.argpartition(-keys, width - 1, axis=1)[:, :width]
            found = np.take_along_axis(keys, best, axis=1)
            order = np.argsort(-found, axis=1)
            kept = np.take_along_axis(found, order, axis=1) >= 0
            ranked = np.take_along_axis(best, order, axis=1)
            out[start : start + batch, :width] = np.where(kept, ranked, -1)
        return out


def _incidence(histories: Histories, num_items: int) -> "sp.csr_matrix":
    """Return who had which item, once each, float64 [U, N]."""
    shape = (len(histories), num_items)
    events = (histories.owners, histories.items)
    had = sp.csr_matrix((np.ones(histories.num_events), events), shape)
    had.data[:] = 1.0  # repetitions were summed
    return had


def _place(ordered: Int[np.ndarray, "N"]) -> Int[np.ndarray, "N"]:
    """Return the place of each item in an order."""
    place = np.empty(len(ordered), np.int64)
    place[ordered] = np.arange(len(ordered))
    return place
