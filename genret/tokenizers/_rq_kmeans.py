"""Residual quantization: each level clusters what the levels before left over."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from genret.tokenizers._balance import balance
from genret.tokenizers._kmeans import kmeans, nearest, pad_rows
from genret.tokenizers._local import Prefixes
from genret.tokenizers._points import BATCH, Points, Rows, batches
from genret.tokenizers._vector import (
    Arrays,
    FitInput,
    VectorTokenizer,
    default_codebook_size,
)
from genret.typing import Codes, Float, Int, Vectors

_LEAST = 1e-3
"""A code whose spread is below this part of the spread of all leaves nothing over."""


class RQKMeans(VectorTokenizer):
    r"""Residual k-means: x ≈ offset + scale · Σ_l codebook_l[code_l].

    Level l is the k-means of the residuals that the levels before leave, :math:`r_{l+1} = r_l -
    codebook_l[code_l]`. Three options:

    - ``balanced``: code_l minimizes ½‖r_l − c‖² − b_c with the biases of
      :func:`~genret.tokenizers._balance.potentials`, so that every code gets an equal share of the
      catalog; new items get codes by the same biases.
    - ``normalize_residuals``: what a code leaves over is divided by the code's spread, the root mean
      square of what it leaves of its items, :math:`r_{l+1} = (r_l - c) / s_c`. So a dense cluster is
      cut as finely, for its size, as a wide one; otherwise a few distant items take most codes of
      the later levels and near ones get equal codes. Then x ≈ c_1 + s_1 (c_2 + s_2 (c_3 + …)).

    - ``local_last``: see :class:`~genret.tokenizers._local.Prefixes`.

    Vectors in a file (``np.memmap``) are read batch by batch, and none of what the levels leave is
    held; the parameters are those of the same vectors in memory. ``local_last`` needs all that is
    left for the last level at once, 4·D bytes a vector.

    Attributes:
      codes_per_level: codes of each level, [L].
      codebooks: float32 [V_l, D] for each level.
      spreads: float32 [V_l] for each level; empty without ``normalize_residuals``.
      biases: float32 [V_l] for each level; empty without ``balanced``.
      prefixes: of the last level with ``local_last``, otherwise None.
      offset: float32 [D], mean of the vectors it was fitted on.
      scale: their root mean square distance from it, the unit of the codebooks.

    Source: Juang, Gray, "Multiple stage vector quantization for speech coding", 1982; Luo et al.,
      "QARM", 2024 (residual k-means as semantic IDs); Ju et al., "GRID", 2025 (which normalizes each
      residual by itself).

    >>> vectors = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    >>> from genret.config import TokenizeConfig
    >>> tokenizer = RQKMeans.fit(vectors, TokenizeConfig(levels=2, codebook_size=8), seed=0)
    >>> tokenizer.codes_per_level
    (8, 8)
    >>> tokenizer.encode(vectors[:3]).codes.shape, tokenizer.decode([[0, 1]]).shape
    ((3, 2), (1, 8))
    """

    kind: ClassVar[str] = "rq_kmeans"
    streams: ClassVar[bool] = True

    def __init__(
        self,
        codebooks: Sequence[Float[np.ndarray, "V D"]],
        offset: Float[np.ndarray, "D"],
        scale: float,
        *,
        spreads: Sequence[Float[np.ndarray, "V"]] = (),
        biases: Sequence[Float[np.ndarray, "V"]] = (),
        prefixes: Prefixes | None = None,
    ) -> None:
        super().__init__(tuple(len(codebook) for codebook in codebooks), offset, scale)
        self.codebooks = tuple(codebooks)
        self.spreads, self.biases = tuple(spreads), tuple(biases)
        self.prefixes = prefixes

    @classmethod
    def _fit(cls, data: FitInput) -> "RQKMeans":
        points, config, seed = data.streamed, data.config, data.seed
        size = config.codebook_size or default_codebook_size(len(points), config.levels)
        codebooks, spreads, biases = [], [], []
        codes = np.empty((len(points), config.levels), np.int32)
        prefixes = None
        for level in range(config.levels):
            if config.local_last and 0 < level == config.levels - 1:
                prefixes = Prefixes.fit(codes[:, :level], points[:])
                points.change(partial(_centered, prefixes, codes[:, :level]))
            result = kmeans(
                points,
                size,
                iterations=config.iterations,
                batch_size=config.batch_size,
                seed=seed + level,
            )
            codebook, labels = result.centroids, result.labels
            if config.balanced:
                codebook, labels, bias = _balanced(points, codebook, config.batch_size, seed)
                biases.append(bias)
            codebooks.append(codebook)
            codes[:, level] = labels
            points.change(partial(_left_over, codebook, codes[:, level]))
            if config.normalize_residuals:
                spreads.append(spread_of(points, labels, size))
                points.change(partial(_divided, spreads[-1], codes[:, level]))
            data.advance()
        return cls(
            codebooks, data.offset, data.scale, spreads=spreads, biases=biases, prefixes=prefixes
        )

    def _encode(self, points: Vectors) -> Codes:
        codes = np.empty((len(points), len(self.codebooks)), np.int32)
        for level, codebook in enumerate(self.codebooks):
            bias = jnp.asarray(self.biases[level]) if self.biases else None
            if self.prefixes is not None and level == codes.shape[1] - 1:
                points = self.prefixes.standardize(codes[:, :level], points)
            labels, _ = nearest(points, jnp.asarray(codebook), BATCH, bias)
            points = points - codebook[labels]
            if self.spreads:
                points /= self.spreads[level][labels][:, None]
            codes[:, level] = labels
        return codes

    def _decode(self, codes: Codes) -> Vectors:
        total = np.zeros((len(codes), len(self.offset)), np.float32)
        gain = np.ones((len(codes), 1), np.float32)
        for level in range(codes.shape[1]):
            values = self.codebooks[level][codes[:, level]]
            if self.prefixes is not None and level == len(self.codebooks) - 1:
                values = self.prefixes.restore(codes[:, :level], values)
            total += gain * values
            if self.spreads:
                gain *= self.spreads[level][codes[:, level]][:, None]
        return total

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        arrays: Arrays = {
            f"codebook.{level:02d}": book for level, book in enumerate(self.codebooks)
        }
        arrays |= {f"spread.{level:02d}": spread for level, spread in enumerate(self.spreads)}
        arrays |= {f"bias.{level:02d}": bias for level, bias in enumerate(self.biases)}
        options: dict[str, Any] = {"normalized": bool(self.spreads), "balanced": bool(self.biases)}
        if self.prefixes is not None:
            options["local_prefixes"] = len(self.prefixes.codes)
            arrays |= self.prefixes.arrays()
        return options, arrays

    @classmethod
    def _shapes(
        cls, header: Mapping[str, Any], sizes: tuple[int, ...], width: int
    ) -> dict[str, tuple[int, ...]]:
        expected: dict[str, tuple[int, ...]] = {}
        for level, size in enumerate(sizes):
            expected[f"codebook.{level:02d}"] = (size, width)
            if header.get("normalized"):
                expected[f"spread.{level:02d}"] = (size,)
            if header.get("balanced"):
                expected[f"bias.{level:02d}"] = (size,)
        if "local_prefixes" in header:
            expected |= Prefixes.shapes(header["local_prefixes"], len(sizes), width)
        return expected

    @classmethod
    def _from_state(
        cls,
        header: Mapping[str, Any],
        arrays: Arrays,
        sizes: tuple[int, ...],
        offset: Float[np.ndarray, "D"],
        scale: float,
    ) -> "RQKMeans":
        def of_levels(name: str) -> list[np.ndarray]:
            return [arrays[f"{name}.{level:02d}"] for level in range(len(sizes))]

        return cls(
            of_levels("codebook"),
            offset,
            scale,
            spreads=of_levels("spread") if header.get("normalized") else (),
            biases=of_levels("bias") if header.get("balanced") else (),
            prefixes=Prefixes.of(arrays) if "local_prefixes" in header else None,
        )


def _left_over(
    codebook: Float[np.ndarray, "V D"],
    labels: Int[np.ndarray, "N"],
    points: Float[np.ndarray, "R D"],
    rows: Rows,
) -> Float[np.ndarray, "R D"]:
    """Return what the codes of some points leave of them."""
    return points - codebook[labels[rows]]


def _divided(
    spread: Float[np.ndarray, "V"],
    labels: Int[np.ndarray, "N"],
    points: Float[np.ndarray, "R D"],
    rows: Rows,
) -> Float[np.ndarray, "R D"]:
    """Return points divided by the spread of their code."""
    return points / spread[labels[rows]][:, None]


def _centered(
    prefixes: Prefixes, codes: Int[np.ndarray, "N L"], points: Float[np.ndarray, "R D"], rows: Rows
) -> Float[np.ndarray, "R D"]:
    """Return points around the center of those of their prefix."""
    return prefixes.standardize(codes[rows], points)


def spread_of(
    residuals: Float[np.ndarray, "N D"] | Points, labels: Int[np.ndarray, "N"], size: int
) -> Float[np.ndarray, "V"]:
    """Return the root mean square of each code's residuals.

    A code that leaves (nearly) nothing of its items says nothing about how far a new item would be
    from it: it gets the spread of all.

    >>> spread = spread_of(np.array([[3.0], [-3.0], [0.0]], np.float32), np.array([1, 1, 0]), 2)
    >>> [round(float(s), 2) for s in spread]
    [2.45, 3.0]
    """
    squares = np.empty(len(residuals), np.float64)
    for rows in batches(len(residuals)):
        own = residuals[rows]
        squares[rows] = np.einsum("nd,nd->n", own, own, dtype=np.float64)
    counts = np.bincount(labels, minlength=size)
    spread = np.sqrt(np.bincount(labels, squares, size) / np.maximum(counts, 1))
    overall = float(np.sqrt(squares.mean())) or 1.0
    return np.where(spread > _LEAST * overall, spread, overall).astype(np.float32)


def _balanced(
    points: Points, codebook: Float[np.ndarray, "V D"], batch_size: int, seed: int
) -> tuple[Float[np.ndarray, "V D"], np.ndarray, Float[np.ndarray, "V"]]:
    """Balance a level on (a sample of) its points; return codebook, labels and bias."""
    rows: Rows = slice(None)
    if len(points) > batch_size:
        chosen = np.random.default_rng(seed).choice(len(points), batch_size, replace=False)
        rows = np.sort(chosen)
    moved, bias = balance(*pad_rows(points[rows]), jnp.asarray(codebook))
    labels, _ = nearest(points, moved, BATCH, bias)
    return np.asarray(moved), labels, np.asarray(bias)
