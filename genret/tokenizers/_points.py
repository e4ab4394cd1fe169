"""The points that a level of a residual quantizer sees: in memory, or made batch by batch."""

from collections.abc import Callable, Iterator

import numpy as np

from genret.typing import Int, Vectors

BATCH = 65536
"""Points in work at a time."""

Rows = slice | Int[np.ndarray, "R"]
Change = Callable[[Vectors, Rows], Vectors]
"""Takes the points of some rows, and which rows these are; returns the points that follow."""


class Points:
    """Points that are changed level by level.

    In memory a change is applied once. Of vectors that lie in a file nothing is held: their points
    are read and led through all changes each time that they are asked for, which gives the same
    numbers.

    Args:
      vectors: [N, D], of any type of numbers.
      standardize: returns new points of some of them, float32.
      held: whether all points are held in memory.

    >>> points = Points(np.array([[2.0], [6.0]]), lambda x: x.astype(np.float32), held=False)
    >>> points.change(lambda own, rows: own - np.float32(1))
    >>> points[1:].tolist()
    [[5.0]]
    """

    def __init__(
        self, vectors: np.ndarray, standardize: Callable[[np.ndarray], Vectors], *, held: bool
    ) -> None:
        self.shape = vectors.shape
        self._vectors, self._standardize = vectors, standardize
        self._held = standardize(vectors) if held else None
        self._changes: list[Change] = []

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Rows) -> Vectors:
        """Return the points of some rows, not to be overwritten."""
        if self._held is not None:
            return self._held[rows]
        points = self._standardize(self._vectors[rows])
        for change in self._changes:
            points = change(points, rows)
        return points

    def change(self, change: Change) -> None:
        """Change all points from now on; a row's points may depend on themselves and the row alone."""
        if self._held is None:
            self._changes.append(change)
        else:
            for rows in batches(len(self)):
                self._held[rows] = change(self._held[rows], rows)


def batches(count: int, size: int = BATCH) -> Iterator[slice]:
    """Yield the rows of batches, in order.

    >>> list(batches(5, 3))
    [slice(0, 3, None), slice(3, 6, None)]
    """
    for first in range(0, count, size):
        yield slice(first, first + size)
