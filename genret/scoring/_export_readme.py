"""The ``README.md`` and ``example.py`` of an exported program."""

from collections.abc import Mapping
from typing import Any

EXAMPLE = '''"""Recommend items with the files of this folder. Needs jax and numpy, nothing else.

    python example.py ID ID ...    ids of the items that a user had, oldest first
"""

import hashlib
import io
import json
import sys
from pathlib import Path

import jax.export
import numpy as np


def verified(folder):
    """Read the files of the folder; stop where one is not as its manifest says."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    found = {}
    for name, entry in manifest["files"].items():
        found[name] = (folder / name).read_bytes()
        if hashlib.sha256(found[name]).hexdigest() != entry["sha256"]:
            raise ValueError(f"{folder / name}: SHA-256 differs from manifest.json: damaged or edited")
    return found


class Recommender:
    """The exported program, its arrays and the ids of the items."""

    def __init__(self, folder):
        files = verified(Path(folder))
        self.about = json.loads(files["decode.json"])
        self.ids = json.loads(files["item_ids.json"])
        self.rows = {str(item): row for row, item in enumerate(self.ids)}
        self.program = jax.export.deserialize(bytearray(files["decode.stablehlo"]))
        arrays = np.load(io.BytesIO(files["arrays.npz"]))
        self.arrays = [jax.numpy.asarray(arrays[name]) for name in arrays.files]

    def recommend(self, histories, exclude=(), filters=(), filter_of=()):
        """Answer users: for each a list of (id, score), best first.

        histories: lists of item ids, oldest first, at most `batch` of them; unknown ids are left out.
        exclude: for each user further ids that must not be answered.
        filters: bool arrays [items], which items may be answered, in the order of item_ids.json.
        filter_of: for each user the number of the filter that holds; left out: the first.
        """
        shapes = self.about["inputs"]
        batch, width = shapes["items"]
        if len(histories) > batch:
            raise ValueError(f"{len(histories)} histories, the program takes {batch} at once")
        arguments = [self.padded(histories, batch, width, newest=True)]
        lengths = [min(len(history), width) for history in histories]
        arguments.append(np.array(lengths + [0] * (batch - len(lengths)), np.int32))
        if "exclude" in shapes:
            most = shapes["exclude"][1]
            if any(len(ids) > most for ids in exclude):
                raise ValueError(f"exclude: the program takes {most} items of a user")
            arguments.append(self.padded(exclude, batch, most, newest=False))
        elif any(len(ids) for ids in exclude):
            raise ValueError("exclude: the program was exported without it (--exclude)")
        if "filters" in shapes:
            bits = np.full(shapes["filters"], 255, np.uint8)  # a filter that is not given: all items
            if len(filters) > len(bits):
                raise ValueError(f"{len(filters)} filters, the program takes {len(bits)}")
            for number, mask in enumerate(filters):
                if np.shape(mask) != (len(self.ids),):
                    raise ValueError(f"filters[{number}]: expected a bool for each item")
                bits[number] = np.packbits(np.asarray(mask, bool), bitorder="little")
            chosen = np.zeros(batch, np.int32)
            chosen[: len(filter_of)] = filter_of
            arguments += [bits, chosen]
        elif len(filters):
            raise ValueError("filters: the program was exported without them (--filters)")
        items, scores = self.program.call(self.arrays, *arguments)
        return [
            [(self.ids[row], float(score)) for row, score in zip(*answer) if row >= 0]
            for answer in zip(np.asarray(items)[: len(histories)], np.asarray(scores))
        ]

    def padded(self, lists, batch, width, newest):
        table = np.full((batch, width), -1, np.int32)
        for user, ids in enumerate(lists):
            rows = [self.rows.get(str(item), -1) for item in ids]
            rows = rows[-width:] if newest else rows
            table[user, : len(rows)] = rows
        return table


def main():
    recommender = Recommender(Path(__file__).resolve().parent)
    history = sys.argv[1:] or recommender.ids[:2]
    print("history:", *history)
    unknown = [item for item in history if str(item) not in recommender.rows]
    if unknown:
        print("unknown, left out:", *unknown)
    for item, score in recommender.recommend([history])[0]:
        print(f"{score:9.3f}  {item}")


if __name__ == "__main__":
    main()
'''


def readme(about: Mapping[str, Any]) -> str:
    """Return the README of an exported program.

    Args:
      about: what ``decode.json`` says.
    """
    inputs = about["inputs"]
    batch, width = inputs["items"]
    seen = (
        "Items of the history are never answered."
        if about["exclude_seen"]
        else "Items of the history may be answered again."
    )
    rows = [
        ("`arrays`", "list", "the arrays of `arrays.npz`, in the order of `files`"),
        (
            "`items`",
            f"int32 [{batch}, {width}]",
            "the history of each user, oldest first, as rows of `item_ids.json` (the first id is "
            "row 0), padded on the right",
        ),
        ("`lengths`", f"int32 [{batch}]", "number of items of each history; 0: no history"),
    ]
    if "exclude" in inputs:
        text = "rows that must not be answered, padded with -1"
        rows.append(("`exclude`", f"int32 {inputs['exclude']}", text))
    if "filters" in inputs:
        text = (
            "filters, a bit for each item: `numpy.packbits(mask, bitorder='little')` of a bool for "
            "each row"
        )
        rows.append(("`filters`", f"uint8 {inputs['filters']}", text))
        text = "the filter of each user; a number that no filter has allows nothing"
        rows.append(("`filter_of`", f"int32 [{batch}]", text))
    table = "\n".join(f"| {name} | {kind} | {text} |" for name, kind, text in rows)
    return f"""# An exported recommender

This folder answers users with items of a catalog of {about["items"]:,}. It needs Python with jax
{about["jax"]} or later, and numpy; genret is not needed.

    pip install jax numpy
    python example.py ID ID ...

`example.py` holds a class to copy: it turns ids into rows, pads, calls the program and turns the answer
back into ids.

## Files

| file | content |
|---|---|
| `decode.stablehlo` | model, index and beam search as one program, for {", ".join(about["platforms"])} |
| `arrays.npz` | the parameters of the model and the arrays of the index |
| `item_ids.json` | the id of each row |
| `decode.json` | the shapes below, for programs |
| `example.py` | how to call it |
| `manifest.json` | SHA-256 of each file, which `example.py` compares |

## The program

`jax.export.deserialize(bytearray(data)).call(...)` takes, in this order:

| argument | type | content |
|---|---|---|
{table}

It returns the rows of the best {about["k"]} items of each user, int32 [{batch}, {about["k"]}], and their
scores (log-probabilities), float32. Where fewer items are allowed, the remaining rows are -1.

- {seen}
- The model reads the newest {about["model_reads"]} items of a history.
- A row that no item has (-1, or {about["items"]} and more) is an unknown item: it is left out, as if the
  history did not have it. A length over {width} counts as {width}, a negative one as 0.
- Search: {about["beams"]} beams. The program is compiled on the first call.
"""
