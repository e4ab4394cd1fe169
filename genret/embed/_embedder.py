"""The embedder of a run: what turned its items into vectors, kept to do the same for new items.

embedder.json           columns of text, parts and their weights
embedder.safetensors    rarity, projection (text), mean, turn (whitening)
text.model              the sentencepiece model, where the text part was learned here
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genret.embed._join import join_vectors
from genret.embed._sentence import sentence_vectors
from genret.embed._text import TextEmbedder
from genret.embed._whiten import Whitening
from genret.errors import GenretError
from genret.json_files import encode_json, read_json
from genret.typing import Float, PathLike, Vectors

HEADER, ARRAYS, TEXT_MODEL = "embedder.json", "embedder.safetensors", "text.model"
_TYPES = {
    "text_columns": list,
    "sentence_model": str | None,
    "text_weight": int | float,
    "cooccurrence_dim": int,
    "cooccurrence_weight": int | float,
    "width": int,
}
"""Fields of the header."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Embedder:
    """Turns items into vectors as those of a catalog were made, with nothing learned anew.

    A vector has a text part, made by ``text`` or by ``sentence_model``, and a co-occurrence part,
    which is learned from histories: a new item has none, so that its part is zero, as it is for
    items without events. Where the vectors were brought, there is neither part, and only the
    whitening is left to do.

    Attributes:
      width: D, of the vectors.
      text_columns: columns of the catalog that are read as text.
      text: the text part; None: ``sentence_model`` reads the texts, or nothing does.
      sentence_model: name or folder of a sentence-transformers model.
      text_weight: weight of the text part.
      cooccurrence_dim: width of the co-occurrence part; 0: there is none.
      cooccurrence_weight: its weight.
      whitening: what is done at last; None: nothing.

    >>> text, _ = TextEmbedder.fit(["red socks", "blue socks", "garden hose"], 2, pieces=64, seed=0)
    >>> embedder = Embedder(width=5, text_columns=("title",), text=text, cooccurrence_dim=3)
    >>> vectors = embedder.embed(["green socks"])
    >>> vectors.shape, bool(vectors[0, :2].any()), bool(vectors[0, 2:].any())
    ((1, 5), True, False)
    """

    width: int
    text_columns: tuple[str, ...] = ()
    text: TextEmbedder | None = None
    sentence_model: str | None = None
    text_weight: float = 1.0
    cooccurrence_dim: int = 0
    cooccurrence_weight: float = 1.0
    whitening: Whitening | None = None

    @property
    def reads_text(self) -> bool:
        """Whether it makes vectors of texts; otherwise vectors have to be brought."""
        return self.text is not None or self.sentence_model is not None

    @property
    def takes_vectors(self) -> bool:
        """Whether the vectors were brought, so that those of new items have to be as well."""
        return not self.reads_text and self.cooccurrence_dim == 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of new items, float32 [N, D].

        Args:
          texts: what the columns of text say of each, as :meth:`Catalog.text` joins them.

        Raises:
          GenretError: the vectors are not made of texts, or a text is not valid Unicode.
        """
        parts = {"text": self.text_part(texts)}
        if self.cooccurrence_dim:
            parts["cooccurrence"] = np.zeros((len(texts), self.cooccurrence_dim), np.float32)
        return self.finish(self.join(parts))

    def text_part(self, texts: Sequence[str]) -> Vectors:
        """Return the part of :meth:`embed` that texts make, before it is joined and whitened.

        Raises:
          GenretError: as :meth:`embed`.
        """
        if self.text is not None:
            return self.text.embed(texts)
        if self.sentence_model is not None:
            return sentence_vectors(texts, self.sentence_model)
        raise GenretError("embed: the vectors are not made of texts, expected a text part")

    def join(self, parts: Mapping[str, Float[np.ndarray, "_ _"]]) -> Vectors:
        """Put the weighted parts "text" and "cooccurrence" side by side."""
        weights = {"text": self.text_weight, "cooccurrence": self.cooccurrence_weight}
        return join_vectors(list(parts.values()), [weights[name] for name in parts])

    def finish(self, vectors: Vectors) -> Vectors:
        """Whiten joined or brought vectors [N, D] as those of the catalog were.

        Raises:
          GenretError: vectors of another width.
        """
        if vectors.shape[1] != self.width:
            raise GenretError(
                f"vectors: found a width of {vectors.shape[1]}, expected {self.width} as in the run"
            )
        return vectors if self.whitening is None else self.whitening.apply(vectors)

    # Disk

    def save(self, folder: PathLike) -> None:
        """Write the embedder's files into a folder that a caller turns into an artifact."""
        header = {name: getattr(self, name) for name in _TYPES}
        header |= {"text_columns": list(self.text_columns)}
        (Path(folder) / HEADER).write_bytes(encode_json(header))
        arrays: dict[str, np.ndarray] = {}
        if self.text is not None:
            (Path(folder) / TEXT_MODEL).write_bytes(self.text.model)
            arrays |= {"rarity": self.text.rarity, "projection": self.text.projection}
        if self.whitening is not None:
            arrays |= {"mean": self.whitening.mean, "turn": self.whitening.turn}
        if arrays:
            contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            save_file(contiguous, Path(folder) / ARRAYS)

    @classmethod
    def load(cls, folder: PathLike) -> "Embedder":
        """Read what :meth:`save` wrote.

        Raises:
          GenretError: a file is missing or damaged.
        """
        fields = _read_header(Path(folder) / HEADER)
        file = Path(folder) / ARRAYS
        try:
            arrays = load_file(file) if file.is_file() else {}
        except (OSError, SafetensorError) as e:
            raise GenretError(f"{file}: missing or damaged ({e})") from e
        found = {name: array.shape for name, array in arrays.items()}
        pieces, width = found.get("rarity", (0,))[0], fields["width"]
        expected: dict[str, tuple[int, ...]] = {}
        model = Path(folder) / TEXT_MODEL
        if model.is_file():
            of_text = width - fields["cooccurrence_dim"]
            expected |= {"rarity": (pieces,), "projection": (pieces, of_text)}
        if "mean" in arrays:
            expected |= {"mean": (width,), "turn": (width, width)}
        if found != expected or not all(np.isfinite(array).all() for array in arrays.values()):
            raise GenretError(f"{file}: found arrays {found}, expected {expected}, finite")
        text = whitening = None
        if model.is_file():
            names = {name: arrays[name] for name in ("rarity", "projection")}
            text = TextEmbedder(model=model.read_bytes(), **names)
        if "mean" in arrays:
            whitening = Whitening(mean=arrays["mean"], turn=arrays["turn"])
        return cls(**fields, text=text, whitening=whitening)


def _read_header(file: Path) -> dict[str, Any]:
    header = read_json(file)
    if not isinstance(header, dict) or header.keys() != _TYPES.keys():
        raise GenretError(f"{file}: damaged: expected the fields {', '.join(_TYPES)}")
    for name, kind in _TYPES.items():
        if not isinstance(header[name], kind):
            raise GenretError(f"{file}: damaged: {name}: found {header[name]!r}")
    return header | {"text_columns": tuple(header["text_columns"])}
