"""Vectors of item texts, without a pre-trained model: weighted bag of pieces, truncated SVD."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import sentencepiece

from genret.embed._svd import truncated_svd, unit_rows
from genret.errors import GenretError
from genret.pieces import one_line, train_pieces
from genret.typing import Float

_BATCH = 16384


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TextEmbedder:
    """Turns texts into vectors with a vocabulary and a projection that were learned once.

    A text becomes a bag of pieces with weights log(1 + tf)·log(1 + N / df), scaled to unit length;
    its vector is the projection of that bag onto the leading right singular vectors of the bags
    that were learned from, again scaled to unit length (latent semantic analysis). The vector
    depends on the text alone: not on the other texts of a call.

    Attributes:
      model: bytes of the sentencepiece model.
      rarity: log(1 + N / df) of each piece in the texts that were learned from, float32 [P].
      projection: float32 [P, D]; columns beyond the rank of the bags are zero.

    Source: Kudo, "Subword regularization", 2018; Deerwester et al., "Indexing by latent semantic
      analysis", 1990.

    >>> texts = ["red wool socks", "blue wool socks", "garden hose", "long garden hose"]
    >>> embedder, old = TextEmbedder.fit(texts, dim=4, pieces=64, seed=0)
    >>> new = embedder.embed(["green wool socks"])
    >>> bool(new[0] @ old[0] > 0.5 > new[0] @ old[2])
    True
    """

    model: bytes
    rarity: Float[np.ndarray, "P"]
    projection: Float[np.ndarray, "P D"]

    @classmethod
    def fit(
        cls, texts: Sequence[str], dim: int, pieces: int, seed: int
    ) -> tuple["TextEmbedder", Float[np.ndarray, "N D"]]:
        """Learn the vocabulary and the projection from the texts of a catalog.

        Args:
          texts: one text an item.
          dim: D, width of the vectors.
          pieces: size of the vocabulary at most.
          seed: of the SVD's start, and of the choice of training texts beyond 200,000.

        Returns:
          The embedder, and the vectors of these texts, float32 [N, D]: those of :meth:`embed` but
          for rounding.

        Raises:
          GenretError: no text at all, a text that is not valid Unicode, or ``pieces`` too small for
            the letters of the texts.
        """
        lines = [one_line(text, row) for row, text in enumerate(texts)]
        if not any(lines):
            raise GenretError("texts: every text is empty; leave the text part out (--text-dim 0)")
        model = train_pieces(lines, pieces, seed)
        counts = _count_pieces(lines, model)
        frequency = np.bincount(counts.indices, minlength=counts.shape[1])
        rarity = np.log1p(counts.shape[0] / np.maximum(frequency, 1)).astype(np.float32)
        left, values, projection = truncated_svd(_weigh(counts, rarity), dim, seed)
        embedder = cls(model=model, rarity=rarity, projection=projection)
        return embedder, unit_rows(left * values[None, :])

    def embed(self, texts: Sequence[str]) -> Float[np.ndarray, "N D"]:
        """Return the vectors of texts, float32 [N, D]; a text without known pieces gets zeros.

        Raises:
          GenretError: a text that is not valid Unicode.
        """
        lines = [one_line(text, row) for row, text in enumerate(texts)]
        if not lines:
            return np.zeros((0, self.projection.shape[1]), np.float32)
        return unit_rows(_weigh(_count_pieces(lines, self.model), self.rarity) @ self.projection)

    def knows(self, texts: Sequence[str]) -> list[bool]:
        """Say of each text whether it has any piece that the texts had which were learned from.

        The mark between words is none.
        """
        processor = sentencepiece.SentencePieceProcessor(model_proto=self.model)
        lines = [one_line(text, row) for row, text in enumerate(texts)]
        # A single byte is a piece though no text had it: its row of the projection is zero.
        return [
            any(
                one != processor.unk_id()
                and self.projection[one].any()
                and processor.id_to_piece(one).strip("\u2581")
                for one in pieces
            )
            for pieces in (processor.encode(lines) if lines else [])
        ]


def text_vectors(
    texts: Sequence[str], dim: int, pieces: int, seed: int
) -> tuple[Float[np.ndarray, "N D"], bytes]:
    """Learn a :class:`TextEmbedder` from item texts and apply it to them, once and for all.

    Vectors of two calls are in two spaces. Where items may be added later, fit a
    :class:`TextEmbedder` and keep it.

    Args:
      texts: one text an item; an empty one gets a row of zeros.
      dim: D, width of the vectors; columns beyond the rank of the bag of pieces are zero.
      pieces: size of the vocabulary at most.
      seed: of everything random.

    Returns:
      The vectors, float32 [N, D], and the sentencepiece model's bytes.

    Raises:
      GenretError: as :meth:`TextEmbedder.fit`.

    >>> texts = ["red wool socks", "blue wool socks", "garden hose", "long garden hose"]
    >>> vectors, _ = text_vectors(texts, dim=4, pieces=64, seed=0)
    >>> bool(vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2])
    True
    """
    embedder, vectors = TextEmbedder.fit(texts, dim, pieces, seed)
    return vectors, embedder.model


def _count_pieces(lines: Sequence[str], model: bytes) -> sp.csr_matrix:
    """Count the pieces of each text, float32 [N, pieces]; unknown pieces do not count."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    blocks = []
    for start in range(0, len(lines), _BATCH):
        batch = processor.encode(list(lines[start : start + _BATCH]))
        lengths = np.fromiter(map(len, batch), np.int64, len(batch))
        columns = np.fromiter((p for row in batch for p in row), np.int32, lengths.sum())
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        ones = np.ones(len(columns), np.float32)
        ones[columns == processor.unk_id()] = 0
        block = sp.csr_matrix((ones, columns, indptr), (len(batch), processor.vocab_size()))
        block.sum_duplicates()
        block.eliminate_zeros()
        blocks.append(block)
    return sp.vstack(blocks, format="csr")


def _weigh(counts: sp.csr_matrix, rarity: Float[np.ndarray, "P"]) -> sp.csr_matrix:
    """Replace counts by log(1 + tf)·rarity and scale the rows to unit length."""
    weighted = counts.copy()
    weighted.data = np.log1p(counts.data) * rarity[counts.indices]
    squares = np.add.reduceat(np.append(weighted.data**2, np.float32(0)), weighted.indptr[:-1]) * (
        np.diff(weighted.indptr) > 0
    )
    norms = np.sqrt(np.where(squares > 0, squares, 1))
    weighted.data /= np.repeat(norms, np.diff(weighted.indptr)).astype(np.float32)
    return weighted
