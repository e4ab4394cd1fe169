"""The JSON family of LC-Rec, LETTER, MiniOneRec and APAO: histories, texts and semantic IDs.

``*.inter.json``  ``{user: [item, ...]}``, items in order of time, no times
``*.item.json``   ``{item: {"title": ..., "description": ..., ...}}``
``*.index.json``  ``{item: ["<a_159>", "<b_42>", "<c_1>", "<d_0>"]}``: a code of each level
"""

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from genret.errors import GenretError
from genret.typing import Int, PathLike


def read_inter_json(text: bytes, name: str) -> pa.Table:
    """Return the events of an ``inter.json`` as text columns ``user_id`` and ``item_id``."""
    histories = _load(text, name, "{user: [item, ...]}")
    for user, items in histories.items():
        if not isinstance(items, list) or not all(_is_id(i) for i in items):
            raise GenretError(f"{name}: user {user!r}: expected a list of item ids")
    lengths = np.fromiter(map(len, histories.values()), np.int64, len(histories))
    users = _strings(histories, name).take(pa.array(np.repeat(np.arange(len(lengths)), lengths)))
    events = itertools.chain.from_iterable(histories.values())
    items = _strings([None if i is None else str(i) for i in events], name)
    return pa.table({"user_id": users, "item_id": items})


def read_item_json(text: bytes, name: str) -> pa.Table:
    """Return the items of an ``item.json``: ``item_id`` and a column for each field."""
    items = _load(text, name, "{item: {field: value}}")
    for item, fields in items.items():
        if not isinstance(fields, dict):
            raise GenretError(f"{name}: item {item!r}: expected an object of fields")
    names = dict.fromkeys(field for fields in items.values() for field in fields)
    names.pop("item_id", None)
    columns = {
        field: _strings([_plain(fields.get(field)) for fields in items.values()], name)
        for field in names
    }
    return pa.table({"item_id": _strings(items, name), **columns})


def read_semantic_ids(path: PathLike, item_ids: Iterable[Any]) -> Int[np.ndarray, "N L"]:
    """Read ready semantic IDs from an ``index.json``.

    Codes are written as ``"<a_159>"`` (a level's letter and the code) or as plain integers.

    Args:
      path: the file.
      item_ids: ids of the catalogue's items, in order of its rows, [N].

    Returns:
      The codes, int32 [N, L].

    Raises:
      GenretError: the file cannot be read, an item of the catalogue is not in it, items have
        different numbers of codes, or something is no code.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "x.index.json")
    ...     _ = file.write_text('{"7": ["<a_1>", "<b_0>"], "5": ["<a_2>", "<b_3>"]}')
    ...     read_semantic_ids(file, [5, 7]).tolist()
    [[2, 3], [1, 0]]
    """
    path = Path(path)
    if not path.is_file():
        raise GenretError(f"{path}: no such file (semantic IDs)")
    table = _load(path.read_bytes(), str(path), "{item: [code, ...]}")
    rows: list[list[int]] = []
    letters: list[str] = []
    for item in map(str, item_ids):
        if item not in table:
            raise GenretError(f"{path}: has no codes for item {item!r} of the catalogue")
        tokens = table[item]
        if not isinstance(tokens, list) or not tokens:
            raise GenretError(f"{path}: item {item!r}: expected a list of codes")
        parsed = [_code(token, str(path), item) for token in tokens]
        found = [letter for letter, _ in parsed]
        letters = letters or found
        if len(found) != len(letters):
            raise GenretError(
                f"{path}: item {item!r} has {len(found)} codes, the items before {len(letters)}"
            )
        if found != letters:
            raise GenretError(
                f"{path}: item {item!r}: levels are lettered {found}, before {letters}"
            )
        rows.append([code for _, code in parsed])
    return np.array(rows, np.int32).reshape(len(rows), len(letters))


def _code(token: Any, name: str, item: str) -> tuple[str, int]:
    """Split ``"<a_159>"`` into its level's letter and the code."""
    match = re.fullmatch(r"<(\w+?)_(\d{1,9})>", token) if isinstance(token, str) else None
    if match:
        return match[1], int(match[2])
    if type(token) is int and 0 <= token < 2**31:
        return "", token
    raise GenretError(
        f"{name}: item {item!r}: found the code {str(token)[:40]!r}, expected one like '<a_159>' "
        "or an integer of 0 or more"
    )


def _load(text: bytes, name: str, shape: str) -> dict[str, Any]:
    """Parse a JSON object; a key that occurs twice is refused, as it would hide data."""

    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
            raise GenretError(f"{name}: the key {twice!r} occurs more than once")
        return found

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as e:  # no JSON, no UTF-8, a number of 5,000 digits
        raise GenretError(f"{name}: cannot be read as JSON: {e}") from e
    if not isinstance(value, dict) or not value:
        raise GenretError(f"{name}: expected a JSON object {shape} that is not empty")
    return value


def _strings(values: Iterable[str | None], name: str) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError as e:  # JSON may escape half of a surrogate pair
        raise GenretError(f"{name}: found {e.object[:40]!r}, which is no Unicode text") from e


def _is_id(value: Any) -> bool:
    return value is None or type(value) in (int, str)


def _plain(value: Any) -> str | None:
    """Return a field's value as text; lists are joined."""
    if isinstance(value, list):
        return ", ".join(text for v in value if (text := _plain(v)))
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
