"""Scorer: a run folder becomes a compiled decode for histories of any length, loaded once."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genret.artifacts import Run, read_manifest, verify_files
from genret.config import EngineConfig, ScoreConfig, require
from genret.data import Catalog
from genret.decoding import GenerativeModel
from genret.histories import Histories
from genret.index import FilterStack, ItemFilter, TrieIndex
from genret.models import load_model
from genret.scoring._filters import filter_where
from genret.scoring._memory import free_bytes, is_out_of_memory, program_bytes
from genret.scoring._program import Decoder, Placement, Users, normalization_of
from genret.tokenizers import load_codes
from genret.typing import Float, Int, PathLike

WIDTHS = 7
"""Programs for histories of different lengths; users who saw very much have one more."""
_NARROWEST = 4
_SEEN = 64
MOST_SEEN = 1 << 14
"""Distinct items of a history that can be excluded."""
_GROUPS = 16
"""Groups of a batch, where the memory allows."""

Compiling = Callable[[tuple[int, int]], contextlib.AbstractContextManager[Any]]
"""Gives what is held while a program of these widths is compiled."""


class Answers(NamedTuple):
    """Ranked lists.

    Attributes:
      items: item rows, best first, int32 [U, k]; -1 where fewer than k items are legal.
      scores: log-probabilities, float32 [U, k]; -inf in padded places.
    """

    items: Int[np.ndarray, "U k"]
    scores: Float[np.ndarray, "U k"]


class _Batch(NamedTuple):
    rows: Int[np.ndarray, "R"]  # of the chunk
    program: tuple[int, int]  # widths of the history and of the excluded items


class _Running(NamedTuple):
    batch: _Batch
    slots: Int[np.ndarray, "R"]
    answers: Any


class Scorer:
    """Answers histories in few compiled shapes.

    A history is padded to one of at most 8 widths, which depend on the model alone, and decoded in
    groups of ``config.decode_batch`` users: so what a user is answered does not depend on who else is
    scored, nor on ``users_per_batch``, nor on the number of devices.

    Args:
      model: a trained model.
      codes: int [N, L], semantic ID of each item.
      index: the trie made from ``codes``.
      config: what is computed. Its filters are read from ``filters``.
      engine: the devices and the size of a batch.
      max_items: longest history that the model sees.
      filters: allowed items by the filter's name, in order.
      compiling: gives what is held while a program is compiled; None: nothing.

    Raises:
      GenretError: codes of another number of items than the index has, or devices that
        ``model_parallel`` does not divide.

    >>> from genret.models import build_model
    >>> from genret.config import ModelConfig
    >>> shape = ModelConfig(codes_per_level=(4, 4), width=16, heads=2, kv_heads=2, head_dim=8)
    >>> codes = [[0, 1], [2, 3], [0, 2]]
    >>> scorer = Scorer(build_model(shape, 0), codes, TrieIndex.from_codes(codes),
    ...     ScoreConfig(k=2, beams=4, exclude_seen=True, decode_batch=2), EngineConfig(), max_items=8)
    >>> answers = scorer.score(Histories.from_lists([[0, 2], []]))
    >>> answers.items[0].tolist(), len(scorer.programs)
    ([1, -1], 1)
    """

    def __init__(
        self,
        model: GenerativeModel,
        codes: Any,
        index: TrieIndex,
        config: ScoreConfig,
        engine: EngineConfig,
        *,
        max_items: int,
        filters: Mapping[str, ItemFilter] | None = None,
        compiling: Compiling | None = None,
    ) -> None:
        codes = np.asarray(codes, np.int32)
        require(
            len(codes) == index.num_items,
            f"codes: found {len(codes)} items, expected {index.num_items} as in the index",
        )
        devices = jax.local_devices() if engine.all_devices else jax.local_devices()[:1]
        if not engine.all_devices and config.model_parallel > 1:
            devices = jax.local_devices()[: config.model_parallel]
        require(
            len(devices) % config.model_parallel == 0,
            f"model_parallel: found {config.model_parallel}, expected a divisor of the "
            f"{len(devices)} devices",
        )
        self.config = config
        self._normalize = normalization_of(model)
        self.num_items = index.num_items
        self.widths = widths_of(max_items)
        self.filter_names = tuple(filters or ())
        self.programs: dict[tuple[int, int], float] = {}
        """Widths of the history and of the excluded items -> seconds to compile, of each program."""
        self.positions = self.padding = 0
        """Positions of histories that were computed, and how many of them were padding."""
        stack = None
        if filters:
            # The last one allows every item: for users without a filter.
            everything = ItemFilter.from_mask(index, np.ones(index.num_items, bool))
            stack = FilterStack.of(index, [*filters.values(), everything])
        self._placement = Placement.over(devices, config.model_parallel)
        self._decoder = self._placement.put(
            Decoder(model=model, index=index, codes=jnp.asarray(codes), filters=stack)
        )
        self._compiled: dict[tuple[int, int], jax.stages.Compiled] = {}
        self._compiling = compiling or (lambda _: contextlib.nullcontext())
        self.decode_batch = config.decode_batch or (32 if devices[0].platform == "cpu" else 512)
        self._per_copy = 0
        least = max(1, engine.users_per_batch // self._placement.copies)
        if engine.users_per_batch:
            self._per_copy = -(-least // self.decode_batch) * self.decode_batch

    @classmethod
    def load(
        cls,
        run: PathLike,
        config: ScoreConfig,
        engine: EngineConfig,
        compiling: Compiling | None = None,
    ) -> "Scorer":
        """Load a run.

        Args:
          run: the run folder, with ``catalog/``, ``codes/``, ``index/`` and ``model/``.
          config: what is computed.
          engine: the devices and the size of a batch.
          compiling: gives what is held while a program is compiled; None: nothing.

        Returns:
          The scorer; its ``catalog`` holds the items.

        Raises:
          GenretError: an artifact is missing, stale or damaged, or a filter that cannot be used.
        """
        folder = Run.open(run)
        for kind in ("catalog", "codes", "index", "model"):
            folder.require(kind)
        place = folder.folder("catalog")
        verify_files(place, read_manifest(place, "catalog"))
        catalog = Catalog.load(place)
        codes = load_codes(folder.folder("codes")).codes
        model = load_model(folder.folder("model"), dtype=config.dtype)
        index = TrieIndex.load(folder.folder("index"))
        filters = {
            name: filter_where(condition, catalog, index)
            for name, condition in config.named_filters()
        }
        scorer = cls(
            model, codes, index, config, engine,
            max_items=model.config.max_items, filters=filters, compiling=compiling,
        )  # fmt: skip
        scorer.catalog = catalog
        return scorer

    catalog: Catalog

    @property
    def users_per_batch(self) -> int:
        """Users that go to the devices at once."""
        return self._per_copy * self._placement.copies

    @property
    def _slots_per_copy(self) -> int:
        """Rows of a batch on one copy of the model: room for two groups at least.

        With one group its rows are the whole batch: XLA drops the slice of the loop, fuses what is
        left in another way, and the last bits are no longer those of larger batches.
        """
        return max(self._per_copy, 2 * self.decode_batch)

    @property
    def most_seen(self) -> int | None:
        """Most distinct items that a history may have; None: any number."""
        return MOST_SEEN if self.config.exclude_seen else None

    def score(
        self,
        histories: Histories,
        filter_of: Int[np.ndarray, "U"] | None = None,
        *,
        progress: Callable[[int], object] | None = None,
    ) -> Answers:
        """Answer users.

        Args:
          histories: the histories.
          filter_of: the number of each user's filter, -1: every item is allowed; None: filter 0,
            where there is one.
          progress: called with the number of users after each batch.

        Returns:
          The lists, in the order of the users.

        Raises:
          GenretError: a user with more distinct items than can be excluded.
        """
        chunk = _Chunk.of(self, histories, filter_of)
        users = len(histories)
        found = Answers(
            np.full((users, self.config.k), -1, np.int32),
            np.full((users, self.config.k), -np.inf, np.float32),
        )
        running: list[_Running] = []

        def collect(one: _Running) -> None:
            answers = jax.device_get(one.answers)
            for whole, part in zip(found, answers, strict=True):
                whole[one.batch.rows] = part[one.slots]
            if progress is not None:
                progress(len(one.batch.rows))

        # One batch is computed while the next is laid out and the one before is stored.
        todo = list(self._batches(chunk))[::-1]
        while todo or running:
            try:
                if todo:
                    batch = todo.pop()
                    if len(batch.rows) > self._fitting(batch.program):
                        todo += self._halves(batch)
                        continue
                    running.append(_Running(batch, *self._launch(batch, chunk)))
                if running and (len(running) > 1 or not todo):
                    collect(running[0])
                    running.pop(0)
            except jax.errors.JaxRuntimeError as e:
                if not is_out_of_memory(e) or not self._halve():
                    raise
                todo += [one.batch for one in running]
                if not running or running[-1].batch is not batch:
                    todo.append(batch)
                running.clear()
        return found

    def _batches(self, chunk: "_Chunk") -> Iterator[_Batch]:
        """Yield the users of a chunk, grouped by the program that they need."""
        for program in sorted(set(map(tuple, chunk.programs.tolist()))):
            rows = np.flatnonzero((chunk.programs == program).all(axis=1))
            most = self._fitting(program)
            for start in range(0, len(rows), most):
                yield _Batch(rows[start : start + most], program)

    def _fitting(self, program: tuple[int, int]) -> int:
        """Return how many users a batch holds, after looking at the memory once."""
        if not self._per_copy:
            self._probe(program)
        return self.users_per_batch

    def _halves(self, batch: _Batch) -> list[_Batch]:
        most = self.users_per_batch
        return [
            _Batch(batch.rows[start : start + most], batch.program)
            for start in range(0, len(batch.rows), most)
        ][::-1]

    def _launch(self, batch: _Batch, chunk: "_Chunk") -> tuple[Int[np.ndarray, "R"], Any]:
        """Start decoding a batch; return the slot of each row, and the answers to come."""
        copies, step = self._placement.copies, self.decode_batch
        width = batch.program[0]
        total = -(-len(batch.rows) // step)
        groups = np.array([total // copies + (c < total % copies) for c in range(copies)], np.int32)
        begins = np.arange(copies) * self._slots_per_copy
        slots = np.concatenate(
            [begin + np.arange(n * step) for begin, n in zip(begins, groups, strict=True)]
        )[: len(batch.rows)]
        if self.config.model_parallel > 1:
            # Devices that share a model wait for each other: all copies run as many groups.
            groups[:] = groups.max()
        users = chunk.lay_out(batch, slots, self._slots_per_copy * copies)
        compiled = self._program(batch.program, users)
        placed = self._placement.split(users)
        answers = compiled(self._decoder, placed, self._placement.split(groups))
        positions = int(groups.sum()) * step * int(width)
        self.positions += positions
        self.padding += positions - int(users.lengths.sum())
        return slots, answers

    def _program(self, program: tuple[int, int], users: Users) -> jax.stages.Compiled:
        if program not in self._compiled:
            start = time.perf_counter()
            with self._compiling(program):
                self._compiled[program] = self._placement.compile(
                    self._decoder, users,
                    k=self.config.k, beams=self.config.beams, decode_batch=self.decode_batch,
                    normalize=self._normalize,
                )  # fmt: skip
            self.programs[program] = time.perf_counter() - start
        return self._compiled[program]

    def _probe(self, program: tuple[int, int]) -> None:
        """Choose the largest batch whose program fits the memory of a device."""
        free = free_bytes(self._placement.mesh.devices.flat[0])
        while True:
            self._per_copy = self.decode_batch * _GROUPS
            compiled = self._program(program, self._example(program))
            fixed, each = program_bytes(compiled, self._slots_per_copy)
            while self._per_copy > self.decode_batch and fixed + each * self._slots_per_copy > free:
                self._per_copy //= 2
            fits = fixed + each * self._slots_per_copy <= free or self.decode_batch == 1
            if self._per_copy < self.decode_batch * _GROUPS or not fits:
                self._forget()
            if fits:
                return
            self.decode_batch //= 2

    def _example(self, program: tuple[int, int]) -> Users:
        width, seen = program
        batch = self._slots_per_copy * self._placement.copies
        return Users(
            items=np.zeros((batch, width), np.int32),
            lengths=np.zeros(batch, np.int32),
            filter_of=np.zeros(batch, np.int32) if self.filter_names else None,
            exclude=np.zeros((batch, seen), np.int32) if seen else None,
        )

    def _halve(self) -> bool:
        """Make batches smaller; say whether that was possible."""
        if self._per_copy > self.decode_batch:
            groups = self._per_copy // self.decode_batch
            self._per_copy = groups // 2 * self.decode_batch
        elif self.decode_batch > 1:
            self.decode_batch //= 2
            self._per_copy = self.decode_batch
        else:
            return False
        self._forget()
        return True

    def _forget(self) -> None:
        self._compiled.clear()


@dataclasses.dataclass(frozen=True)
class _Chunk:
    """Users, and the program that each of them needs, [U, 2]."""

    histories: Histories
    seen: Histories | None
    filter_of: Any
    programs: Any

    @classmethod
    def of(cls, scorer: Scorer, histories: Histories, filter_of: Any) -> "_Chunk":
        lengths = np.minimum(histories.lengths, scorer.widths[-1])
        widths = np.asarray(scorer.widths)
        width = widths[np.searchsorted(widths, lengths)]
        seen, wide = None, np.zeros_like(width)
        if scorer.config.exclude_seen:
            seen = histories.distinct()
            each = seen.lengths
            most = int(each.max(initial=0))
            require(
                most <= MOST_SEEN, f"items: a user has {most} distinct ones, at most {MOST_SEEN}"
            )
            usual = max(_SEEN, 1 << (scorer.widths[-1] - 1).bit_length())
            wide = np.where(each > usual, MOST_SEEN, usual)
            # Whoever saw so much has a history of full length.
        if not scorer.filter_names:
            filter_of = None
        else:
            number = np.zeros(len(lengths), np.int32) if filter_of is None else filter_of
            filter_of = np.where(number < 0, len(scorer.filter_names), number).astype(np.int32)
        return cls(histories, seen, filter_of, np.stack([width, wide], axis=1))

    def lay_out(self, batch: _Batch, slots: Int[np.ndarray, "R"], size: int) -> Users:
        """Return the users of a batch, each at its slot."""
        rows, (width, wide) = batch.rows, batch.program
        own = self.histories.take(rows)
        lengths = np.zeros(size, np.int32)
        lengths[slots] = np.minimum(own.lengths, width)
        newest = np.zeros((size, width), np.int32)
        newest[slots] = own.padded(int(width), 0)
        exclude = filter_of = None
        if self.seen is not None:
            exclude = np.full((size, wide), -1, np.int32)
            exclude[slots] = self.seen.take(rows).padded(int(wide))
        if self.filter_of is not None:
            filter_of = np.zeros(size, np.int32)
            filter_of[slots] = self.filter_of[rows]
        return Users(items=newest, lengths=lengths, filter_of=filter_of, exclude=exclude)


def widths_of(max_items: int) -> Sequence[int]:
    """Return the widths that histories are padded to: few, and never far from a length.

    >>> widths_of(20), widths_of(3)
    ((4, 6, 7, 9, 12, 16, 20), (3,))
    """
    if max_items <= _NARROWEST:
        return (max_items,)
    ratio = (max_items / _NARROWEST) ** (1 / (WIDTHS - 1))
    widths = {int(np.ceil(_NARROWEST * ratio**i - 1e-9)) for i in range(WIDTHS)}
    return tuple(sorted(widths | {max_items}))
