"""Bars 3, 4 and 5: bytes of the index, time to build it, and 1e8 codes."""

import dataclasses
import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._common import ROOT, available_gib
from benchmarks._draws import draw_codes, real_codes, tokenized_codes
from benchmarks._oracle import Catalog
from benchmarks._record import Figures, Record, good, interleave
from benchmarks._static import Static
from genret import TrieIndex
from genret.errors import GenretError
from genret.typing import Codes

BUILD_GIB = 20.0
"""Memory that building an index of 1e8 codes may take, the codes included."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the index bars.

    Attributes:
      items: |C| of the uniform codes.
      codes: V.
      depth: L.
      builds: rounds of builds.
      tokenized: |C| of the codes that our tokenizer makes.
      big: |C| of the large index.
      small: |C| of the index that its steps are compared with.
      repeats: rounds of their steps.
      free_gib: free memory without which the large index is not tried.
    """

    items: int
    codes: int
    depth: int
    builds: int
    tokenized: int
    big: int
    small: int
    repeats: int
    free_gib: float


def size(record: Record, sizes: Sizes, static: Static | None, data: Path | None) -> None:
    """Bar 3: bytes of both indices, on uniform and on real codes."""

    def of_folder(name: str) -> Codes:
        if data is None:
            raise GenretError("data: left out, expected a folder with office/ and beauty/")
        return real_codes(data / name)

    def measure(codes: Codes, num_codes: int) -> Figures:
        catalog = Catalog.of(codes)
        per_level = (num_codes,) * codes.shape[1]
        ours = TrieIndex.from_codes(catalog.codes, codes_per_level=per_level)
        figures: Figures = {"items": len(codes), "bytes": ours.nbytes, "nodes": [*ours.num_nodes]}
        if static is not None:
            figures["static_bytes"] = static.index(catalog.codes, num_codes).nbytes
            figures["over_static"] = figures["bytes"] / figures["static_bytes"]
        return figures

    shape = (sizes.codes,) * sizes.depth
    sets: dict[str, tuple[Callable[[], Codes], int]] = {
        f"uniform |C|={sizes.items}": (lambda: draw_codes(sizes.items, shape), sizes.codes),
        "office": (lambda: of_folder("office"), 256),
        "beauty": (lambda: of_folder("beauty"), 256),
        f"rq_kmeans |C|={sizes.tokenized}": (lambda: tokenized_codes(sizes.tokenized), 256),
    }
    uniform, *real = [
        record.point(f"3 bytes: {name}", lambda d=draw, v=num_codes: measure(d(), v))
        for name, (draw, num_codes) in sets.items()
    ]
    if static is not None:
        bar = functools.partial(record.bar, at_most=True)
        bar("bytes_over_static", [uniform], lambda: uniform["over_static"], 1 / 4)
        worst = lambda: max(point["over_static"] for point in good(real))  # noqa: E731
        bar("bytes_over_static_real", real, worst, 1 / 3)


def build(record: Record, sizes: Sizes, static: Static | None) -> None:
    """Bar 4: from codes to an index on the device; from unsorted ones, sorting included."""

    def measure() -> Figures:
        per_level = (sizes.codes,) * sizes.depth
        unsorted = draw_codes(sizes.items, per_level)
        in_order = Catalog.of(unsorted).codes
        functions: dict[str, Callable[[], Any]] = {
            "sorted": lambda: TrieIndex.from_codes(in_order, codes_per_level=per_level),
            "unsorted": lambda: TrieIndex.from_codes(unsorted, codes_per_level=per_level),
        }
        if static is not None:
            functions["static_sorted"] = lambda: static.index(in_order, sizes.codes).arrays
            functions["static_unsorted"] = lambda: (
                static.index(unsorted[np.lexsort(unsorted.T[::-1])], sizes.codes).arrays
            )
        times = interleave(functions, sizes.builds, warm=1)
        figures: Figures = {**times}
        if static is not None:
            for kind in ("sorted", "unsorted"):
                figures[f"{kind}_over_static"] = times[kind]["ms"] / times[f"static_{kind}"]["ms"]
        return figures

    point = record.point(f"4 build: |C|={sizes.items} V={sizes.codes}", measure)
    if static is not None:
        bar = functools.partial(record.bar, points=[point], at_most=True)
        bar("build_over_static", value=lambda: point["sorted_over_static"], bar=1 / 5)
        bar("build_unsorted_over_static", value=lambda: point["unsorted_over_static"], bar=1 / 4)


def big(record: Record, sizes: Sizes) -> None:
    """Bar 5: 1e8 codes, in a process of its own whose memory is measured."""

    def measure() -> Figures:
        free = available_gib()
        if free < sizes.free_gib:
            raise GenretError(f"skipped: {free:.1f} GiB are free, expected {sizes.free_gib}")
        command = [sys.executable, "-m", "benchmarks._big"]
        for name in ("small", "codes", "depth", "repeats"):
            command += [f"--{name}", str(getattr(sizes, name))]
        command += ["--items", str(sizes.big)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip()[-400:] or "killed (out of memory?)"
            raise GenretError(f"exit status {done.returncode}: {reason}")
        return json.loads(done.stdout)

    point = record.point(f"5 big: |C|={sizes.big} V={sizes.codes}", measure)
    bar = functools.partial(record.bar, points=[point], at_most=True)
    bar("build_1e8_gib", value=lambda: point["build_gib"], bar=BUILD_GIB)
    bar("step_1e8_over_1e6", value=lambda: point["step_ratio"], bar=1.2)
