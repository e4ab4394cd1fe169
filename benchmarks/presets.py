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
    small = {"items": 2000, "codes": 64, "depth": 3, "batch": 2, "beams": 8, "repeats": 3}
    few = ("unconstrained", "genret", "static-style")
    return [
        Point(**small),
        Point(**small, kind="zipf", by_level=True, methods=few),
        Point(**small, filters=2, methods=few),
        Point(**small, inserted=0.01, methods=few),
        Point(**small, model="0.3M", methods=("unconstrained", "genret")),
    ]


def _bars() -> list[Point]:
    """The axes in a quarter of an hour: |C|, V, skew, filters, updates, and two models."""
    base = {"depth": 4, "batch": 2, "beams": 70}
    grid = [
        Point(items=items, codes=codes, by_level=(items, codes) == (10**6, 2048), **base)
        for items, codes in ((10**5, 256), (10**5, 2048), (10**6, 256), (10**6, 2048))
    ]
    skewed = [
        Point(items=10**6, codes=2048, kind="zipf", **base),
        Point(items=10**5, codes=256, kind="tokenized", **base),
    ]
    changing = [
        Point(items=10**5, codes=2048, methods=LIVE, **base, **more)
        for more in ({"filters": 2}, {"inserted": 0.001}, {"inserted": 0.01})
    ]
    models = [
        Point(
            items=10**5, codes=2048, model=size, methods=WITH_MODEL, repeats=15, seconds=30, **base
        )
        for size in ("0.3M", "30M")
    ]
    return [*grid, *skewed, *changing, *models]


def _paper() -> list[Point]:
    """Tables 1 and 4 of the STATIC paper as far as a host's memory goes."""
    base = {"depth": 8, "batch": 2, "beams": 70, "methods": OF_PAPER, "repeats": 25, "seconds": 30}
    over_items = [Point(items=n, codes=2048, **base) for n in (10**5, 10**6, 10**7)]
    over_codes = [
        Point(items=10**7, codes=v, **base) for v in (256, 512, 1024, 4096, 8192, 16_384, 32_768)
    ]
    inside = Point(items=10**7, codes=2048, model="30M", **base)  # Table 1: as a share of it
    return [*over_items, *over_codes, inside]


def _full() -> list[Point]:
    """All axes, the largest model among them."""
    grid = [
        Point(items=items, codes=codes, depth=8, batch=batch, beams=beams, kind=kind)
        for items in (10**5, 10**6, 10**7)
        for codes in (256, 2048, 8192)
        for batch, beams in ((2, 70), (16, 70), (4, 256))
        for kind in ("uniform", "zipf")
    ]
    models = [
        Point(
            items=10**6, codes=2048, depth=8, batch=2, beams=70, model=size, methods=WITH_MODEL,
            repeats=5, seconds=120,
        )
        for size in ("0.3M", "30M", "300M")
    ]  # fmt: skip
    real = [
        Point(items=items, codes=256, depth=4, batch=2, beams=70, kind=kind)
        for kind, items in (("office", 2420), ("beauty", 12_101), ("tokenized", 10**6))
    ]
    base = {"items": 10**6, "codes": 2048, "depth": 8, "beams": 70, "methods": LIVE}
    filters = [Point(batch=32, filters=n, **base) for n in (1, 32)]
    updates = [Point(batch=2, inserted=share, **base) for share in (0.0001, 0.001, 0.01, 0.1)]
    return grid + real + filters + updates + models
