"""Edits of JSON documents: hostile values in place of every field, for tests that expect refusals."""

import copy
import json
from collections.abc import Iterator
from typing import Any

HOSTILE: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 99, 10**20, 10**4000, 0.5, -0.0, "", "x", "codes", "a" * 5000, "\0",
    "../x", "/etc/passwd", "a" * 64, [], [1], [[]], {}, {"x": 1}, {"bytes": 1}, {"codes": "0" * 64},
    {"a.txt": {"bytes": -1, "sha256": "0" * 64}}, {"a.txt": {"bytes": True, "sha256": 3}},
]  # fmt: skip
"""Values that are put in place of every field, and of every field within."""


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of every field, and of every field within."""
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        yield (*at, key)
        yield from places(child, (*at, key))


def edits(document: Any) -> Iterator[tuple[str, str]]:
    """Give texts in which one field is another value, is missing, is renamed, or is joined by one."""
    before = spelled(document)
    for at in list(places(document)):
        for change in [*HOSTILE, "remove", "rename", "add"]:
            edited = copy.deepcopy(document)
            inner = edited
            for key in at[:-1]:
                inner = inner[key]
            if change == "remove":
                del inner[at[-1]]
            elif change in ("rename", "add") and isinstance(change, str):
                if not isinstance(inner, dict):
                    continue
                inner[change] = inner.pop(at[-1]) if change == "rename" else 1
            else:
                inner[at[-1]] = change
            if spelled(edited) != before:
                yield f"{at}: {str(change)[:40]}", json.dumps(edited)


def spelled(document: Any) -> str:
    """Return a spelling that tells 1, 1.0 and true apart, and no order of keys."""
    return json.dumps(document, sort_keys=True)
