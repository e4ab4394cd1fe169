"""Training batches from histories, through Grain: packed, bucketed or padded rows.

A row holds ``max_items + 1`` positions: what a model sees at inference, a start and ``max_items``
items, are the inputs of the positions of one full row. Histories that are longer are cut into
chunks, at another place in each epoch. The first item of a chunk is a target too; its input is the
start.

A model whose encoding serves one target only takes rows of one target: for each event a row of the
items before it, then itself.

Histories of more than a million events are laid out window by window: an epoch goes through all
users in a new random order, and cuts, packs and shuffles about a million of their events at a time.
So memory does not grow with the events, which may lie in a file that is mapped into memory; it grows
by 4 bytes a user for their order.
"""

from collections.abc import Iterator
from typing import Any

import grain
import numpy as np

from genret.config import TrainConfig, require
from genret.data._augment import augmented, is_augmented
from genret.data._packing import Rows, arrange, cut, prefixes
from genret.data._side import gaps_of, users_of
from genret.histories import Histories

WINDOW_EVENTS = 1 << 20
"""Events that are cut, packed and shuffled together."""

Batch = dict[str, np.ndarray]
"""``items`` (item rows, -1 padding), ``segments`` (0 padding, 1, 2, … the histories of a row) and
``positions`` (in the history or chunk), each int32 [B, P]; where they are known also ``gaps`` and
``users``, see :mod:`genret.data._side`."""


class TrainingBatches(grain.IterDataset[Batch]):
    """An endless, seeded stream of batches in which every event is a target once per epoch.

    Where histories are augmented, every event that an epoch keeps is one.

    The iterator's state is ``{"epoch": int, "window": int, "batch": int}``: setting it gives exactly
    the batches that follow, whatever happened before.

    Args:
      histories: the training events of each user.
      config: ``batch_size``, ``packing``, and how histories are augmented: ``crop``, ``drop_items``,
        ``shuffle``, ``reverse``.
      max_items: longest history that the model sees; rows have one position more.
      seed: seed of the order, the cuts and the packing.
      multiple_of: the number of rows of every batch is a multiple of it (devices); empty rows fill
        it up, so that the batches are the same for any number.
      own_rows: lay out these rows alone: from part, to part, of so many equal parts of a batch. What
        the other processes of a training lay out is left to them.
      one_target: a row holds one target, its last item; "pack" then means "bucket".
      time_buckets: batches hold the time before each event in so many buckets; 0 leaves it out.
      user_buckets: batches hold the user of each event in so many buckets; 0 leaves it out.

    Attributes:
      windows: number of windows of an epoch.

    Raises:
      GenretError: no event at all, or times of events that come in another order.

    >>> config = TrainConfig(batch_size=2, packing="pack")
    >>> histories = Histories.from_lists([[7, 8, 9], [4, 5]])
    >>> stream = iter(TrainingBatches(histories, config, max_items=5, seed=0))
    >>> batch = next(stream)
    >>> batch["items"].shape, sorted(batch["items"][batch["segments"] > 0].tolist())
    ((2, 6), [4, 5, 7, 8, 9])
    >>> stream.get_state()
    {'epoch': 1, 'window': 0, 'batch': 0}
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
        require(
            not time_buckets or not (config.shuffle or config.reverse),
            f"time_buckets: found {time_buckets} with shuffle {config.shuffle} and reverse "
            f"{config.reverse}, expected 0: the time before an event is that of its place",
        )
        self._histories = histories
        self._config = config
        self._width = max_items + 1
        self._seed = seed
        self._multiple_of = multiple_of
        self._own_rows = own_rows
        self._one_target = one_target
        self._time_buckets = time_buckets
        self._user_buckets = user_buckets
        # Each window has a user at least, and users without events are in none.
        self._busy = histories.offsets[1:] > histories.offsets[:-1]
        windows = -(-histories.num_events // WINDOW_EVENTS)
        self.windows = min(windows, int(np.count_nonzero(self._busy)))

    def __iter__(self) -> "TrainingIterator":
        return TrainingIterator(self)

    def order(self, epoch: int) -> np.ndarray:
        """Return the users in the order in which the windows of an epoch take them: int32 [U].

        A single window takes them as they come, for it shuffles all chunks itself.
        """
        users = np.arange(len(self._histories), dtype=np.int32)
        if self.windows > 1:
            users = users[self._busy]
            # Seeded by four numbers, where a window's own draws are seeded by three.
            np.random.default_rng((self._seed, epoch, 0, 1)).shuffle(users)
        return users

    def window(self, epoch: int, number: int, order: np.ndarray) -> list[Rows]:
        """Return the batches of a window in order, not laid out yet; ``order`` is the epoch's."""
        first, last = (len(order) * n // self.windows for n in (number, number + 1))
        users = order[first:last].astype(np.int64)
        rng = np.random.default_rng((self._seed, epoch, number))
        packing, events = self._config.packing, None
        begin = self._histories.offsets[users]
        lengths = self._histories.offsets[users + 1] - begin
        if is_augmented(self._config):
            # Seeded by four numbers as an order is, and by another last one.
            draws = np.random.default_rng((self._seed, epoch, number, 2))
            events, offsets = augmented(self._histories, users, self._config, draws)
            begin, lengths = offsets[:-1], np.diff(offsets)
        if self._one_target:
            chunks = prefixes(begin, lengths, users, self._width)
            packing = "bucket" if packing == "pack" else packing
        else:
            chunks = cut(begin, lengths, users, self._width, rng)
        batches = []
        for width, group, row_of in arrange(chunks, self._width, packing, rng):
            # A fixed number of positions in a batch, whatever the width of its rows.
            size = max(1, self._config.batch_size * self._width // width)
            filled = -(-size // self._multiple_of) * self._multiple_of
            # Rows are spread evenly, so that no batch of the window is nearly empty.
            rows = int(row_of[-1]) + 1
            edges = np.linspace(0, rows, -(-rows // size) + 1).astype(np.int64)
            cuts = np.searchsorted(row_of, edges)
            for first, low, high in zip(edges[:-1], cuts[:-1], cuts[1:], strict=True):
                own = row_of[low:high] - first
                batches.append(Rows((filled, width), own, group[low:high], events))
        return [batches[i] for i in rng.permutation(len(batches))]

    def lay_out(self, rows: Rows) -> Batch:
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
        events = events if rows.events is None else rows.events[events]
        columns = {
            "items": self._histories.items[events],
            "segments": np.repeat(segment, lengths),
            "positions": step,
        }
        owners = np.repeat(rows.chunks[:, 2], lengths)
        if self._time_buckets:
            columns["gaps"] = gaps_of(self._histories, events, owners, self._time_buckets)
        if self._user_buckets:
            columns["users"] = users_of(self._histories, owners, self._user_buckets)
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
        self._position = (0, 0, 0)
        self._order: tuple[int, np.ndarray] | None = None
        self._planned: tuple[tuple[int, int], list[Rows]] | None = None

    def __next__(self) -> Batch:
        epoch, window, number = self._position
        batches = self._plan(epoch, window)
        if number + 1 < len(batches):
            self._position = (epoch, window, number + 1)
        elif window + 1 < self._dataset.windows:
            self._position = (epoch, window + 1, 0)
        else:
            self._position = (epoch + 1, 0, 0)
        return self._dataset.lay_out(batches[number])

    def get_state(self) -> dict[str, Any]:
        """Return ``{"epoch", "window", "batch"}`` of the batch that comes next."""
        return dict(zip(("epoch", "window", "batch"), self._position, strict=True))

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to a state that :meth:`get_state` returned."""
        self._position = (int(state["epoch"]), int(state.get("window", 0)), int(state["batch"]))

    def _plan(self, epoch: int, window: int) -> list[Rows]:
        """Return the batches of a window; those of the last one that was asked for are kept."""
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, self._dataset.order(epoch))
        if self._planned is None or self._planned[0] != (epoch, window):
            self._planned = None  # two windows are never held
            batches = self._dataset.window(epoch, window, self._order[1])
            self._planned = ((epoch, window), batches)
        return self._planned[1]


def padding_waste(batches: Iterator[Batch], count: int) -> float:
    """Return the share of positions without a target in the next ``count`` batches."""
    filled = [float((next(batches)["segments"] > 0).mean()) for _ in range(count)]
    return 1.0 - float(np.mean(filled))
