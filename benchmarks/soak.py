"""Random work for as long as one likes, each answer compared with a slow, obvious one.

    python -m benchmarks.soak --minutes 30 --json FILE

A round is a catalog of its own: its index is searched under random filters and exclusions, changed
(items inserted and removed) and searched again, saved, damaged and loaded, and written by a process
that is killed. The document counts what was done and what was wrong; the exit status is 1 where
anything was. A failure names the seed of its round, and ``--seed`` begins there.
"""

import collections
import dataclasses
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmarks.bars import over
from benchmarks.process import Figures
from benchmarks.program import Program, make_main
from benchmarks.record import Points
from genret import TrieIndex
from genret.errors import GenretError
from genret.index import LiveIndex
from genret.testing import Family, random_codes

FAMILIES = [
    Family(codes, 48, 6, restricted=True) for codes in ((5, 4, 6), (16, 3), (3,) * 4, (40, 7, 2))
]
"""Few shapes of catalogs, so that programs are compiled once and used often."""
NEW_ITEMS, DAMAGES, KILLS = 12, 12, 2
"""Items of an insert, damaged copies, and killed writers, of a round."""

WRITER = """
import sys, numpy as np
from genret import TrieIndex
codes = np.load(sys.argv[1])
print("ready", flush=True)
while True:
    TrieIndex.from_codes(codes).save(sys.argv[2])
"""
Counts = collections.Counter[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Soak(Program):
    """Search, change, damage and kill at random, and compare with brute force."""

    name: ClassVar[str] = "benchmarks.soak"
    title: ClassVar[str] = "Soak"
    bars: ClassVar = [over("failures", "", "num_failures", sum, 0, at_most=True)]

    minutes: float = 30.0  # How long.
    seed: int = 0  # Seed of the first round; the next rounds have the next ones.

    def points(self) -> Points:
        """Do rounds until the time is over."""
        minutes = 0.0 if self.smoke else self.minutes
        return {f"from seed {self.seed}": partial(soak, minutes, self.seed)}


def soak(minutes: float, seed: int) -> Figures:
    """Do at least one round; return what was done (``counts``) and what was wrong (``failures``)."""
    counts: Counts = collections.Counter()
    failures: list[str] = []
    end = time.monotonic() + 60 * minutes
    while not counts["rounds"] or time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            try:
                _round(seed, Path(folder), counts)
            except Exception as e:  # whatever goes wrong is a finding; the soak goes on
                said = " ".join(str(e).split())[:500]
                failures.append(f"seed {seed}: {type(e).__name__}: {said}")
        counts["rounds"] += 1
        seed += 1
    figures = {"minutes": minutes, "counts": dict(counts), "failures": failures}
    return figures | {"num_failures": len(failures)}


def _round(seed: int, folder: Path, counts: Counts) -> None:
    rng = np.random.default_rng(seed)
    family = FAMILIES[seed % len(FAMILIES)]
    kind = ("uniform", "zipf", "duplicates")[seed // 4 % 3]
    codes = random_codes(family.items, family.codes_per_level, kind, seed=seed)
    index = TrieIndex.from_codes(codes, codes_per_level=family.codes_per_level)
    _search(rng, family, index, codes, np.ones(len(codes), bool))
    counts["searches"] += 1
    live, every = LiveIndex(index, insert_capacity=2 * NEW_ITEMS), codes
    there = np.ones(len(codes), bool)
    for _ in range(2):
        new = random_codes(NEW_ITEMS, family.codes_per_level, seed=int(rng.integers(2**31)))
        gone = np.flatnonzero(there & (rng.random(len(there)) < 0.2))
        live = live.remove(gone).insert(new)
        there[gone] = False
        every, there = np.concatenate([every, new]), np.append(there, np.ones(NEW_ITEMS, bool))
        _search(rng, family, live, every, there)
        counts.update(searches_after_updates=1, items_inserted=NEW_ITEMS, items_removed=len(gone))
    index.save(folder / "index")
    _damage(folder / "index", codes, random.Random(seed), counts)
    _kill(folder, codes, rng, counts)


def _search(rng: np.random.Generator, family: Family, *searched: object) -> None:
    _, _, wrong = family.search(rng, *searched)  # type: ignore[arg-type]
    if wrong:
        raise wrong


def _damage(folder: Path, codes: np.ndarray, draw: random.Random, counts: Counts) -> None:
    """Damage copies of an index: each is refused in one line, or holds the same."""
    for number in range(DAMAGES):
        copy = Path(shutil.copytree(folder, folder.parent / f"damaged-{number}"))
        file = draw.choice(sorted(p for p in copy.rglob("*") if p.is_file()))
        raw = bytearray(file.read_bytes())
        how = draw.choice(("flip", "cut", "gone", "longer"))
        if how == "flip":
            raw[draw.randrange(len(raw))] ^= draw.randrange(1, 256)
        elif how == "cut":
            raw = raw[: draw.randrange(len(raw))]
        elif how == "longer":
            raw += b"\0"
        file.unlink() if how == "gone" else file.write_bytes(raw)
        counts["damaged"] += 1
        try:
            loaded = TrieIndex.load(copy)
        except GenretError as e:
            counts["damaged_and_refused"] += 1
            if "\n" in str(e):
                raise AssertionError(f"{how} of {file}: more than one line: {e}") from e
        else:
            if not np.array_equal(loaded.codes_of(np.arange(len(codes))), codes):
                raise AssertionError(f"{how} of {file}: another index was loaded")
        shutil.rmtree(copy)


def _kill(folder: Path, codes: np.ndarray, rng: np.random.Generator, counts: Counts) -> None:
    """Kill a process that writes an index over and over; what is there then is whole."""
    np.save(folder / "codes.npy", codes)
    for _ in range(KILLS):
        out = folder / "written"
        command = [sys.executable, "-c", WRITER, str(folder / "codes.npy"), str(out)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 1.0))
            process.send_signal(signal.SIGKILL)
        counts["kills"] += 1
        TrieIndex.from_codes(codes).save(out)  # the next writer tidies up and succeeds
        if not np.array_equal(TrieIndex.load(out).codes_of(np.arange(len(codes))), codes):
            raise AssertionError("after a kill another index was loaded")
        left = [p.name for p in folder.iterdir() if p.name.startswith(".written")]
        if left:
            raise AssertionError(f"after a kill and another writer there is {left}")


main = make_main(Soak)

if __name__ == "__main__":
    sys.exit(main())
