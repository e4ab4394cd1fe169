"""A last level that is cut around the items of each prefix."""

from dataclasses import dataclass

import numpy as np

from genret.typing import Codes, Float, Int


@dataclass(frozen=True)
class Prefixes:
    r"""Center and spread of what the items of a prefix leave for the last level.

    Where several items share all codes but the last, their residuals r lie close together. The last
    level sees (r − m) / s with m and s the mean and the root mean square distance of the prefix, so
    its codes tell the items of one prefix apart, however near they are. Other residuals, those of
    new prefixes too, are divided by one number.

    Attributes:
      codes: the prefixes that several items share, int32 [G, L - 1].
      centers: m, float32 [G, D].
      spreads: s, float32 [G].
      rest: spread of the other residuals.
    """

    codes: Int[np.ndarray, "G L"]
    centers: Float[np.ndarray, "G D"]
    spreads: Float[np.ndarray, "G"]
    rest: float

    @classmethod
    def fit(cls, codes: Codes, residuals: Float[np.ndarray, "N D"]) -> "Prefixes":
        """Measure the residuals [N, D] of items with prefixes [N, L - 1]."""
        prefixes, group, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
        group = group.reshape(-1)
        order = np.argsort(group, kind="stable")
        starts = np.cumsum(counts) - counts
        totals = np.add.reduceat(residuals[order], starts, axis=0, dtype=np.float64)
        centers = (totals / counts[:, None]).astype(np.float32)
        squares = ((residuals - centers[group]) ** 2).sum(axis=1, dtype=np.float64)
        spreads = np.sqrt(np.bincount(group, squares) / counts)
        # Equal items have no spread, and no code can tell them apart.
        shared = spreads > 1e-6 * np.sqrt((residuals**2).sum(axis=1).mean() + 1e-30)
        others = residuals[~shared[group]]
        rest = (
            float(np.sqrt((others**2).sum(axis=1, dtype=np.float64).mean())) if len(others) else 0.0
        )
        return cls(
            prefixes[shared].astype(np.int32),
            centers[shared],
            spreads[shared].astype(np.float32),
            float(np.float32(rest)) or 1.0,
        )

    def standardize(
        self, codes: Int[np.ndarray, "N L"], residuals: Float[np.ndarray, "N D"]
    ) -> Float[np.ndarray, "N D"]:
        """Return what the last level sees of the residuals of items with these prefixes."""
        centers, spreads = self._of(codes)
        return ((residuals - centers) / spreads[:, None]).astype(np.float32)

    def restore(
        self, codes: Int[np.ndarray, "N L"], values: Float[np.ndarray, "N D"]
    ) -> Float[np.ndarray, "N D"]:
        """Return the residuals that the last level's values stand for."""
        centers, spreads = self._of(codes)
        return centers + spreads[:, None] * values

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to store."""
        return {
            "local.codes": self.codes,
            "local.centers": self.centers,
            "local.spreads": self.spreads,
            "local.rest": np.array([self.rest], np.float32),
        }

    @staticmethod
    def shapes(count: int, levels: int, width: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the stored arrays."""
        return {
            "local.codes": (count, levels - 1),
            "local.centers": (count, width),
            "local.spreads": (count,),
            "local.rest": (1,),
        }

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> "Prefixes":
        """Build it of stored arrays."""
        return cls(
            arrays["local.codes"],
            arrays["local.centers"],
            arrays["local.spreads"],
            float(arrays["local.rest"][0]),
        )

    def _of(
        self, codes: Int[np.ndarray, "N L"]
    ) -> tuple[Float[np.ndarray, "N D"], Float[np.ndarray, "N"]]:
        known = len(self.codes)
        _, group = np.unique(np.concatenate([self.codes, codes]), axis=0, return_inverse=True)
        group = group.reshape(-1)
        place = np.full(int(group.max()) + 1, known)
        place[group[:known]] = np.arange(known)
        row = place[group[known:]]
        zero = np.zeros((1, self.centers.shape[1]), np.float32)
        return (
            np.concatenate([self.centers, zero])[row],
            np.append(self.spreads, np.float32(self.rest))[row],
        )
