"""How histories are cut into chunks, and chunks put into the rows of batches: positions alone."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from genret.typing import Int


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a batch, not laid out yet.

    Attributes:
      shape: rows and positions of the batch.
      row_of: the row of each chunk, rising.
      chunks: (first event, length, history) of each chunk.
      events: numbers of the events that chunks are parts of; None: all events, in order.
    """

    shape: tuple[int, int]
    row_of: Int[np.ndarray, "C"]
    chunks: Int[np.ndarray, "C 3"]
    events: Int[np.ndarray, "E"] | None = None

    def part(self, begin: int, end: int, parts: int) -> "Rows":
        """Return the rows of the parts from ``begin`` to ``end``, of equal parts of the batch."""
        if (begin, end) == (0, parts):
            return self
        size = self.shape[0] // parts
        low, high = np.searchsorted(self.row_of, [begin * size, end * size])
        return dataclasses.replace(
            self,
            shape=((end - begin) * size, self.shape[1]),
            row_of=self.row_of[low:high] - begin * size,
            chunks=self.chunks[low:high],
        )


def cut(
    begin: Int[np.ndarray, "U"],
    lengths: Int[np.ndarray, "U"],
    users: Int[np.ndarray, "U"],
    width: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, "C 3"]:
    """Cut the histories of some users into chunks of at most ``width`` events.

    A history that is longer is cut at a random phase: chunk j covers the events from
    phase + (j − 1)·width to phase + j·width, as far as the history reaches.

    Args:
      begin: where the events of each history begin.
      lengths: events of each history.
      users: its number.
      width: most events of a chunk.
      rng: source of the phases.

    Returns:
      (first event, length, history) of each chunk.
    """
    phase = np.where(lengths > width, rng.integers(1, width + 1, len(lengths)), width)
    count = np.where(lengths > 0, 1 + np.maximum(0, -(-(lengths - phase) // width)), 0)
    own = np.repeat(np.arange(len(lengths)), count)
    j = np.arange(len(own)) - np.repeat(np.cumsum(count) - count, count)
    first = np.maximum(phase[own] + (j - 1) * width, 0)
    last = np.minimum(phase[own] + j * width, lengths[own])
    return np.stack([begin[own] + first, last - first, users[own]], axis=1)


def prefixes(
    begin: Int[np.ndarray, "U"],
    lengths: Int[np.ndarray, "U"],
    users: Int[np.ndarray, "U"],
    width: int,
) -> Int[np.ndarray, "C 3"]:
    """Return, for each event of some users, the chunk of at most ``width`` events that ends with it.

    Args and Returns are those of :func:`cut`.
    """
    own = np.repeat(np.arange(len(users)), lengths)
    place = np.arange(len(own)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    held = np.minimum(place + 1, width)
    return np.stack([begin[own] + place + 1 - held, held, users[own]], axis=1)


def arrange(
    chunks: Int[np.ndarray, "C 3"], width: int, packing: str, rng: np.random.Generator
) -> Iterator[tuple[int, Int[np.ndarray, "C 3"], Int[np.ndarray, "C"]]]:
    """Yield (width of rows, chunks, row of each chunk), the chunks ordered by row."""
    chunks = rng.permutation(chunks)
    if packing == "pack":
        row_of = _best_fit(chunks[:, 1], width)
        order = np.argsort(row_of, kind="stable")
        yield width, chunks[order], row_of[order]
        return
    widths = [width] if packing == "pad" else sorted({-(-width // 4), -(-width // 2), width})
    bucket = np.searchsorted(widths, chunks[:, 1])
    for i, bound in enumerate(widths):
        members = chunks[bucket == i]
        if len(members):
            yield bound, members, np.arange(len(members))


def _best_fit(lengths: Int[np.ndarray, "C"], width: int) -> Int[np.ndarray, "C"]:
    """Put chunks, in order, into the fullest open row that has room; return the row of each."""
    open_rows: list[list[int]] = [[] for _ in range(width + 1)]  # by free positions
    row_of = np.empty(len(lengths), np.int64)
    rows = 0
    for i, length in enumerate(lengths.tolist()):
        free = next((f for f in range(length, width) if open_rows[f]), width)
        if free == width:
            row, rows = rows, rows + 1
        else:
            row = open_rows[free].pop()
        row_of[i] = row
        open_rows[free - length].append(row)
    return row_of
