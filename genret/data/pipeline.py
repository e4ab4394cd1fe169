"""Training batches from histories, through Grain: packed, bucketed or padded rows.

A row holds ``max_items + 1`` positions: what a model sees at inference, a start and ``max_items``
items, are the inputs of the positions of one full row. Histories that are longer are cut into
chunks, at another place in each epoch. The first item of a chunk is a target too; its input is the
start.

A model whose encoding serves one target only takes rows of one target: for each event a row of the
items before it, then itself.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import grain
import numpy as np

from genret.config import TrainConfig, require
from genret.data._side import bucket_gaps, bucket_users
from genret.histories import Histories
from genret.typing import Int

Batch = dict[str, np.ndarray]
"""``items`` (item rows, -1 padding), ``segments`` (0 padding, 1, 2, … the histories of a row) and
``positions`` (in the history or chunk), each int32 [B, P]; where they are known also ``gaps`` and
``users``, see :mod:`genret.data._side`."""


class TrainingBatches(grain.IterDataset[Batch]):
    """An endless, seeded stream of batches in which every event is a target once per epoch.

    The iterator's state is ``{"epoch": int, "batch": int}``: setting it gives exactly the batches
    that follow, whatever happened before.

    Args:
      histories: the training events of each user.
      config: ``batch_size`` and ``packing``.
      max_items: longest history that the model sees; rows have one position more.
      seed: seed of the order, the cuts and the packing.
      multiple_of: the number of rows of every batch is a multiple of it (devices); empty rows fill
        it up, so that the batches are the same for any number.
      own_rows: lay out these rows alone: from part, to part, of so many equal parts of a batch. What
        the other processes of a training lay out is left to them.
      one_target: a row holds one target, its last item; "pack" then means "bucket".
      time_buckets: batches hold the time before each event in so many buckets; 0 leaves it out.
      user_buckets: batches hold the user of each event in so many buckets; 0 leaves it out.

    Raises:
      GenretError: no event at all.

    >>> config = TrainConfig(batch_size=2, packing="pack")
    >>> histories = Histories.from_lists([[7, 8, 9], [4, 5]])
    >>> stream = iter(TrainingBatches(histories, config, max_items=5, seed=0))
    >>> batch = next(stream)
    >>> batch["items"].shape, sorted(batch["items"][batch["segments"] > 0].tolist())
    ((2, 6), [4, 5, 7, 8, 9])
    >>> stream.get_state()
    {'epoch': 1, 'batch': 0}
    """

    def __init__(
        self,
        histories: Histories,
        config: TrainConfig,
        *,
        max_items: int,
        seed: int,
        multiple_of: int = 1,
        own_rows: tuple[int, int, int] = (0, 1, 1),
        one_target: bool = False,
        time_buckets: int = 0,
        user_buckets: int = 0,
    ) -> None:
        super().__init__()
        require(histories.num_events > 0, "training: found no events, expected at least 1")
        self._histories = histories
        self._config = config
        self._width = max_items + 1
        self._seed = seed
        self._multiple_of = multiple_of
        self._own_rows = own_rows
        self._one_target = one_target
        self._of_events = {"items": histories.items}
        if time_buckets:
            self._of_events["gaps"] = bucket_gaps(histories, time_buckets)
        if user_buckets:
            self._of_events["users"] = bucket_users(histories, user_buckets)[histories.owners]

    def __iter__(self) -> "TrainingIterator":
        return TrainingIterator(self)

    def epoch(self, number: int) -> list["_Rows"]:
        """Return the batches of an epoch in order, not laid out yet."""
        rng = np.random.default_rng((self._seed, number))
        packing = self._config.packing
        if self._one_target:
            chunks = _prefixes(self._histories, self._width)
            packing = "bucket" if packing == "pack" else packing
        else:
            chunks = _cut(self._histories, self._width, rng)
        batches = []
        for width, group, row_of in _arrange(chunks, self._width, packing, rng):
            # A fixed number of positions in a batch, whatever the width of its rows.
            size = max(1, self._config.batch_size * self._width // width)
            filled = -(-size // self._multiple_of) * self._multiple_of
            # Rows are spread evenly, so that no batch of the epoch is nearly empty.
            rows = int(row_of[-1]) + 1
            edges = np.linspace(0, rows, -(-rows // size) + 1).astype(np.int64)
            cuts = np.searchsorted(row_of, edges)
            for first, low, high in zip(edges[:-1], cuts[:-1], cuts[1:], strict=True):
                batches.append(_Rows((filled, width), row_of[low:high] - first, group[low:high]))
        return [batches[i] for i in rng.permutation(len(batches))]

    def lay_out(self, rows: "_Rows") -> Batch:
        """Fill the arrays of a batch, or of this process' rows of it."""
        rows = rows.part(*self._own_rows)
        starts, lengths = rows.chunks[:, 0], rows.chunks[:, 1]
        # The chunks of a row follow each other: a chunk begins where those before it in its row end.
        before = np.cumsum(lengths) - lengths
        is_first = np.diff(rows.row_of, prepend=-1) != 0
        group = np.cumsum(is_first) - 1
        column = before - before[is_first][group]
        segment = np.arange(len(group)) - np.flatnonzero(is_first)[group] + 1

        step = np.arange(lengths.sum()) - np.repeat(before, lengths)
        where = np.repeat(rows.row_of * rows.shape[1] + column, lengths) + step
        events = np.repeat(starts, lengths) + step
        columns = {
            **{name: values[events] for name, values in self._of_events.items()},
            "segments": np.repeat(segment, lengths),
            "positions": step,
        }
        batch = {}
        for name, values in columns.items():
            batch[name] = np.full(rows.shape, -1 if name == "items" else 0, np.int32)
            batch[name].flat[where] = values
        return batch


class TrainingIterator(grain.DatasetIterator[Batch]):
    """Iterator of :class:`TrainingBatches`; its state is JSON."""

    def __init__(self, dataset: TrainingBatches) -> None:
        super().__init__()
        self._dataset = dataset
        self._position = (0, 0)
        self._planned: tuple[int, list[_Rows]] | None = None

    def __next__(self) -> Batch:
        epoch, number = self._position
        if self._planned is None or self._planned[0] != epoch:
            self._planned = (epoch, self._dataset.epoch(epoch))
        batches = self._planned[1]
        self._position = (epoch, number + 1) if number + 1 < len(batches) else (epoch + 1, 0)
        return self._dataset.lay_out(batches[number])

    def get_state(self) -> dict[str, Any]:
        """Return ``{"epoch", "batch"}`` of the batch that comes next."""
        return {"epoch": self._position[0], "batch": self._position[1]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to a state that :meth:`get_state` returned."""
        self._position = (int(state["epoch"]), int(state["batch"]))


def padding_waste(batches: Iterator[Batch], count: int) -> float:
    """Return the share of positions without a target in the next ``count`` batches."""
    filled = [float((next(batches)["segments"] > 0).mean()) for _ in range(count)]
    return 1.0 - float(np.mean(filled))


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The rows of a batch: ``chunks`` (start, length) [C, 2], and the row of each, rising."""

    shape: tuple[int, int]
    row_of: Int[np.ndarray, "C"]
    chunks: Int[np.ndarray, "C 2"]

    def part(self, begin: int, end: int, parts: int) -> "_Rows":
        """Return the rows of the parts from ``begin`` to ``end``, of equal parts of the batch."""
        if (begin, end) == (0, parts):
            return self
        size = self.shape[0] // parts
        low, high = np.searchsorted(self.row_of, [begin * size, end * size])
        shape = ((end - begin) * size, self.shape[1])
        return _Rows(shape, self.row_of[low:high] - begin * size, self.chunks[low:high])


def _cut(histories: Histories, width: int, rng: np.random.Generator) -> Int[np.ndarray, "C 2"]:
    """Cut histories into (start, length) of at most ``width`` events; long ones at a random phase."""
    begin, lengths = histories.offsets[:-1], histories.lengths
    phase = np.where(lengths > width, rng.integers(1, width + 1, len(lengths)), width)
    # Chunk j of a history covers [phase + (j − 1)·width, phase + j·width), cut to the history.
    count = np.where(lengths > 0, 1 + np.maximum(0, -(-(lengths - phase) // width)), 0)
    history = np.repeat(np.arange(len(lengths)), count)
    j = np.arange(len(history)) - np.repeat(np.cumsum(count) - count, count)
    first = np.maximum(phase[history] + (j - 1) * width, 0)
    last = np.minimum(phase[history] + j * width, lengths[history])
    return np.stack([begin[history] + first, last - first], axis=1)


def _prefixes(histories: Histories, width: int) -> Int[np.ndarray, "C 2"]:
    """Return for each event the (start, length) of at most ``width`` events that end with it."""
    ends = np.arange(histories.num_events) + 1
    begin = histories.offsets[histories.owners]
    lengths = np.minimum(ends - begin, width)
    return np.stack([ends - lengths, lengths], axis=1)


def _arrange(
    chunks: Int[np.ndarray, "C 2"], width: int, packing: str, rng: np.random.Generator
) -> Iterator[tuple[int, Int[np.ndarray, "C 2"], Int[np.ndarray, "C"]]]:
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
