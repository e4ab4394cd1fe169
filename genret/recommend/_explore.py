"""Exploration: the items that a search found, in an order drawn by Thompson sampling."""

import dataclasses

import numpy as np

from genret.config import require
from genret.typing import Float, Int

_SURE = 1e-6
"""Least distance of a prior's mean from 0 and 1, where a beta distribution ends."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ThompsonSampling:
    r"""Ranks the items of a beam by rates that are drawn from what is known of each.

    A greedy ranking shows the same items for ever and learns nothing about the others. Here the rate at
    which a person takes item :math:`i` is drawn from

    .. math:: \theta_i \sim \mathrm{Beta}(\kappa p_i + t_i,\; \kappa (1 - p_i) + n_i - t_i),

    with :math:`p_i` the model's probability of the item among those of the beam, and items come in the
    order of their draws. The strength :math:`\kappa` says how many people the model's word is worth:
    the larger it is, the nearer is the ranking to the model's own. Of :math:`n_i` people to whom an item
    was shown, :math:`t_i` took it; what was shown often is ranked by that, and explored no more.

    Source: Thompson, On the likelihood that one unknown probability exceeds another, 1933; Chapelle and
    Li, An Empirical Evaluation of Thompson Sampling, 2011.

    Attributes:
      strength: :math:`\kappa`, in people.
      seed: of the draws; equal calls give equal rankings.
      shown: to how many people each item was shown, [N]; None: to nobody.
      taken: how many of them took it, [N].

    >>> beam, scores = np.array([[4, 7, 2]]), np.log([[0.6, 0.3, 0.1]]).astype(np.float32)
    >>> ThompsonSampling(strength=1e6).rank(beam, scores, 2)[0].tolist()
    [[4, 7]]
    >>> asked, took = np.full(8, 1000), np.array([0, 0, 900, 0, 10, 0, 0, 10])
    >>> ThompsonSampling(shown=asked, taken=took).rank(beam, scores, 1)[0].tolist()
    [[2]]
    """

    strength: float = 50.0
    seed: int = 0
    shown: Int[np.ndarray, "N"] | None = None
    taken: Int[np.ndarray, "_"] | None = None

    def __post_init__(self) -> None:
        require(
            0 < self.strength < float("inf"),
            f"explore: strength: found {self.strength}, expected more than 0, and finite",
        )
        require(self.seed >= 0, f"explore: seed: found {self.seed}, expected 0 or more")
        require(
            (self.shown is None) == (self.taken is None),
            "explore: found one of shown and taken, expected both or none",
        )
        if self.shown is not None and self.taken is not None:
            require(
                self.shown.shape == self.taken.shape,
                f"explore: found shown {self.shown.shape} and taken {self.taken.shape}, expected a "
                "number of each item",
            )
            wrong = np.flatnonzero((self.taken < 0) | (self.taken > self.shown))[:1]
            require(
                not len(wrong),
                f"explore: item {wrong}: found taken {self.taken[wrong]} of shown {self.shown[wrong]}, "
                "expected 0 to as many as were shown",
            )

    def check(self, num_items: int) -> None:
        """Check that it is about a catalog.

        Raises:
          GenretError: counts of another number of items.
        """
        require(
            self.shown is None or len(self.shown) == num_items,
            f"explore: shown: found {0 if self.shown is None else len(self.shown)} items, expected "
            f"{num_items}",
        )

    def rank(
        self, items: Int[np.ndarray, "U C"], scores: Float[np.ndarray, "U C"], k: int
    ) -> tuple[Int[np.ndarray, "U k"], Float[np.ndarray, "U k"]]:
        """Return the k items of each user with the largest draws, and the logarithms of these.

        Args:
          items: item positions that a search found, best first, -1 where there are no more.
          scores: their log-probabilities.
          k: how many items, at most C.

        Returns:
          Items, and the logarithms of their rates, float32; -1 and -inf where there are no more.
        """
        filled = items >= 0
        top = np.max(scores, axis=1, initial=-np.inf, where=filled, keepdims=True)
        top = np.where(np.isfinite(top), top, 0)
        weights = np.exp(scores.astype(np.float64) - top, where=filled, out=np.zeros(items.shape))
        total = weights.sum(axis=1, keepdims=True)
        prior = np.clip(weights / np.where(total > 0, total, 1), _SURE, 1 - _SURE)
        took, left = self.strength * prior, self.strength * (1 - prior)
        if self.shown is not None and self.taken is not None:
            took = took + self.taken[items]
            left = left + (self.shown - self.taken)[items]
        # By the logarithms of two gamma variables: a rate itself may be less than any float64.
        rng = np.random.default_rng(self.seed)
        one, other = _log_gamma(rng, took), _log_gamma(rng, left)
        drawn = np.where(filled, one - np.logaddexp(one, other), -np.inf).astype(np.float32)
        order = np.argsort(-drawn, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(items, order, 1), np.take_along_axis(drawn, order, 1)


def _log_gamma(rng: np.random.Generator, shape: Float[np.ndarray, "U C"]) -> np.ndarray:
    """Draw logarithms of gamma variables: of shape a, that is one of a + 1 times u^(1/a)."""
    u = 1.0 - rng.random(shape.shape)  # never 0
    found: np.ndarray = np.log(rng.standard_gamma(shape + 1)) + np.log(u) / shape
    return found
