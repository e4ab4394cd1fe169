"""Points of vectors that stay in a file: what fitting and encoding hold, and how good mini-batches are."""

import functools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.process import Figures, timed, watched
from benchmarks.record import Points
from genret.config import TokenizeConfig
from genret.tensors import read_npy
from genret.tokenizers import RQKMeans
from genret.typing import Vectors

LEVELS, CODES, CENTERS = 3, 256, 2000
SEEDS = 5
"""Data sets of which the means are compared."""


def points(items: int, width: int, compared: int) -> Points:
    """Tokenize vectors in a file, and compare mini-batches of fewer ones with full batches."""
    return {
        f"vectors: {items} x {width} in a file": functools.partial(_in_a_file, items, width),
        f"batches: {compared} x {width}": functools.partial(_compared, compared, width),
    }


def tokenize(file: str) -> None:
    """Fit a tokenizer to the vectors of a file, encode them, and print figures as JSON."""
    vectors, figures = read_npy(file, most_bytes=0), {}
    config = TokenizeConfig(levels=LEVELS, codebook_size=CODES, iterations=1)
    with timed(figures, "fit_s"):
        tokenizer = RQKMeans.fit(vectors, config, seed=0)
    with timed(figures, "encode_s"):
        codes = tokenizer.encode(vectors).codes
    rows = np.sort(np.random.default_rng(1).choice(len(vectors), 10**5, replace=False))
    part = np.asarray(vectors[rows], np.float64)
    left = ((part - tokenizer.decode(codes[rows])) ** 2).sum()
    figures["unexplained"] = float(left / ((part - part.mean(axis=0)) ** 2).sum())
    print(json.dumps(figures))


def _in_a_file(items: int, width: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vectors.npy")
        rng = np.random.default_rng(0)
        centers = _centers(rng, width)
        shape = (items, width)
        found = np.lib.format.open_memmap(file, "w+", np.float16, shape)  # type: ignore[no-untyped-call]
        for first in range(0, items, 100_000):
            found[first : first + 100_000] = _drawn(rng, centers, min(100_000, items - first))
        found.flush()
        del found
        code = f"from benchmarks.vectors_points import tokenize; tokenize({str(file)!r})"
        answer, memory = watched([sys.executable, "-c", code])
        return answer | memory | {"items": items, "file_gib": file.stat().st_size / 2**30}


def _compared(items: int, width: int) -> Figures:
    """Compare the means over several data sets: collisions of one differ by percents from start to start."""
    figures: Figures = {}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        vectors = _drawn(rng, _centers(rng, width), items)
        for name, size in (("full", items), ("mini", items // 12)):
            config = TokenizeConfig(
                levels=LEVELS, codebook_size=CODES, iterations=20, batch_size=size
            )
            report = RQKMeans.fit(vectors, config, seed=seed).report(vectors)
            figures.setdefault(f"{name}_error", []).append(report["levels"][-1]["error"])
            figures.setdefault(f"{name}_collisions", []).append(
                report["collisions_before"]["items"]
            )
    for name in ("error", "collisions"):
        mini, full = sum(figures[f"mini_{name}"]), sum(figures[f"full_{name}"])
        figures[f"{name}_over_full"] = mini / max(full, 1e-9)
    return figures


def _centers(rng: np.random.Generator, width: int) -> Vectors:
    """Return centers of clusters, whose later directions are ever shorter."""
    return (rng.normal(size=(CENTERS, width)) * _lengths(width)).astype(np.float32)


def _drawn(rng: np.random.Generator, centers: Vectors, count: int) -> Vectors:
    noise = rng.standard_normal((count, centers.shape[1]), np.float32)
    return centers[rng.integers(0, len(centers), count)] + 0.5 * _lengths(centers.shape[1]) * noise


def _lengths(width: int) -> Vectors:
    return np.exp(-np.arange(width) / 20).astype(np.float32)[None, :]
