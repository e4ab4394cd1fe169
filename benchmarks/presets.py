"""What is measured: named lists of points."""

from dataclasses import replace
from typing import Literal

from benchmarks.workload import Point

Preset = Literal["smoke", "bars", "paper", "models"]

WITH_MODEL = ("unconstrained", "genret", "static-style", "ppv-incremental", "cpu-trie")
"""Methods that are timed as part of a transformer's search."""
OF_PAPER = (
    "unconstrained", "genret", "static-style", "hash-bitmap", "ppv-top50", "ppv-exact", "cpu-trie",
)  # fmt: skip
"""The paper's methods, and ours."""
LIVE = ("unconstrained", "genret", "static-style", "ppv-incremental", "dense-bitmask")
"""Methods that are timed while the catalog changes, or under filters."""

SMALL = Point(items=2000, codes=64, depth=3, beams=8, repeats=3)
FEW = replace(SMALL, methods=("unconstrained", "genret", "static-style"))
BASE = Point(items=10**5, depth=4, processes=3)
LIVE_BASE = replace(BASE, methods=LIVE)
# Beside a model's time what differs by process is nothing.
IN_MODEL = replace(BASE, methods=WITH_MODEL, repeats=15, seconds=30, processes=1)
PAPER = Point(items=10**7, methods=OF_PAPER, repeats=25, seconds=30, processes=1)

POINTS: dict[Preset, list[Point]] = {
    # Every method and a model, small enough for a test.
    "smoke": [
        SMALL,
        replace(FEW, kind="zipf"),
        replace(FEW, filters=2),
        replace(FEW, inserted=0.01),
        replace(FEW, model="0.3M"),
    ],
    # The axes in a quarter of an hour: |C|, V, skew, filters, updates, and two models.
    "bars": [
        replace(BASE, codes=256),
        BASE,
        replace(BASE, items=10**6, codes=256),
        replace(BASE, items=10**6),
        replace(BASE, items=10**6, kind="zipf"),
        replace(BASE, codes=256, kind="tokenized"),
        replace(LIVE_BASE, filters=2),
        *(replace(LIVE_BASE, inserted=share) for share in (0.001, 0.01)),
        *(replace(IN_MODEL, model=size) for size in ("0.3M", "30M")),
    ],
    # Tables 1 and 4 of the STATIC paper as far as a host's memory goes.
    "paper": [
        *(replace(PAPER, items=items) for items in (10**5, 10**6, 10**7)),
        *(replace(PAPER, codes=v) for v in (256, 512, 1024, 4096, 8192, 16_384, 32_768)),
        replace(PAPER, model="30M"),
    ],
    # What a constraint costs inside of models, the largest among them.
    "models": [
        replace(IN_MODEL, items=10**6, depth=8, repeats=5, seconds=120, model=size)
        for size in ("0.3M", "30M", "300M")
    ],
}
