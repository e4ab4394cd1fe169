"""Titles as identifiers: the pieces of a sentencepiece vocabulary, as many as the title has."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import sentencepiece

from genret.errors import GenretError
from genret.pieces import one_line, train_pieces
from genret.semantic_ids import SemanticIds
from genret.typing import Codes

END_CODE = 0
"""The code that ends a title: sentencepiece's padding, which no text has."""
DEFAULT_PIECES = 1000


class Titles(NamedTuple):
    """Titles in codes.

    Attributes:
      semantic_ids: codes int32 [N, L]: pieces, then the end code to the end of the row; every level
        has as many codes as there are pieces and numbers.
      model: the sentencepiece model's bytes.
      cut: titles that had more pieces than there are levels.
    """

    semantic_ids: SemanticIds
    model: bytes
    cut: int


def title_identifiers(
    titles: Sequence[str], levels: int, pieces: int, seed: int, *, number: bool = True
) -> Titles:
    """Spell items by their titles ("TID").

    Titles have different lengths: code 0 ends one, and stands to the end of the row. Titles of more
    than ``levels`` pieces are cut. Items that are then spelled alike get a number as their last code
    (from a block of codes after the pieces), the first in row order none; a title that fills all
    levels gives its last piece up for it.

    Args:
      titles: one an item.
      levels: L, codes at most.
      pieces: size of the vocabulary at most.
      seed: of the choice of training texts beyond 200,000.
      number: tell equal titles apart; otherwise they share a leaf.

    Returns:
      The titles in codes, all different with ``number``.

    Raises:
      GenretError: an empty title, or ``pieces`` too small for the letters of the titles.

    >>> titles = ["red socks", "red socks", "blue socks and a very long scarf"]
    >>> found = title_identifiers(titles, levels=8, pieces=64, seed=0)
    >>> len(np.unique(found.semantic_ids.codes, axis=0)), found.cut
    (3, 1)
    """
    lines = [one_line(title, row) for row, title in enumerate(titles)]
    if not all(lines):
        row = lines.index("")
        raise GenretError(f"titles: row {row} is empty, expected a title for every item")
    model = train_pieces(lines, pieces, seed)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    spelled = processor.encode(lines)
    codes = np.full((len(lines), levels), END_CODE, np.int32)
    for row, found in enumerate(spelled):
        codes[row, : len(found)] = found[:levels]
    if (codes[:, 0] == END_CODE).any():
        row = int(np.argmax(codes[:, 0] == END_CODE))
        raise GenretError(f"titles: row {row} {titles[row]!r} has no piece, expected letters")
    cut = sum(len(found) > levels for found in spelled)
    size = processor.vocab_size()
    numbers = _number(codes, size) if number else 0
    semantic_ids = SemanticIds(
        codes=codes, codes_per_level=(size + numbers,) * levels, end_code=END_CODE
    )
    return Titles(semantic_ids, model, cut)


def _number(codes: Codes, first: int) -> int:
    """Put a number at the end of all but the first of equal rows; return how many there are.

    Rows that gave their last piece up may be alike where they were not: then again.
    """
    numbers = 0
    seen: dict[bytes, int] = {}
    for row in codes:
        key = row.tobytes()
        end = min(int((row != END_CODE).sum()), len(row) - 1)
        while key in seen:
            row[end] = first + seen[key]
            seen[key] += 1
            numbers = max(numbers, seen[key])
            if (fresh := row.tobytes()) not in seen:
                key = fresh
                break
        seen[key] = 0
    return numbers
