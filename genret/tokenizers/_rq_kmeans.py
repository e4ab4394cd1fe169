"""Residual quantisation: each level clusters what the levels before left over."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from genret.config import TokenizeConfig
from genret.tokenizers._balance import balance
from genret.tokenizers._kmeans import kmeans, nearest, pad_rows
from genret.tokenizers._vector import BATCH, Arrays, VectorTokenizer, default_codebook_size
from genret.typing import Codes, Float, Vectors

_Books = Sequence[Float[np.ndarray, "V D"]]


class RQKMeans(VectorTokenizer):
    r"""Residual k-means: x ≈ offset + scale · Σ_l value_l[code_l].

    Level l is the k-means of the residuals that the levels before leave, :math:`r_{l+1} = r_l -
    value_l[code_l]`, and its values are the centroids. Two options:

    - ``balanced``: code_l minimises ½‖r_l − c‖² − b_c with the biases of
      :func:`~genret.tokenizers._balance.potentials`, so that every code gets an equal share of the
      catalogue; new items get codes by the same biases.
    - ``normalise_residuals``: the k-means is of the directions r_l / ‖r_l‖ (a few long residuals no
      longer take codes for themselves); the value of a code is the mean residual of its items.

    Attributes:
      codes_per_level: codes of each level, [L].
      codebooks: what residuals are compared with, float32 [V_l, D] for each level.
      values: what codes stand for, float32 [V_l, D] for each level; the codebooks without
        ``normalise_residuals``.
      biases: float32 [V_l] for each level; empty without ``balanced``.
      offset: float32 [D], mean of the vectors it was fitted on.
      scale: their root mean square distance from it, the unit of the codebooks.

    Source: Juang, Gray, "Multiple stage vector quantization for speech coding", 1982; Luo et al.,
      "QARM", 2024 (residual k-means as semantic IDs); Ju et al., "GRID", 2025 (normalised
      residuals).

    >>> vectors = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    >>> tokenizer = RQKMeans.fit(vectors, TokenizeConfig(levels=2, codebook_size=8), seed=0)
    >>> tokenizer.codes_per_level
    (8, 8)
    >>> tokenizer.encode(vectors[:3]).shape, tokenizer.decode([[0, 1]]).shape
    ((3, 2), (1, 8))
    """

    kind: ClassVar[str] = "rq_kmeans"

    def __init__(
        self,
        codebooks: _Books,
        offset: Float[np.ndarray, "D"],
        scale: float,
        *,
        values: _Books | None = None,
        biases: Sequence[Float[np.ndarray, "V"]] = (),
    ) -> None:
        super().__init__(tuple(len(codebook) for codebook in codebooks), offset, scale)
        self.codebooks = tuple(codebooks)
        self.normalised = values is not None
        self.values = self.codebooks if values is None else tuple(values)
        self.biases = tuple(biases)

    @classmethod
    def _fit(
        cls,
        points: Vectors,
        offset: Float[np.ndarray, "D"],
        scale: float,
        config: TokenizeConfig,
        seed: int,
        advance: Callable[[], None],
        pairs: sp.csr_matrix | None,
    ) -> "RQKMeans":
        size = config.codebook_size or default_codebook_size(len(points), config.levels)
        codebooks, values, biases = [], [], []
        for level in range(config.levels):
            compared = _directions(points) if config.normalise_residuals else points
            result = kmeans(
                compared,
                size,
                iterations=config.iterations,
                batch_size=config.batch_size,
                seed=seed + level,
            )
            codebook, labels = result.centroids, result.labels
            if config.balanced:
                codebook, labels, bias = _balanced(compared, codebook, config.batch_size, seed)
                biases.append(bias)
            codebooks.append(codebook)
            values.append(
                _means(points, labels, codebook) if config.normalise_residuals else codebook
            )
            points -= values[-1][labels]
            advance()
        means = values if config.normalise_residuals else None
        return cls(codebooks, offset, scale, values=means, biases=biases)

    def _encode(self, points: Vectors) -> Codes:
        codes = np.empty((len(points), len(self.codebooks)), np.int32)
        for level, codebook in enumerate(self.codebooks):
            compared = _directions(points) if self.normalised else points
            bias = jnp.asarray(self.biases[level]) if self.biases else None
            codes[:, level], _ = nearest(compared, jnp.asarray(codebook), BATCH, bias)
            points = points - self.values[level][codes[:, level]]
        return codes

    def _decode(self, codes: Codes) -> Vectors:
        total = np.zeros((len(codes), len(self.offset)), np.float32)
        for level in range(codes.shape[1]):
            total += self.values[level][codes[:, level]]
        return total

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        arrays = {f"codebook.{level:02d}": book for level, book in enumerate(self.codebooks)}
        if self.normalised:
            arrays |= {f"value.{level:02d}": book for level, book in enumerate(self.values)}
        arrays |= {f"bias.{level:02d}": bias for level, bias in enumerate(self.biases)}
        return {"normalised": self.normalised, "balanced": bool(self.biases)}, arrays

    @classmethod
    def _shapes(
        cls, header: Mapping[str, Any], sizes: tuple[int, ...], width: int
    ) -> dict[str, tuple[int, ...]]:
        expected: dict[str, tuple[int, ...]] = {}
        for level, size in enumerate(sizes):
            expected[f"codebook.{level:02d}"] = (size, width)
            if header.get("normalised"):
                expected[f"value.{level:02d}"] = (size, width)
            if header.get("balanced"):
                expected[f"bias.{level:02d}"] = (size,)
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
        def books(name: str) -> list[np.ndarray]:
            return [arrays[f"{name}.{level:02d}"] for level in range(len(sizes))]

        return cls(
            books("codebook"),
            offset,
            scale,
            values=books("value") if header.get("normalised") else None,
            biases=books("bias") if header.get("balanced") else (),
        )


def _directions(points: Vectors) -> Vectors:
    """Return rows of unit length; rows of zeros stay zeros."""
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    return np.divide(points, norms, out=np.zeros_like(points), where=norms > 0)


def _balanced(
    points: Vectors, codebook: Float[np.ndarray, "V D"], batch_size: int, seed: int
) -> tuple[Float[np.ndarray, "V D"], np.ndarray, Float[np.ndarray, "V"]]:
    """Balance a level on (a sample of) its points; return codebook, labels and bias."""
    sample = points
    if len(points) > batch_size:
        rows = np.random.default_rng(seed).choice(len(points), batch_size, replace=False)
        sample = points[np.sort(rows)]
    moved, bias = balance(*pad_rows(sample), jnp.asarray(codebook))
    labels, _ = nearest(points, moved, BATCH, bias)
    return np.asarray(moved), labels, np.asarray(bias)


def _means(points: Vectors, labels: np.ndarray, codebook: np.ndarray) -> Float[np.ndarray, "V D"]:
    """Return the mean point of each label; zeros where there is none."""
    counts = np.bincount(labels, minlength=len(codebook))
    order = np.argsort(labels, kind="stable")
    totals = np.zeros(codebook.shape, np.float64)
    used = np.flatnonzero(counts)
    starts = (np.cumsum(counts) - counts)[used]
    totals[used] = np.add.reduceat(points[order], starts, axis=0, dtype=np.float64)
    return (totals / np.maximum(counts, 1)[:, None]).astype(np.float32)
