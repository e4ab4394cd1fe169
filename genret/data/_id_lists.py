"""Lists of ids in text: as RecBole, pandas and NumPy write them.

``1 2 3``            RecBole's ``token_seq``
``[1, 2, 3]``        Python, pandas: with quotes around ids that are text
``[1 2 3]``          NumPy
``["a", "b"]``       JSON

A text that is none of these wholly is not read in part: NumPy shortens long arrays to
``[1 2 ... 9]``, and an id that holds a space or a bracket would fall apart.
"""

import ast
import json
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genret.typing import Bool

_PLAIN = r"^[^\s\[\](){},'\"]*(\s+[^\s\[\](){},'\"]+)*$"
_NUMPY_QUOTED = re.compile(r"\s*(?:'([^']*)'|\"([^\"]*)\")(?=\s|$)")


def parse_id_lists(column: pa.Array) -> tuple[pa.Array, Bool[np.ndarray, "E"]]:
    """Split a column of text into lists of ids.

    Args:
      column: text.

    Returns:
      The lists, and which rows could not be read (their lists are null, as those of nulls).

    >>> lists, bad = parse_id_lists(pa.array(["1 2", "[1, 2]", "['a' 'b c']", "[1 ... 9]", None]))
    >>> lists.to_pylist(), bad.tolist()
    ([['1', '2'], ['1', '2'], ['a', 'b c'], None, None], [False, False, False, True, False])
    """
    trimmed = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
    # Lists of numbers, which are most, lose their brackets and commas.
    numbers = pc.match_substring_regex(
        trimmed, r"^\[\s*-?\d+(\s*,\s*-?\d+)*\s*\]$|^\[\s*-?\d+(\s+-?\d+)*\s*\]$"
    )
    bare = pc.replace_substring_regex(trimmed, r"[\[\],]", " ")
    plain = pc.utf8_trim_whitespace(pc.if_else(numbers, bare, trimmed))
    is_plain = pc.fill_null(pc.match_substring_regex(plain, _PLAIN), True)
    shortened = pc.fill_null(pc.match_substring_regex(plain, r"(^|\s)\.\.\.(\s|$)"), False)
    is_plain = pc.and_(is_plain, pc.invert(shortened))
    split = pc.utf8_split_whitespace(plain)
    empty = pa.scalar([], split.type)
    split = pc.if_else(pc.equal(pc.binary_length(plain), 0), empty, split)
    if pc.all(is_plain).as_py() in (True, None):
        return split, np.zeros(len(column), bool)
    found = split.to_pylist()
    bad = np.zeros(len(column), bool)
    for row in np.flatnonzero(~is_plain.to_numpy(zero_copy_only=False)).tolist():
        found[row] = _parsed(trimmed[row].as_py())
        bad[row] = found[row] is None
    return pa.array(found, split.type), bad


def _parsed(text: str) -> list[str | None] | None:
    """Return the ids of one list; None where it is no list of ids."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            values = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        adjacent = parse is ast.literal_eval and _joins(text)
        if isinstance(values, list) and all(map(_is_id, values)) and not adjacent:
            return [str(v) for v in values]
        break
    return _quoted(text[1:-1])


def _joins(text: str) -> bool:
    """Say whether Python would join texts that stand side by side, as NumPy prints them."""
    return re.search(r"['\"]\s+['\"]", text) is not None and "," not in text


def _quoted(text: str) -> list[str | None] | None:
    """Return the texts of a NumPy array, each in quotes; None where something else is there."""
    ids: list[str | None] = []
    at = 0
    while text[at:].strip():
        match = _NUMPY_QUOTED.match(text, at)
        if match is None:
            return None
        ids.append(match[1] if match[1] is not None else match[2])
        at = match.end()
    return ids


def _is_id(value: Any) -> bool:
    return type(value) in (int, str)
