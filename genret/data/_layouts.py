"""Lines of ids without a header, as the repositories of sequential recommendation publish them.

``s3rec``   ``user item item item``: a user's whole history, in order of time (S3-Rec, BERT4Rec)
``sasrec``  ``user item``: an event, a user's events in order of time (SASRec)

Fields stand between spaces or tabs.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from genret.data._source import Source
from genret.data._streams import read_line_blocks, reading
from genret.errors import GenretError

_COLUMNS = ("user_id", "item_id")


def open_id_lines(path: Path, compression: str | None, layout: str) -> Source:
    """Open lines of ids.

    Args:
      path: the file.
      compression: how it is compressed.
      layout: "s3rec", "sasrec", or "auto": ``sasrec`` where all lines have two fields, ``s3rec``
        where lines have different numbers of them.

    Raises:
      GenretError: a line has too few or too many fields, or the layout is not clear.
    """
    with reading(path, "lines of ids"):
        counts, users = _scan(path, compression)
    if not len(counts):
        raise GenretError(f"{path}: cannot be read as lines of ids: it has no rows")
    if layout == "auto":
        layout = _detected(path, counts, users)
    if layout == "sasrec" and (counts != 2).any():
        row = int(np.argmax(counts != 2))
        raise GenretError(
            f"{path}: row {row + 1}: found {counts[row]} fields, expected a user and an item"
        )
    if layout == "s3rec" and users < len(counts):
        raise GenretError(
            f"{path}: found {len(counts)} lines of {users} users, expected one line a user: the "
            "user, then the items"
        )

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with reading(path, "lines of ids"):
            for _, block in read_line_blocks(path, compression):
                fields = [line.split() for line in block.decode().split("\n")]
                lines = [line for line in fields if line]
                lengths = [len(line) - 1 for line in lines]
                owners = np.repeat(np.arange(len(lines)), lengths)
                names = pa.array([line[0] for line in lines], pa.string())
                items = pa.array([item for line in lines for item in line[1:]], pa.string())
                both = {"user_id": names.take(pa.array(owners)), "item_id": items}
                yield pa.record_batch({c: both[c] for c in columns})

    empty = int((counts == 1).sum())
    return Source(
        name=str(path),
        columns=_COLUMNS,
        untyped=True,
        read=read,
        format=f"lines of {layout}" + (f", {compression}" if compression else ""),
        notes=(("users with an empty list", empty, "without events"),) if empty else (),
    )


def _scan(path: Path, compression: str | None) -> tuple[np.ndarray, int]:
    """Return the number of fields of each line that is not empty, and of distinct first fields."""
    counts: list[int] = []
    users: set[bytes] = set()
    for _, block in read_line_blocks(path, compression):
        for line in block.split(b"\n"):
            fields = line.split()
            if fields:
                counts.append(len(fields))
                users.add(fields[0])
    return np.array(counts, np.int64), len(users)


def _detected(path: Path, counts: np.ndarray, users: int) -> str:
    if (counts == 2).all():
        return "sasrec"
    if users == len(counts) and len(np.unique(counts)) > 1:
        return "s3rec"
    found = f"{len(counts)} lines of {counts.min()} to {counts.max()} fields, {users} first fields"
    raise GenretError(
        f"{path}: cannot tell what its lines are (found {found}); say --format s3rec "
        "(user item item ...) or sasrec (user item), or add a header and call it .csv or .tsv"
    )
