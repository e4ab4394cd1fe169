"""Random work for as long as one likes, each answer compared with a slow, obvious one.

    python -m benchmarks.soak --minutes 30 --json FILE

A round is a catalog of its own: its index is searched under random filters and exclusions, changed
(items inserted and removed) and searched again, saved, damaged and loaded, and written by a process
that is killed. The document counts what was done and what was wrong; the exit status is 1 where
anything was. A failure names the seed of its round, and ``--seed`` begins there.
"""

import collections
import dataclasses
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import tyro

from genret import ItemFilter, TrieIndex, beam_search
from genret.errors import GenretError
from genret.index import LiveIndex
from genret.testing import TableModel, random_codes, slow_beam_search

SHAPES = ((5, 4, 6), (16, 3), (3, 3, 3, 3), (40, 7, 2))
"""Codes of the levels of a catalog: few, so that programs are compiled once and used often."""
ITEMS, NEW_ITEMS, USERS, BEAMS, EXCLUDED = 48, 12, 2, 6, 4
DAMAGES, KILLS = 12, 2
"""Damaged copies, and killed writers, of a round."""

WRITER = """
import sys, numpy as np
from genret import TrieIndex
codes = np.load(sys.argv[1])
print("ready", flush=True)
while True:
    TrieIndex.from_codes(codes).save(sys.argv[2])
"""


@dataclasses.dataclass(frozen=True)
class Soak:
    """Search, change, damage and kill at random, and compare with brute force."""

    minutes: float = 30.0
    """How long."""
    seed: int = 0
    """Seed of the first round; the next rounds have the next ones."""
    json: Path | None = None
    """Write the counts into this file too."""

    def run(self) -> dict[str, Any]:
        """Do rounds until the time is over; return the counts."""
        counts: collections.Counter[str] = collections.Counter()
        failures: list[str] = []
        end = time.monotonic() + 60 * self.minutes
        seed = self.seed
        while time.monotonic() < end:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    _round(seed, Path(folder), counts)
                except Exception as e:  # whatever goes wrong is a finding; the soak goes on
                    failures.append(
                        f"seed {seed}: {type(e).__name__}: {' '.join(str(e).split())[:500]}"
                    )
            counts["rounds"] += 1
            seed += 1
        document = {
            "minutes": self.minutes,
            "first_seed": self.seed,
            "counts": dict(sorted(counts.items())),
            "failures": failures,
        }
        text = json.dumps(document, indent=1)
        print(text)
        if self.json is not None:
            self.json.write_text(text + "\n", encoding="utf-8")
        return document


def _round(seed: int, folder: Path, counts: "collections.Counter[str]") -> None:
    rng = np.random.default_rng(seed)
    sizes = SHAPES[seed % len(SHAPES)]
    kind = ("uniform", "zipf", "duplicates")[int(rng.integers(3))]
    codes = random_codes(ITEMS, sizes, kind, seed=seed)
    model = TableModel.random(sizes, seed=seed)
    index = TrieIndex.from_codes(codes, codes_per_level=sizes)
    _search(model, index, codes, np.ones(ITEMS, bool), rng)
    counts["searches"] += 1
    live, every = LiveIndex(index, insert_capacity=2 * NEW_ITEMS), codes
    there = np.ones(ITEMS, bool)
    for _ in range(2):
        new = random_codes(NEW_ITEMS, sizes, "uniform", seed=int(rng.integers(2**31)))
        gone = np.flatnonzero(there & (rng.random(len(there)) < 0.2))
        live = live.remove(gone).insert(new)
        there[gone] = False
        every, there = np.concatenate([every, new]), np.append(there, np.ones(NEW_ITEMS, bool))
        _search(model, live, every, there, rng)
        counts["searches_after_updates"] += 1
        counts["items_inserted"] += NEW_ITEMS
        counts["items_removed"] += len(gone)
    index.save(folder / "index")
    _damage(folder / "index", codes, random.Random(seed), counts)
    _kill(folder, codes, rng, counts)


def _search(
    model: TableModel, index: Any, codes: np.ndarray, there: np.ndarray, rng: np.random.Generator
) -> None:
    """Search under random restrictions; raise where the answer is not that of brute force."""
    mask = rng.random(len(codes)) < rng.choice([0.0, 0.1, 0.5, 1.0])
    exclude = rng.integers(0, len(codes), (USERS, EXCLUDED))
    history = jnp.asarray(rng.integers(0, 1000, USERS))
    found = beam_search(
        model, history, index, beams=BEAMS,
        filters=[ItemFilter.from_mask(index, mask)], exclude=exclude,
    )  # fmt: skip
    items, scores, valid = (np.asarray(x) for x in (found.items, found.scores, found.valid))
    for user in range(USERS):
        allowed = mask & there
        allowed[exclude[user]] = False
        logits_of = partial(model.logits_after, history, user)
        wanted = np.flatnonzero(allowed).tolist()
        expected = slow_beam_search(logits_of, codes, BEAMS, wanted) if wanted else []
        ours = items[user][valid[user]]
        if (
            len(ours) != len(expected)
            or not allowed[ours].all()
            or len(set(ours.tolist())) < len(ours)
        ):
            raise AssertionError(f"user {user}: found {ours.tolist()}, expected {expected}")
        np.testing.assert_allclose(
            scores[user][valid[user]], [e.score for e in expected], atol=1e-4, rtol=1e-5
        )


def _damage(
    folder: Path, codes: np.ndarray, draw: random.Random, counts: "collections.Counter[str]"
) -> None:
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


def _kill(
    folder: Path, codes: np.ndarray, rng: np.random.Generator, counts: "collections.Counter[str]"
) -> None:
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


if __name__ == "__main__":
    sys.exit(1 if tyro.cli(Soak, description=__doc__).run()["failures"] else 0)
