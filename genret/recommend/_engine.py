"""The engine: histories of any length and number through few compiled programs."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from genret.histories import Histories
from genret.recommend._decode import Decoder, Placement, Users
from genret.recommend._layout import Asked, Program, Search, blank, exclusion_widths
from genret.recommend._memory import free_bytes, is_out_of_memory, program_bytes
from genret.typing import Float, Int

_GROUPS = 16
"""Groups of a batch, where the memory allows."""

Compiling = Callable[[Program], contextlib.AbstractContextManager[Any]]
"""Returns a context in which a program of some widths is compiled, such as a lock."""


class Answers(NamedTuple):
    """Ranked lists.

    Attributes:
      items: item positions, best first, int32 [U, k]; -1 where fewer than k items are legal.
      scores: log-probabilities, float32 [U, k]; -inf in padded places.
    """

    items: Int[np.ndarray, "U k"]
    scores: Float[np.ndarray, "U k"]


class _Batch(NamedTuple):
    rows: Int[np.ndarray, "R"]  # of those who are asked for
    program: Program


class _Running(NamedTuple):
    batch: _Batch
    slots: Int[np.ndarray, "R"]
    answers: Any


class Engine:
    """Searches for users in batches, by one way of searching.

    A history is padded to one of the search's widths and decoded in groups of one size, so what a
    user is answered does not depend on who else is asked for, nor on the size of a batch, nor on
    the number of devices, but for the last bits of scores between one device and several.

    Args:
      decoder: the models, the indices and the filters, on the devices.
      placement: those devices.
      search: how to search.
      users_per_batch: users that go to the devices at once; 0 chooses by the memory.
      compiling: returns a context in which a program is compiled; None: none is needed.
    """

    def __init__(
        self,
        decoder: Decoder,
        placement: Placement,
        search: Search,
        *,
        users_per_batch: int = 0,
        compiling: Compiling | None = None,
    ) -> None:
        self.search = search
        self.group_size = search.group_size
        self.programs: dict[Program, float] = {}
        """Seconds that each program took to compile."""
        self.positions = self.padding = 0
        """Positions of histories that were computed, and how many of them were padding."""
        self._decoder = decoder
        self._leaves = jax.tree.leaves(decoder)
        self._placement = placement
        self._compiled: dict[Program, jax.stages.Compiled] = {}
        self._compiling = compiling or (lambda _: contextlib.nullcontext())
        self._per_copy = 0
        if users_per_batch:
            least = max(1, users_per_batch // placement.copies)
            self._per_copy = -(-least // self.group_size) * self.group_size

    @property
    def users_per_batch(self) -> int:
        """Users that go to the devices at once; 0 until the memory was looked at."""
        return self._per_copy * self._placement.copies

    @property
    def _slots_per_copy(self) -> int:
        """Rows of a batch on one copy of the model: room for two groups at least.

        With one group its rows are the whole batch: XLA drops the slice of the loop, fuses what is
        left in another way, and the last bits are no longer those of larger batches.
        """
        return max(self._per_copy, 2 * self.group_size)

    def compile_for(self, longest: int) -> None:
        """Compile all programs of users who have seen at most ``longest`` different items.

        Answers to such users then compile nothing.
        """
        asked = Asked.of(Histories.from_lists([]), self.search, self._filter_numbers(0, None))
        wide = [0]
        if self.search.exclude_seen:
            wide = exclusion_widths(self.search.widths[-1], longest).tolist()
        for program in itertools.product(self.search.widths, wide):
            if not self._per_copy:
                self._probe(program, asked)
            size = self._slots_per_copy * self._placement.copies
            self._program(program, blank(size, program, asked))

    def answer(
        self,
        histories: Histories,
        filter_of: Int[np.ndarray, "U"] | None = None,
        *,
        progress: Callable[[int], object] | None = None,
    ) -> Answers:
        """Answer users.

        Args:
          histories: their histories, item positions.
          filter_of: the number of each user's filter; -1: the last one, which allows every item;
            None: filter 0, where there are filters.
          progress: called with the number of users after each batch.

        Returns:
          The lists, in the order of the users.
        """
        asked = Asked.of(histories, self.search, self._filter_numbers(len(histories), filter_of))
        found = Answers(
            np.full((len(histories), self.search.k), -1, np.int32),
            np.full((len(histories), self.search.k), -np.inf, np.float32),
        )
        running: list[_Running] = []

        def collect(one: _Running) -> None:
            answers = jax.device_get(one.answers)
            for whole, part in zip(found, answers, strict=True):
                whole[one.batch.rows] = part[one.slots]
            if progress is not None:
                progress(len(one.batch.rows))

        # One batch is computed while the next is laid out and the one before is stored.
        todo = list(self._batches(asked))[::-1]
        while todo or running:
            try:
                if todo:
                    batch = todo.pop()
                    if len(batch.rows) > self.users_per_batch:
                        todo += self._halves(batch)
                        continue
                    running.append(_Running(batch, *self._launch(batch, asked)))
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

    def _filter_numbers(
        self, users: int, filter_of: Int[np.ndarray, "U"] | None
    ) -> Int[np.ndarray, "U"] | None:
        filters = self._decoder.filters
        if filters is None:
            return None
        if filter_of is None:
            return np.zeros(users, np.int32)
        return np.where(filter_of < 0, filters.capacity - 1, filter_of).astype(np.int32)

    def _batches(self, asked: Asked) -> Iterator[_Batch]:
        """Yield the users, grouped by the program that they need."""
        for program in sorted(set(map(tuple, asked.programs.tolist()))):
            rows = np.flatnonzero((asked.programs == program).all(axis=1))
            if not self._per_copy:
                self._probe(program, asked)
            most = self.users_per_batch
            for start in range(0, len(rows), most):
                yield _Batch(rows[start : start + most], program)

    def _halves(self, batch: _Batch) -> list[_Batch]:
        most = self.users_per_batch
        return [
            _Batch(batch.rows[start : start + most], batch.program)
            for start in range(0, len(batch.rows), most)
        ][::-1]

    def _launch(self, batch: _Batch, asked: Asked) -> tuple[Int[np.ndarray, "R"], Any]:
        """Start decoding a batch; return the slot of each row, and the answers to come."""
        copies, step = self._placement.copies, self.group_size
        total = -(-len(batch.rows) // step)
        groups = np.array([total // copies + (c < total % copies) for c in range(copies)], np.int32)
        begins = np.arange(copies) * self._slots_per_copy
        slots = np.concatenate(
            [begin + np.arange(n * step) for begin, n in zip(begins, groups, strict=True)]
        )[: len(batch.rows)]
        if self._placement.share_models:
            # Devices that share a model wait for each other: all copies run as many groups.
            groups[:] = groups.max()
        users = asked.lay_out(batch.rows, batch.program, slots, self._slots_per_copy * copies)
        compiled = self._program(batch.program, users)
        answers = compiled(self._leaves, *self._placement.split((users, groups)))
        positions = int(groups.sum()) * step * int(batch.program[0])
        self.positions += positions
        self.padding += positions - int(users.lengths.sum())
        return slots, answers

    def _program(self, program: Program, users: Users) -> jax.stages.Compiled:
        if program not in self._compiled:
            start = time.perf_counter()
            with self._compiling(program):
                self._compiled[program] = self._placement.compile(
                    self._decoder, users,
                    k=self.search.k, beams=self.search.beams, group_size=self.group_size,
                )  # fmt: skip
            self.programs[program] = time.perf_counter() - start
        return self._compiled[program]

    def _probe(self, program: Program, asked: Asked) -> None:
        """Choose the largest batch whose program fits the memory of a device."""
        free = free_bytes(self._placement.mesh.devices.flat[0])
        while True:
            self._per_copy = self.group_size * _GROUPS
            batch = self._slots_per_copy * self._placement.copies
            compiled = self._program(program, blank(batch, program, asked))
            fixed, each = program_bytes(compiled, self._slots_per_copy)
            while self._per_copy > self.group_size and fixed + each * self._slots_per_copy > free:
                self._per_copy //= 2
            fits = fixed + each * self._slots_per_copy <= free or self.group_size == 1
            if self._per_copy < self.group_size * _GROUPS or not fits:
                self._compiled.clear()
            if fits:
                return
            self.group_size //= 2

    def _halve(self) -> bool:
        """Make batches smaller; say whether that was possible."""
        if self._per_copy > self.group_size:
            self._per_copy = self._per_copy // self.group_size // 2 * self.group_size
        elif self.group_size > 1:
            self.group_size //= 2
            self._per_copy = self.group_size
        else:
            return False
        self._compiled.clear()
        return True
