"""What is measured: named lists of points."""

from dataclasses import replace
from typing import Literal

from benchmarks.workload import Point

Preset = Literal["smoke", "bars", "paper", "full"]

WITH_MODEL = ("unconstrained", "genret", "static-style", "ppv-incremental", "cpu-trie")
"""Methods that are timed as part of a transformer's search."""

OF_PAPER = (
    "unconstrained", "genret", "static-style", "hash-bitmap", "ppv-top50", "ppv-exact", "cpu-trie",
)  # fmt: skip
"""The paper's methods, and ours."""

LIVE = ("unconstrained", "genret", "static-style", "ppv-incremental", "dense-bitmask")
"""Methods that are timed while the catalog changes, or under filters."""

PROCESSES: dict[Preset, int] = {"smoke": 0, "bars": 3, "paper": 1, "full": 1}
"""Fresh processes for each point: bars are for comparing runs, the largest points build for minutes."""


def points_of(preset: Preset) -> list[Point]:
    """Return the points of a preset."""
    points = {"smoke": _smoke, "bars": _bars, "paper": _paper, "full": _full}[preset]()
    most = PROCESSES[preset]
    # Beside a model's time what differs by process is nothing.
    return [replace(point, processes=min(most, 1) if point.model else most) for point in points]


def _smoke() -> list[Point]:
    """Every method and a model, small enough for a test."""
    small = Point(items=2000, codes=64, depth=3, beams=8, repeats=3)
    few = replace(small, methods=("unconstrained", "genret", "static-style"))
    return [
        small,
        replace(few, kind="zipf"),
        replace(few, filters=2),
        replace(few, inserted=0.01),
        replace(small, model="0.3M", methods=("unconstrained", "genret")),
    ]


def _bars() -> list[Point]:
    """The axes in a quarter of an hour: |C|, V, skew, filters, updates, and two models."""
    base = Point(items=10**5, depth=4)
    inside = replace(base, methods=WITH_MODEL, repeats=15, seconds=30)
    return [
        replace(base, codes=256),
        base,
        replace(base, items=10**6, codes=256),
        replace(base, items=10**6),
        replace(base, items=10**6, kind="zipf"),
        replace(base, codes=256, kind="tokenized"),
        replace(base, methods=LIVE, filters=2),
        *(replace(base, methods=LIVE, inserted=share) for share in (0.001, 0.01)),
        *(replace(inside, model=size) for size in ("0.3M", "30M")),
    ]


def _paper() -> list[Point]:
    """Tables 1 and 4 of the STATIC paper as far as a host's memory goes."""
    base = Point(items=10**7, methods=OF_PAPER, repeats=25, seconds=30)
    return [
        *(replace(base, items=items) for items in (10**5, 10**6, 10**7)),
        *(replace(base, codes=v) for v in (256, 512, 1024, 4096, 8192, 16_384, 32_768)),
        replace(base, model="30M"),  # Table 1: as a share of it
    ]


def _full() -> list[Point]:
    """All axes, the largest model among them."""
    grid = [
        Point(items=items, codes=codes, batch=batch, beams=beams, kind=kind)
        for items in (10**5, 10**6, 10**7)
        for codes in (256, 2048, 8192)
        for batch, beams in ((2, 70), (16, 70), (4, 256))
        for kind in ("uniform", "zipf")
    ]
    inside = Point(items=10**6, methods=WITH_MODEL, repeats=5, seconds=120)
    live = Point(items=10**6, methods=LIVE)
    return [
        *grid,
        *(
            Point(items=items, codes=256, depth=4, kind=kind)
            for kind, items in (("office", 2420), ("beauty", 12_101), ("tokenized", 10**6))
        ),
        *(replace(live, batch=32, filters=sets) for sets in (1, 32)),
        *(replace(live, inserted=share) for share in (0.0001, 0.001, 0.01, 0.1)),
        *(replace(inside, model=size) for size in ("0.3M", "30M", "300M")),
    ]
