"""Product quantization: each code is a cluster of one part of the vector, so codes have no order."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from genret.config import TokenizeConfig
from genret.errors import GenretError
from genret.tokenizers._autoencoder import by_blocks, principal_axes
from genret.tokenizers._kmeans import kmeans, lloyd, nearest, pad_rows
from genret.tokenizers._points import BATCH
from genret.tokenizers._vector import (
    Arrays,
    FitInput,
    VectorTokenizer,
    default_codebook_size,
)
from genret.typing import Codes, Float, Vectors

_TURNS = 20
"""Times that OPQ turns the vectors."""
_PASSES_A_TURN = 2


class PQ(VectorTokenizer):
    r"""Product quantization: the vector is cut into L parts, and each is clustered by itself.

    With a rotation R (the identity for PQ) and parts of equal width,

        x R = (y_1, …, y_L),  code_l = argmin_c ‖y_l − book_l[c]‖,  x ≈ (book_1[code_1], …) Rᵀ.

    Codes do not depend on each other: they can be predicted at once and in any order. A prefix of
    codes is decoded with the mean, 0, for the other parts. Vectors whose width is no multiple of L
    get zeros at the end.

    Attributes:
      codes_per_level: codes of each level, [L].
      books: float32 [L, V, D / L].
      rotation: float32 [D, D] (OPQ), or None.

    Source: Jégou et al., "Product quantization for nearest neighbor search", 2011; Ge et al.,
      "Optimized product quantization", 2013; Hou et al., "RPG", 2025 (as semantic IDs).

    >>> vectors = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    >>> tokenizer = PQ.fit(vectors, TokenizeConfig(levels=2, codebook_size=8), seed=0)
    >>> tokenizer.encode(vectors[:3]).codes.shape, tokenizer.decode([[0, 1]]).shape
    ((3, 2), (1, 8))
    """

    kind: ClassVar[str] = "pq"

    def __init__(
        self,
        books: Float[np.ndarray, "L V K"],
        rotation: Float[np.ndarray, "W W"] | None,
        offset: Float[np.ndarray, "D"],
        scale: float,
    ) -> None:
        super().__init__((books.shape[1],) * books.shape[0], offset, scale)
        self.books, self.rotation = books, rotation

    @classmethod
    def _fit(cls, data: FitInput) -> "PQ":
        points, config, seed = data.points, data.config, data.seed
        if config.levels > points.shape[1]:
            raise GenretError(
                f"levels: found {config.levels}, expected at most the {points.shape[1]} numbers of "
                f"a vector ({cls.kind} cuts it into parts)"
            )
        size = config.codebook_size or default_codebook_size(len(points), config.levels)
        points = _padded(points, config.levels)
        rotation = cls._rotation(points, config, size, seed)
        parts = _parts(points if rotation is None else points @ rotation, config.levels)
        books = []
        for level, part in enumerate(parts):
            found = kmeans(
                part,
                size,
                iterations=config.iterations,
                batch_size=config.batch_size,
                seed=seed + level,
            )
            books.append(found.centroids)
            data.advance()
        return cls(np.stack(books), rotation, data.offset, data.scale)

    @classmethod
    def _rotation(
        cls, points: Vectors, config: TokenizeConfig, size: int, seed: int
    ) -> Float[np.ndarray, "W W"] | None:
        return None

    def _encode(self, points: Vectors) -> Codes:
        points = _padded(points, len(self.books))
        turned = points if self.rotation is None else _by_row(points, self.rotation)
        found = [
            nearest(part, jnp.asarray(book), BATCH)[0]
            for part, book in zip(_parts(turned, len(self.books)), self.books, strict=True)
        ]
        return np.stack(found, axis=1)

    def _decode(self, codes: Codes) -> Vectors:
        levels, _, width = self.books.shape
        parts = np.zeros((len(codes), levels, width), np.float32)
        for level in range(codes.shape[1]):
            parts[:, level] = self.books[level][codes[:, level]]
        turned = parts.reshape(len(codes), levels * width)
        points = turned if self.rotation is None else turned @ self.rotation.T
        return points[:, : len(self.offset)]

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        arrays = {"books": self.books}
        return {}, arrays if self.rotation is None else arrays | {"rotation": self.rotation}

    @classmethod
    def _shapes(
        cls, header: Mapping[str, Any], sizes: tuple[int, ...], width: int
    ) -> dict[str, tuple[int, ...]]:
        part = -(-width // len(sizes))
        return {"books": (len(sizes), sizes[0], part)}

    @classmethod
    def _from_state(
        cls,
        header: Mapping[str, Any],
        arrays: Arrays,
        sizes: tuple[int, ...],
        offset: Float[np.ndarray, "D"],
        scale: float,
    ) -> "PQ":
        return cls(arrays["books"], arrays.get("rotation"), offset, scale)


class OPQ(PQ):
    """Product quantization after a rotation that is learned with it.

    Starts at the principal axes, dealt out so that every part has about the same product of
    variances; then turns alternate: the books take two k-means iterations, and R becomes the
    rotation that brings the vectors X nearest to their codes Y, U Vᵀ of the singular value
    decomposition Xᵀ Y = U S Vᵀ (Procrustes).

    >>> vectors = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    >>> tokenizer = OPQ.fit(vectors, TokenizeConfig(levels=2, codebook_size=8), seed=0)
    >>> tokenizer.codes_per_level
    (8, 8)
    """

    kind: ClassVar[str] = "opq"

    @classmethod
    def _rotation(
        cls, points: Vectors, config: TokenizeConfig, size: int, seed: int
    ) -> Float[np.ndarray, "W W"]:
        if len(points) > config.batch_size:
            rows = np.random.default_rng(seed).choice(len(points), config.batch_size, replace=False)
            points = points[np.sort(rows)]
        axes = principal_axes(points, points.shape[1])
        rotation = axes[:, _shared_out((points @ axes).var(axis=0), config.levels)]
        books = [
            kmeans(part, size, iterations=5, batch_size=config.batch_size, seed=seed).centroids
            for part in _parts(points @ rotation, config.levels)
        ]
        for _ in range(_TURNS):
            coded = []
            for level, part in enumerate(_parts(points @ rotation, config.levels)):
                book = lloyd(*pad_rows(part), jnp.asarray(books[level]), _PASSES_A_TURN)
                labels, _ = nearest(part, book, BATCH)
                books[level] = np.asarray(book)
                coded.append(books[level][labels])
            left, _, right = np.linalg.svd(
                points.T.astype(np.float64) @ np.concatenate(coded, axis=1).astype(np.float64)
            )
            rotation = (left @ right).astype(np.float32)
        return rotation

    @classmethod
    def _shapes(
        cls, header: Mapping[str, Any], sizes: tuple[int, ...], width: int
    ) -> dict[str, tuple[int, ...]]:
        whole = -(-width // len(sizes)) * len(sizes)
        return super()._shapes(header, sizes, width) | {"rotation": (whole, whole)}


def _padded(points: Vectors, levels: int) -> Float[np.ndarray, "N _"]:
    """Return the vectors with zeros at the end, a multiple of ``levels`` numbers each."""
    return np.pad(points, ((0, 0), (0, -points.shape[1] % levels)))


def _parts(points: Vectors, levels: int) -> list[Float[np.ndarray, "_ _"]]:
    return [np.ascontiguousarray(part) for part in np.split(points, levels, axis=1)]


def _by_row(points: Vectors, rotation: Float[np.ndarray, "D D"]) -> Vectors:
    """Turn vectors in blocks of one size: a row's arithmetic is the same in any company."""
    matrix = jnp.asarray(rotation)
    return np.asarray(by_blocks(lambda x: jnp.matmul(x, matrix, precision="highest"), points))


def _shared_out(variances: np.ndarray, levels: int) -> np.ndarray:
    """Return an order of axes whose parts have about the same product of variances.

    The axes are taken from the largest on; each goes to the part with the least product so far
    that has room (eigenvalue allocation).

    >>> _shared_out(np.array([8.0, 4.0, 2.0, 1.0]), 2).tolist()
    [0, 3, 1, 2]
    """
    room = len(variances) // levels
    logs = np.log(np.maximum(variances, 1e-12))
    logs -= logs.min()  # products of numbers of at least 1: an axis more is never less
    parts: list[list[int]] = [[] for _ in range(levels)]
    for axis in np.argsort(-variances, kind="stable"):
        free = [part for part in parts if len(part) < room]
        min(free, key=lambda part: sum(logs[i] for i in part)).append(int(axis))
    return np.concatenate([np.array(part, np.int64) for part in parts])
