"""Transitions: which items followed which in training, counted, as a model to fuse with others."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from genret.errors import GenretError
from genret.histories import Histories
from genret.models._capabilities import Capabilities
from genret.models._history import History
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Float, Int

_UNSEEN = 0.5
"""Training events that an item counts as which has none."""


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Transitions:
    r"""Scores every item by how often it stood near the items of a history.

    In training, an event at distance d after another one counts 1/d for the pair of items, and the
    same pair the other way round counts ``backward`` of it. With :math:`C_{ij}` these sums and
    :math:`r_i`, :math:`c_j` those of a row and a column, and with :math:`i_k` the item k places before
    the newest one,

    .. math:: m_j = \sum_k \gamma^k \frac{C_{i_k j}}{\sqrt{r_{i_k} c_j}}, \qquad
        p_j = (1 - \varepsilon) \frac{m_j}{\sum_l m_l} + \varepsilon\,\frac{e_j}{\sum_l e_l}.

    with :math:`e_j` the training events of item j, at least half of one. To everything else it is a
    model whose semantic ID is the item itself, like SASRec: it is searched, filtered and fused as
    the others are (``transitions=`` of :class:`genret.Recommender`). It has nothing to train.

    Source: Sarwar et al., Item-Based Collaborative Filtering Recommendation Algorithms, 2001 (items
      by what they occur with); Garg et al., Sequence and Time Aware Neighborhood for Session-based
      Recommendations (STAN), 2019 (decay by distance and by recency).

    Attributes:
      neighbors: the items of the largest weights of each item, int32 [N, K]; which one stands where
        there are fewer does not matter.
      weights: their weights, float32 [N, K]; 0 where there are fewer.
      events: the training events of each item, float32 [N], 0.5 where there are none.
      decay: γ.
      smoothing: ε.
      share: weight in a ranking that fuses it with a model, 0 to 1; ``genret train`` chooses it.
      max_items: items of a history that it reads, the newest ones.

    >>> import numpy as np
    >>> from genret.histories import Histories
    >>> model = Transitions.fit(Histories.from_lists([[0, 1], [0, 1], [2, 3]]), 4)
    >>> history = History.from_items(np.arange(4)[:, None], [[2, 0]], max_items=3)
    >>> model.prefill(history)[0][0, 0].argsort(descending=True).tolist()[:2]
    [1, 3]
    """

    neighbors: Int[Array, "N K"]
    weights: Float[Array, "N K"]
    events: Float[Array, " N"]
    decay: float = static_field()
    smoothing: float = static_field()
    share: float = static_field(0.5)
    max_items: int = static_field(20)

    @classmethod
    def fit(
        cls,
        histories: Histories,
        num_items: int,
        *,
        window: int = 10,
        backward: float = 0.3,
        neighbors: int = 200,
        decay: float = 0.6,
        smoothing: float = 0.05,
    ) -> "Transitions":
        """Count training events.

        Args:
          histories: the training events of each user, oldest first.
          num_items: N.
          window: largest distance of two events that count as a pair.
          backward: what a pair the other way round counts, 0 to 1.
          neighbors: K at most; the largest weights of each item are kept.
          decay: γ, above 0 and at most 1.
          smoothing: ε, above 0 and below 1.

        Raises:
          GenretError: an argument out of range, or no events.
        """
        for name, value, within, says in (
            ("window", window, window >= 1, "at least 1"),
            ("neighbors", neighbors, neighbors >= 1, "at least 1"),
            ("backward", backward, 0 <= backward <= 1, "0 to 1"),
            ("decay", decay, 0 < decay <= 1, "above 0 and at most 1"),
            ("smoothing", smoothing, 0 < smoothing < 1, "above 0 and below 1"),
        ):
            if not within:
                raise GenretError(f"{name}: found {value}, expected {says}")
        items = np.asarray(histories.items, np.int64)
        if not len(items):
            raise GenretError("transitions: found no training events, expected at least 1")
        counts = _pairs(items, np.asarray(histories.owners), num_items, window)
        counts = (counts + backward * counts.T).tocsr()
        of_rows, of_columns = (np.asarray(counts.sum(axis=axis)).ravel() for axis in (1, 0))
        scale = [sp.diags(1 / np.sqrt(np.maximum(sums, 1e-12))) for sums in (of_rows, of_columns)]
        rows, weights = _largest((scale[0] @ counts @ scale[1]).tocsr(), neighbors)
        seen = np.maximum(np.bincount(items, minlength=num_items), _UNSEEN)
        return cls(
            neighbors=jnp.asarray(rows, jnp.int32),
            weights=jnp.asarray(weights, jnp.float32),
            events=jnp.asarray(seen, jnp.float32),
            decay=decay,
            smoothing=smoothing,
        )

    @property
    def capabilities(self) -> Capabilities:
        """It reads the newest ``max_items`` items of a history, and nothing else."""
        return Capabilities(max_items=self.max_items)

    @property
    def num_items(self) -> int:
        """N."""
        return self.events.shape[0]

    def with_items(self, num_items: int) -> "Transitions":
        """Return the counts of more items: those that came after the training have none.

        Args:
          num_items: how many items there are now; the counted ones come first.

        Returns:
          What :meth:`fit` would return for so many items.

        Raises:
          GenretError: fewer items than were counted.
        """
        more = num_items - self.num_items
        if more < 0:
            raise GenretError(
                f"transitions: found counts of {self.num_items} items, expected at most the "
                f"{num_items} of the index"
            )
        if more == 0:
            return self
        return dataclasses.replace(
            self,
            neighbors=jnp.pad(self.neighbors, ((0, more), (0, 0))),
            weights=jnp.pad(self.weights, ((0, more), (0, 0))),
            events=jnp.pad(self.events, (0, more), constant_values=_UNSEEN),
        )

    def prefill(self, history: History) -> tuple[Float[Array, "B 1 N"], None]:
        """Read the histories, once per request.

        Args:
          history: B histories whose codes are the items themselves, [B, T, 1].

        Returns:
          Float32 log-probabilities [B, 1, N] of the next item, and no cache: no level follows.
        """
        items = history.codes[..., 0]
        batch, length = items.shape
        # The newest item has age 0.
        ages = history.lengths[:, None] - 1 - jnp.arange(length, dtype=jnp.int32)[None]
        recency = jnp.where(ages >= 0, self.decay ** jnp.maximum(ages, 0).astype(jnp.float32), 0.0)
        rows = self.neighbors.at[items].get(mode="clip")
        added = recency[:, :, None] * self.weights.at[items].get(mode="clip")
        request = jnp.arange(batch, dtype=jnp.int32)[:, None, None]
        mass = jnp.zeros((batch, self.num_items), jnp.float32).at[request, rows].add(added)
        total = mass.sum(axis=1, keepdims=True)
        popularity = (self.events / self.events.sum())[None]
        known = jnp.where(total > 0, mass / jnp.where(total > 0, total, 1), popularity)
        shares = (1 - self.smoothing) * known + self.smoothing * popularity
        return jnp.log(shares)[:, None], None

    def step(self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: None) -> None:
        """Refuse: an item is one code, so no level follows.

        Raises:
          GenretError: always.
        """
        raise GenretError("step: transitions have one level: no level follows")


def _pairs(
    items: Int[np.ndarray, "E"], owners: Int[np.ndarray, "E"], num_items: int, window: int
) -> sp.csr_matrix:
    """Return the sums of 1 / distance of pairs (earlier item, later item) of one history."""
    total = sp.csr_matrix((num_items, num_items), dtype=np.float64)
    for distance in range(1, min(window, len(items) - 1) + 1):
        together = owners[:-distance] == owners[distance:]
        if not together.any():
            break
        where = items[:-distance][together], items[distance:][together]
        values = np.full(int(together.sum()), 1 / distance)
        total = total + sp.coo_matrix((values, where), shape=total.shape).tocsr()
    return total


def _largest(
    matrix: sp.csr_matrix, most: int
) -> tuple[Int[np.ndarray, "N K"], Float[np.ndarray, "N K"]]:
    """Return columns and values of the largest entries of each row, equal ones by column."""
    matrix.sort_indices()
    per_row = np.diff(matrix.indptr)
    width = max(1, min(most, int(per_row.max(initial=0))))
    row = np.repeat(np.arange(matrix.shape[0]), per_row)
    order = np.lexsort((matrix.indices, -matrix.data, row))
    rank = np.arange(len(order)) - np.repeat(matrix.indptr[:-1], per_row)
    kept = rank < width
    columns = np.zeros((matrix.shape[0], width), np.int32)
    values = np.zeros((matrix.shape[0], width), np.float32)
    columns[row[kept], rank[kept]] = matrix.indices[order][kept]
    values[row[kept], rank[kept]] = matrix.data[order][kept]
    return columns, values
