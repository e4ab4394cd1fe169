"""Residual quantisation: each level clusters what the levels before left over."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genret.checks import check_vectors
from genret.config import TokenizeConfig
from genret.errors import GenretError
from genret.tokenizers._base import check_codes
from genret.tokenizers._kmeans import assign, kmeans, pad_rows
from genret.typing import Array, Float, Int, PathLike, Vectors

KIND = "rq_kmeans"
_BATCH = 65536


class RQKMeans:
    """Residual k-means: x ≈ offset + scale · Σ_l codebook_l[code_l].

    Vectors are centred and divided by one number (their root mean square distance from the mean);
    level l is the k-means of the residuals that the levels before leave.

    Attributes:
      codes_per_level: codes of each level, [L].
      codebooks: float32 [V_l, D] for each level, in units of ``scale``.
      offset: float32 [D], mean of the vectors it was fitted on.
      scale: their root mean square distance from it.

    Source: Juang, Gray, "Multiple stage vector quantization for speech coding", 1982; Luo et al.,
      "QARM", 2024 (residual k-means as semantic IDs).

    >>> vectors = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    >>> tokenizer = RQKMeans.fit(vectors, TokenizeConfig(levels=2, codebook_size=8), seed=0)
    >>> tokenizer.codes_per_level
    (8, 8)
    >>> tokenizer.encode(vectors[:3]).shape, tokenizer.decode([[0, 1]]).shape
    ((3, 2), (1, 8))
    """

    def __init__(
        self,
        codebooks: Sequence[Float[np.ndarray, "V D"]],
        offset: Float[np.ndarray, "D"],
        scale: float,
    ) -> None:
        self.codebooks = tuple(codebooks)
        self.offset = offset
        self.scale = scale
        self.codes_per_level = tuple(len(codebook) for codebook in self.codebooks)

    @classmethod
    def fit(
        cls,
        vectors: ArrayLike,
        config: TokenizeConfig,
        seed: int,
        advance: Callable[[], None] = lambda: None,
    ) -> "RQKMeans":
        """Learn the codebooks.

        Args:
          vectors: item vectors [N, D].
          config: levels, codes of a level, iterations, batch size.
          seed: of everything random.
          advance: called after each level.

        Returns:
          The tokenizer.

        Raises:
          GenretError: vectors that are no finite numbers [N, D].
        """
        found = check_vectors(vectors)
        size = config.codebook_size or default_codebook_size(len(found), config.levels)
        offset = found.mean(axis=0, dtype=np.float64).astype(np.float32)
        scale = _rms_distance(found, offset)
        residual = _standardise(found, offset, scale)
        codebooks = []
        for level in range(config.levels):
            result = kmeans(
                residual,
                size,
                iterations=config.iterations,
                batch_size=config.batch_size,
                seed=seed + level,
            )
            codebooks.append(result.centroids)
            residual -= result.centroids[result.labels]
            advance()
        return cls(codebooks, offset, scale)

    def encode(self, vectors: ArrayLike) -> Int[np.ndarray, "N L"]:
        """Give codes to vectors, of items known or new; the codebooks stay as they are.

        Args:
          vectors: [N, D].

        Returns:
          The codes, int32 [N, L].

        Raises:
          GenretError: vectors that are no finite numbers or of another width.
        """
        found = check_vectors(vectors, width=len(self.offset))
        books = tuple(jnp.asarray(codebook) for codebook in self.codebooks)
        codes = np.empty((len(found), len(books)), np.int32)
        for first in range(0, len(found), _BATCH):
            batch = _standardise(found[first : first + _BATCH], self.offset, self.scale)
            points, _ = pad_rows(batch)
            codes[first : first + len(batch)] = np.asarray(_encode(points, books))[: len(batch)]
        return codes

    def decode(self, codes: ArrayLike) -> Vectors:
        """Return the vectors that codes stand for.

        Args:
          codes: integers [N, l], l ≤ L: the first l levels.

        Returns:
          float32 [N, D].

        Raises:
          GenretError: codes that are no integers in range, or more levels than there are.
        """
        found, _ = check_codes(codes)
        levels = found.shape[1]
        if levels > len(self.codebooks):
            raise GenretError(f"codes: found {levels} levels, expected {len(self.codebooks)}")
        check_codes(found, self.codes_per_level[:levels])
        total = np.zeros((len(found), len(self.offset)), np.float32)
        for level in range(levels):
            total += self.codebooks[level][found[:, level]]
        # float64: the scale itself may be beyond float32.
        return (self.offset[None, :] + np.float64(self.scale) * total).astype(np.float32)

    def save(self, folder: PathLike) -> None:
        """Write ``tokenizer.json`` and ``tokenizer.safetensors`` into a folder."""
        header = {
            "kind": KIND,
            "codes_per_level": list(self.codes_per_level),
            "width": len(self.offset),
        }
        text = json.dumps(header, indent=1) + "\n"
        (Path(folder) / "tokenizer.json").write_text(text, encoding="utf-8")
        arrays = {f"codebook.{level:02d}": book for level, book in enumerate(self.codebooks)}
        arrays |= {"offset": self.offset, "scale": np.array([self.scale], np.float64)}
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            Path(folder) / "tokenizer.safetensors",
        )

    @classmethod
    def load(cls, folder: PathLike) -> "RQKMeans":
        """Read what :meth:`save` wrote.

        Raises:
          GenretError: a file is missing or damaged, or is of another kind of tokenizer.
        """
        header_file = Path(folder) / "tokenizer.json"
        arrays_file = Path(folder) / "tokenizer.safetensors"
        try:
            header = json.loads(header_file.read_text(encoding="utf-8"))
            kind, sizes, width = header["kind"], tuple(header["codes_per_level"]), header["width"]
        except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as e:
            raise GenretError(f"{header_file}: missing or damaged ({e})") from e
        if kind != KIND:
            raise GenretError(
                f"{header_file}: found a tokenizer of kind {kind!r}, expected {KIND!r}"
            )
        try:
            arrays = load_file(arrays_file)
        except (OSError, SafetensorError) as e:
            raise GenretError(f"{arrays_file}: missing or damaged ({e})") from e
        expected: dict[str, tuple[int, ...]] = {"offset": (width,), "scale": (1,)}
        expected |= {f"codebook.{level:02d}": (size, width) for level, size in enumerate(sizes)}
        found = {name: array.shape for name, array in arrays.items()}
        if found != expected or not all(np.isfinite(a).all() for a in arrays.values()):
            raise GenretError(f"{arrays_file}: found arrays {found}, expected {expected}, finite")
        codebooks = [arrays[f"codebook.{level:02d}"] for level in range(len(sizes))]
        return cls(codebooks, arrays["offset"], float(arrays["scale"][0]))


def default_codebook_size(num_items: int, levels: int) -> int:
    """Return how many codes each level gets by default: a power of two, at most 256.

    Large enough that the levels together could name eight times the items, and that a first code
    covers no more than about 64 items.

    >>> [default_codebook_size(n, 3) for n in (1, 100, 1682, 10_000, 10**7)]
    [2, 16, 32, 256, 256]
    """
    for_names = 1
    while for_names**levels < 8 * num_items and for_names < 256:
        for_names *= 2
    for_sharing = 1 << max(0, (num_items // 32).bit_length() - 1)
    return min(256, max(2, for_names, for_sharing))


def _rms_distance(vectors: Vectors, offset: Float[np.ndarray, "D"]) -> float:
    """Return √(mean ‖x − offset‖²), in float64 so that no square overflows; 1 where it is 0."""
    total = 0.0
    for first in range(0, len(vectors), _BATCH):
        centred = vectors[first : first + _BATCH].astype(np.float64) - offset[None, :]
        total += float(np.vdot(centred, centred))
    return float(np.sqrt(total / len(vectors))) or 1.0


def _standardise(vectors: Vectors, offset: Float[np.ndarray, "D"], scale: float) -> Vectors:
    """Return (x − offset) / scale as float32, formed in float64."""
    result = np.empty(vectors.shape, np.float32)
    for first in range(0, len(vectors), _BATCH):
        part = vectors[first : first + _BATCH].astype(np.float64)
        result[first : first + _BATCH] = (part - offset[None, :]) / scale
    return result


@jax.jit
def _encode(
    points: Float[Array, "N D"], codebooks: tuple[Float[Array, "..."], ...]
) -> Int[Array, "N L"]:
    """Return the nearest code of each level, on the residual of the levels before."""
    codes = []
    for codebook in codebooks:
        labels, _ = assign(points, codebook)
        points = points - codebook[labels]
        codes.append(labels)
    return jnp.stack(codes, axis=1)
