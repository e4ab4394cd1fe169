"""What the tokenizers of vectors share: units, batches, checks, files."""

import abc
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genret.checks import check_vectors
from genret.config import TokenizeConfig
from genret.errors import GenretError
from genret.semantic_ids import SemanticIds
from genret.tokenizers._points import BATCH, Points, batches
from genret.tokenizers.report import code_report
from genret.typing import Codes, Float, PathLike, Vectors

T = TypeVar("T", bound="VectorTokenizer")
Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class FitInput:
    """What a tokenizer is fitted to.

    Attributes:
      vectors: as they were given, [N, D]: float32, or in a file (``np.memmap``).
      offset: their mean, [D].
      scale: their root mean square distance to the mean.
      config: the options.
      seed: of everything random.
      advance: called after each of the ``config.levels`` parts of the work.
      pairs: how often items occur together, [N, N], for methods that pull such items together.
    """

    vectors: np.ndarray
    offset: Float[np.ndarray, "D"]
    scale: float
    config: TokenizeConfig
    seed: int
    advance: Callable[[], None]
    pairs: sp.csr_matrix | None

    @functools.cached_property
    def points(self) -> Vectors:
        """Standardized vectors, float32 [N, D], which may be overwritten."""
        return self._standardize(self.vectors)

    @property
    def streamed(self) -> Points:
        """The same points, of which none is held where the vectors lie in a file."""
        held = not isinstance(self.vectors, np.memmap)
        return Points(self.vectors, self._standardize, held=held)

    def _standardize(self, vectors: np.ndarray) -> Vectors:
        return _standardize(vectors, self.offset, self.scale)


class VectorTokenizer(abc.ABC):
    """Base of the tokenizers here: x = offset + scale · (what the codes stand for).

    Vectors are centered and divided by one number, their root mean square distance from the mean,
    so that nothing depends on their units. A subclass works on such standardized vectors.

    Attributes:
      kind: name of the method.
      codes_per_level: codes of each level, [L].
      offset: float32 [D], mean of the vectors it was fitted on.
      scale: their root mean square distance from it.
    """

    kind: ClassVar[str]
    streams: ClassVar[bool] = False
    """Whether vectors in a file are fitted batch by batch; other methods hold them as float32."""

    def __init__(
        self, codes_per_level: tuple[int, ...], offset: Float[np.ndarray, "D"], scale: float
    ) -> None:
        self.codes_per_level = codes_per_level
        self.offset = offset
        self.scale = scale

    @classmethod
    def fit(
        cls: type[T],
        vectors: ArrayLike,
        config: TokenizeConfig,
        seed: int,
        advance: Callable[[], None] = lambda: None,
        pairs: sp.csr_matrix | None = None,
    ) -> T:
        """Learn the parameters.

        Args:
          vectors: item vectors [N, D]; those of ``np.load(file, mmap_mode="r")`` are read batch by
            batch where the method can (``streams``).
          config: the options; see each method.
          seed: of everything random.
          advance: called after each of the ``config.levels`` parts of the work.
          pairs: how often items occur together in training histories, [N, N]; for methods that
            pull such items together.

        Returns:
          The tokenizer.

        Raises:
          GenretError: vectors that are no finite numbers [N, D].
        """
        found = check_vectors(vectors, mapped=cls.streams)
        offset = found.mean(axis=0, dtype=np.float64).astype(np.float32)
        scale = _rms_distance(found, offset)
        return cls._fit(FitInput(found, offset, scale, config, seed, advance, pairs))

    def encode(self, vectors: ArrayLike) -> SemanticIds:
        """Give semantic IDs to vectors, of items known or new; the parameters stay as they are.

        Args:
          vectors: [N, D]; those of ``np.load(file, mmap_mode="r")`` are read batch by batch.

        Returns:
          The semantic IDs, codes int32 [N, L]; items may share a row.

        Raises:
          GenretError: vectors that are no finite numbers or of another width.
        """
        found = check_vectors(vectors, width=len(self.offset), mapped=True)
        codes = np.empty((len(found), len(self.codes_per_level)), np.int32)
        for rows in batches(len(found)):
            codes[rows] = self._encode(_standardize(found[rows], self.offset, self.scale))
        return SemanticIds(codes=codes, codes_per_level=self.codes_per_level)

    def decode(self, codes: ArrayLike) -> Vectors:
        """Return the vectors that codes stand for.

        Args:
          codes: integers [N, l], l ≤ L: the first l levels.

        Returns:
          float32 [N, D].

        Raises:
          GenretError: codes that are no integers in range, or more levels than there are.
        """
        checked = SemanticIds.from_codes(codes)
        levels = checked.depth
        if levels > len(self.codes_per_level):
            raise GenretError(f"codes: found {levels} levels, expected {len(self.codes_per_level)}")
        found = SemanticIds.from_codes(
            checked.codes, codes_per_level=self.codes_per_level[:levels]
        ).codes.astype(np.int32, copy=False)
        decoded = np.empty((len(found), len(self.offset)), np.float32)
        for first in range(0, len(found), BATCH):
            part = self._decode(found[first : first + BATCH])
            # float64: the scale itself may be beyond float32.
            decoded[first : first + BATCH] = self.offset[None, :] + np.float64(self.scale) * part
        return decoded

    def report(self, vectors: ArrayLike) -> dict[str, Any]:
        """Return the figures of :func:`~genret.tokenizers.code_report` for the codes of vectors."""
        return code_report(self.encode(vectors), vectors, self)

    def save(self, folder: PathLike) -> None:
        """Write ``tokenizer.json`` and ``tokenizer.safetensors`` into a folder."""
        options, arrays = self._state()
        header = {
            "kind": self.kind,
            "codes_per_level": list(self.codes_per_level),
            "width": len(self.offset),
            **options,
        }
        text = json.dumps(header, indent=1) + "\n"
        (Path(folder) / "tokenizer.json").write_text(text, encoding="utf-8")
        arrays |= {"offset": self.offset, "scale": np.array([self.scale], np.float64)}
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            Path(folder) / "tokenizer.safetensors",
        )

    @classmethod
    def load(cls: type[T], folder: PathLike) -> T:
        """Read what :meth:`save` wrote.

        Raises:
          GenretError: a file is missing or damaged, or is of another kind of tokenizer.
        """
        header_file = Path(folder) / "tokenizer.json"
        arrays_file = Path(folder) / "tokenizer.safetensors"
        header = read_header(folder)
        if header["kind"] != cls.kind:
            raise GenretError(
                f"{header_file}: found a tokenizer of kind {header['kind']!r}, expected {cls.kind!r}"
            )
        try:
            sizes = tuple(int(size) for size in header["codes_per_level"])
            expected = cls._shapes(header, sizes, header["width"])
        except (KeyError, TypeError, ValueError, IndexError) as e:
            raise GenretError(f"{header_file}: missing or damaged ({e})") from e
        expected |= {"offset": (header["width"],), "scale": (1,)}
        try:
            arrays = load_file(arrays_file)
        except (OSError, SafetensorError) as e:
            raise GenretError(f"{arrays_file}: missing or damaged ({e})") from e
        found = {name: array.shape for name, array in arrays.items()}
        if found != expected or not all(np.isfinite(a).all() for a in arrays.values()):
            raise GenretError(f"{arrays_file}: found arrays {found}, expected {expected}, finite")
        return cls._from_state(header, arrays, sizes, arrays["offset"], float(arrays["scale"][0]))

    # What a subclass says

    @classmethod
    @abc.abstractmethod
    def _fit(cls: type[T], data: FitInput) -> T:
        """Learn from standardized vectors."""

    @abc.abstractmethod
    def _encode(self, points: Vectors) -> Codes:
        """Give codes to standardized vectors."""

    @abc.abstractmethod
    def _decode(self, codes: Codes) -> Vectors:
        """Return the standardized vectors of checked codes."""

    @abc.abstractmethod
    def _state(self) -> tuple[dict[str, Any], Arrays]:
        """Return what the header says beside the shape, and the arrays."""

    @classmethod
    @abc.abstractmethod
    def _shapes(
        cls, header: Mapping[str, Any], sizes: tuple[int, ...], width: int
    ) -> dict[str, tuple[int, ...]]:
        """Return the shape of every array that a header promises."""

    @classmethod
    @abc.abstractmethod
    def _from_state(
        cls: type[T],
        header: Mapping[str, Any],
        arrays: Arrays,
        sizes: tuple[int, ...],
        offset: Float[np.ndarray, "D"],
        scale: float,
    ) -> T:
        """Build the tokenizer of checked arrays."""


def read_header(folder: PathLike) -> dict[str, Any]:
    """Read ``tokenizer.json``.

    Raises:
      GenretError: it is missing, damaged, or does not say of which kind the tokenizer is.
    """
    file = Path(folder) / "tokenizer.json"
    try:
        header = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(header, dict) or not isinstance(header["kind"], str):
            raise TypeError("no object with a kind")
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as e:
        raise GenretError(f"{file}: missing or damaged ({e})") from e
    return header


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


def _rms_distance(vectors: np.ndarray, offset: Float[np.ndarray, "D"]) -> float:
    """Return √(mean ‖x − offset‖²), in float64 so that no square overflows; 1 where it is 0."""
    total = 0.0
    for rows in batches(len(vectors)):
        centered = vectors[rows].astype(np.float64) - offset[None, :]
        total += float(np.vdot(centered, centered))
    return float(np.sqrt(total / len(vectors))) or 1.0


def _standardize(vectors: np.ndarray, offset: Float[np.ndarray, "D"], scale: float) -> Vectors:
    """Return (x − offset) / scale as float32, formed in float64."""
    result = np.empty(vectors.shape, np.float32)
    for rows in batches(len(vectors)):
        result[rows] = (vectors[rows].astype(np.float64) - offset[None, :]) / scale
    return result
