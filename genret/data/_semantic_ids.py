"""Ready semantic IDs as others write them: read, and written in the same forms.

``letters``   ``{item: ["<a_159>", "<b_42>", "<c_1>"]}``: LC-Rec, LETTER, MiniOneRec, APAO; also one
              text, ``"<a_159><b_42><c_1>"``, with or without a token like ``<|sid_begin|>`` around
              it: OpenOneRec
``integers``  ``{item: [159, 42, 1]}``: NonameUntitled
``lists``     ``[[159, 42, 1], …]``, row i of item i: GRID, whose tensor is saved as JSON or ``.npy``
"""

import json
import os
import re
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from genret import tensors
from genret.data._semantic_json import load_object
from genret.errors import GenretError
from genret.item_ids import check_companion
from genret.semantic_ids import SemanticIds, check_code_sizes
from genret.typing import Int, PathLike

Style = Literal["letters", "integers", "lists"]

_TOKEN = re.compile(r"<(\w+?)_(\d{1,9})>")
_TEXT = re.compile(r"(?:<\|\w+\|>)?((?:<\w+?_\d{1,9}>)+)(?:<\|\w+\|>)?")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def read_semantic_ids(
    path: PathLike, item_ids: Iterable[Any] | None = None, *, superset: bool = False
) -> SemanticIds:
    """Read the semantic IDs of a catalog's items, or of all items of a file.

    Args:
      path: a ``.json`` or ``.npy`` file in one of the forms above.
      item_ids: ids of the catalog's items, in order of its rows, [N]. In a file of rows the id is
        the number of the row. None takes the items that the file names, in its order.
      superset: whether most items of the file may be outside the catalog.

    Returns:
      The semantic IDs, codes int32 [N, L]; the ids are strings where the file says which they are.

    Raises:
      GenretError: the file cannot be read, an item of the catalog is not in it, items have
        different numbers of codes, or something is no code.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "x.index.json")
    ...     _ = file.write_text('{"7": ["<a_1>", "<b_0>"], "5": ["<a_2>", "<b_3>"]}')
    ...     read_semantic_ids(file, [5, 7]).codes.tolist()
    [[2, 3], [1, 0]]
    """
    path = Path(path)
    table = _table(path)
    wanted = list(table) if item_ids is None else list(item_ids)
    check_companion(table, [str(item) for item in wanted], str(path), "codes", superset=superset)
    names = [str(item) for item in wanted]
    codes = _codes(path, table, names)
    check_code_sizes(codes, str(path), names)
    return SemanticIds.from_codes(codes, wanted, name=str(path))


def write_semantic_ids(
    path: PathLike, item_ids: Iterable[Any], codes: ArrayLike, style: Style = "letters"
) -> None:
    """Write semantic IDs for other programs; the file appears when it is whole.

    Args:
      path: the file; an older one is replaced.
      item_ids: ids of the items, [N].
      codes: integers [N, L], at most 26 levels for "letters".
      style: the form, see above. "lists" asks for the ids 0 to N - 1, in any order.

    Raises:
      GenretError: ids of another number, too many levels, ids that "lists" cannot hold, or a
        file that cannot be written.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "x.index.json")
    ...     write_semantic_ids(file, ["p", "q"], [[1, 0], [2, 3]])
    ...     print(file.read_text(), end="")
    {"p": ["<a_1>", "<b_0>"],
     "q": ["<a_2>", "<b_3>"]}
    """
    path = Path(path)
    rows = np.asarray(codes)
    ids = [str(item) for item in item_ids]
    if rows.ndim != 2 or rows.dtype.kind not in "iu" or len(ids) != len(rows):
        raise GenretError(
            f"codes: found {rows.dtype} {rows.shape} for {len(ids)} items, expected integers [N, L]"
        )
    values = rows.tolist()
    if style == "letters":
        if rows.shape[1] > len(_LETTERS):
            raise GenretError(f"codes: found {rows.shape[1]} levels, expected at most 26 letters")
        values = [
            [f"<{letter}_{code}>" for letter, code in zip(_LETTERS, row, strict=False)]
            for row in values
        ]
    lines = [json.dumps(row) for row in values]
    if style == "lists":
        order = {item: number for number, item in enumerate(ids)}
        missing = [i for i in range(len(ids)) if str(i) not in order]
        if missing:
            raise GenretError(f"item_ids: {missing[0]} is missing: 'lists' asks for 0 to N - 1")
        text = "[" + ",\n ".join(lines[order[str(i)]] for i in range(len(ids))) + "]\n"
    else:
        named = zip(ids, lines, strict=True)
        text = "{" + ",\n ".join(f"{json.dumps(item)}: {line}" for item, line in named) + "}\n"
    if path.exists() and not path.is_file():  # a device would be replaced by a file
        raise GenretError(f"{path}: is no regular file, expected one or none")
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        scratch.write_text(text, encoding="utf-8")
        os.replace(scratch, path)
    except OSError as e:
        scratch.unlink(missing_ok=True)
        raise GenretError(f"{path}: cannot be written: {e.strerror or e}") from e


def _table(path: Path) -> Mapping[str, Any]:
    """Return what a file says of each item."""
    if not path.is_file():
        raise GenretError(f"{path}: no such file (semantic IDs)")
    if path.name.lower().endswith("inter.json"):
        raise GenretError(
            f"{path}: is a file of histories, {{user: [item, ...]}}, expected codes; give it to "
            "`genret ingest --interactions`"
        )
    suffix = path.suffix.lower()
    if suffix in (".pt", ".pth", ".pkl", ".pickle"):
        raise GenretError(
            f"{path}: a pickle is not read (it may hold code); save the tensor [N, L] as .npy or JSON"
        )
    if suffix == ".npy":
        return dict(zip(map(str, range(len(rows := _npy(path)))), rows.tolist(), strict=True))
    text = path.read_bytes()
    if text.lstrip()[:1] == b"[":
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as e:
            raise GenretError(f"{path}: cannot be read as JSON: {e}") from e
        if not rows:
            raise GenretError(f"{path}: holds no items")
        return {str(number): row for number, row in enumerate(rows)}
    return load_object(text, str(path), "{item: [code, ...]}")


def _npy(path: Path) -> np.ndarray:
    array = tensors.read_npy(path)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "iu":
        raise GenretError(
            f"{path}: found {array.dtype} {array.shape}, expected integers [N, L]: one row an item"
        )
    return array


def _codes(path: Path, table: Mapping[str, Any], items: list[str]) -> Int[np.ndarray, "N L"]:
    """Return the codes of items, after checking that all have the same levels."""
    rows: list[list[int]] = []
    names: list[str] = []
    for item in items:
        parsed = [_code(token, str(path), item) for token in _tokens(table[item], path, item)]
        found = [name for name, _ in parsed]
        names = names or found
        if len(found) != len(names):
            raise GenretError(
                f"{path}: item {item!r} has {len(found)} codes, the items before {len(names)}"
            )
        if found != names:
            raise GenretError(f"{path}: item {item!r}: levels are lettered {found}, before {names}")
        rows.append([code for _, code in parsed])
    return np.array(rows, np.int32).reshape(len(rows), len(names))


def _tokens(value: Any, path: Path, item: str) -> list[Any]:
    if isinstance(value, str) and (text := _TEXT.fullmatch(value.strip())):
        return re.findall(r"<\w+?_\d{1,9}>", text[1])
    if not isinstance(value, list) or not value:
        raise GenretError(f"{path}: item {item!r}: expected a list of codes")
    return value


def _code(token: Any, name: str, item: str) -> tuple[str, int]:
    """Split ``"<a_159>"`` into its level's letter and the code."""
    match = _TOKEN.fullmatch(token) if isinstance(token, str) else None
    if match:
        return match[1], int(match[2])
    if type(token) is int and 0 <= token < 2**31:
        return "", token
    raise GenretError(
        f"{name}: item {item!r}: found the code {str(token)[:40]!r}, expected one like '<a_159>' "
        "or an integer of 0 or more"
    )
