"""The JSON family of LC-Rec, LETTER, MiniOneRec and APAO: histories and texts.

``*.inter.json``  ``{user: [item, ...]}``, items in order of time, no times
``*.item.json``   ``{item: {"title": ..., "description": ..., ...}}``
"""

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from genret.errors import GenretError


def read_inter_json(text: bytes, name: str) -> tuple[pa.Table, int]:
    """Return the events of an ``inter.json`` and the number of users with an empty list.

    The events are text columns ``user_id`` and ``item_id``.
    """
    histories = load_object(text, name, "{user: [item, ...]}")
    for user, items in histories.items():
        if not isinstance(items, list) or not all(_is_id(i) for i in items):
            raise GenretError(f"{name}: user {user!r}: expected a list of item ids")
    lengths = np.fromiter(map(len, histories.values()), np.int64, len(histories))
    users = _strings(histories, name).take(pa.array(np.repeat(np.arange(len(lengths)), lengths)))
    events = itertools.chain.from_iterable(histories.values())
    items = _strings([None if i is None else str(i) for i in events], name)
    return pa.table({"user_id": users, "item_id": items}), int((lengths == 0).sum())


def read_item_json(text: bytes, name: str) -> pa.Table:
    """Return the items of an ``item.json``: ``item_id`` and a column for each field."""
    items = load_object(text, name, "{item: {field: value}}")
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


def load_object(text: bytes, name: str, shape: str) -> dict[str, Any]:
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
