"""Rows that hold a whole history become events.

RecBole (``item_id_list:token_seq``), MiniOneRec (``history_item_id``) and tables with lists give a
row the items that came before its own. Often each item of a user has such a row, so the histories
repeat each other: the rows of a user are put together, from the shortest history to the longest,
into the one sequence that they are all parts of. Rows that do not fit together are refused.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genret.data._id_lists import parse_id_lists
from genret.data._ids import distinct_ids
from genret.data._source import Source
from genret.errors import GenretError
from genret.typing import Int

HISTORY_NAMES = (
    "item_id_list", "history_item_id", "history", "item_history", "item_ids", "items", "histories",
    "item_sequence", "item_seq", "sequence", "hist_item_id", "history_items",
)  # fmt: skip
"""Names of columns that hold the items of a history (case and punctuation aside)."""
_LIKE_HISTORY = re.compile(r"hist|(^|_)(seq|sequence)(_|$)|item\w*_list$")


@dataclasses.dataclass(frozen=True)
class Expanded:
    """The events of a file of histories.

    Attributes:
      source: the events, columns ``user`` as in the file and :attr:`item`.
      item: name of the items' column.
      rows: rows of the file.
      bad_rows: rows of the file whose list cannot be read, int64.
      repeated: rows that hold nothing that other rows of the user do not.
    """

    source: Source
    item: str
    rows: int
    bad_rows: Int[np.ndarray, "R"]
    repeated: int


def is_history_name(name: str) -> bool:
    """Say whether a column of this name holds the items of a history.

    >>> is_history_name("Item_ID_list"), is_history_name("title")
    (True, False)
    """
    return _plain(name) in {_plain(n) for n in HISTORY_NAMES}


def history_column(source: Source, chosen: str | None, item: str | None) -> str | None:
    """Return the column of the histories; None where rows are events.

    Args:
      source: the file.
      chosen: the name that the user gave; "" says that rows are events.
      item: the column of the item.

    Raises:
      GenretError: the chosen column is not there, or a column seems to hold histories and it is
        not clear whether it does.
    """
    if chosen == "":
        return None
    if chosen is not None:
        if chosen not in source.columns:
            raise GenretError(f"{source.name}: has no column {chosen!r} (--history)")
        return chosen
    if item is not None and _is_list(source, item):
        return item
    named = [c for c in source.columns if c != item and is_history_name(c)]
    if named:
        return named[0]
    for name in source.columns:
        if name != item and (name in source.lists or _LIKE_HISTORY.search(name.lower())):
            raise GenretError(
                f"{source.name}: column {name!r} seems to hold histories; say --history "
                f"{name} if it does, or --history '' if each row is one event"
            )
    return None


def expanded(
    source: Source, user: str, history: str, item: str | None, time: str | None
) -> Expanded:
    """Read the histories of a file and put the rows of each user together.

    Times are not read: a row has one, its history has none.

    Args:
      source: the file.
      user: column of the user.
      history: column of the history.
      item: column of the item that came after the history; None, or the history itself: none.
      time: column of the time, which is left out.

    Raises:
      GenretError: histories of a user that do not fit together.
    """
    del time
    target = None if item == history else item
    names = list(dict.fromkeys([user, history, *([target] if target else [])]))
    batches = list(source.read(names))
    kinds = [pa.string()] * len(names)
    table = (
        pa.Table.from_batches(batches)
        if batches
        else pa.schema(list(zip(names, kinds, strict=True))).empty_table()
    )
    lists = table[history].combine_chunks()
    bad = np.zeros(len(lists), bool)
    if pa.types.is_string(lists.type) or pa.types.is_large_string(lists.type):
        lists, bad = parse_id_lists(lists)
    elif not _is_list_type(lists.type):
        raise GenretError(
            f"{source.name}: column {history!r}: found {lists.type}, expected lists of ids"
        )
    where = f"{source.name}: column {history!r}"
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    numbers, names_of, is_text = distinct_ids(pc.list_flatten(lists), where)
    ids: list[str | None] = [*names_of.to_pylist(), None]
    owners, users, user_is_text = distinct_ids(
        table[user].combine_chunks(), f"{source.name}: column {user!r}"
    )
    sequences: list[list[str | None]] = [
        [ids[n] for n in numbers[a:b].tolist()] for a, b in itertools.pairwise(offsets.tolist())
    ]
    if target:
        numbers, names_of, text = distinct_ids(
            table[target].combine_chunks(), f"{source.name}: column {target!r}"
        )
        is_text |= text
        targets = [*names_of.to_pylist(), None]
        for row, number in enumerate(numbers.tolist()):
            if not bad[row] and targets[number]:
                sequences[row].append(targets[number])
    merged, repeated = _merged(source.name, owners, users, sequences, bad)
    name = target or history
    events = pa.table(
        {
            user: _ids(users.take(pa.array([u for u, _ in merged], pa.int64())), user_is_text),
            name: _ids(pa.array([i for _, i in merged], pa.large_string()), is_text),
        }
    )

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from events.select(list(columns)).to_batches(max_chunksize=1 << 17)

    return Expanded(
        source=dataclasses.replace(
            source,
            columns=tuple(events.column_names),
            read=read,
            schema=events.schema,
            first_line=None,
        ),
        item=name,
        rows=len(table),
        bad_rows=np.flatnonzero(bad),
        repeated=repeated,
    )


def _merged(
    name: str,
    owners: np.ndarray,
    users: pa.Array,
    sequences: list[list[str | None]],
    bad: np.ndarray,
) -> tuple[list[tuple[int, str | None]], int]:
    """Return (user, item) of every event, and the number of rows that added nothing."""
    whole: dict[int, list[str | None]] = {}
    repeated = 0
    rows = [row for row in range(len(sequences)) if not bad[row] and owners[row] >= 0]
    for row in sorted(rows, key=lambda r: len(sequences[r])):
        new, user = sequences[row], int(owners[row])
        old = whole.setdefault(user, [])
        if new == old[: len(new)] or new == old[len(old) - len(new) :]:
            repeated += bool(old)
        elif old == new[: len(old)]:
            whole[user] = new
        elif len(new) > 1 and old[-len(new) + 1 :] == new[:-1]:  # the oldest items were cut off
            old.append(new[-1])
        else:
            raise GenretError(
                f"{name}: row {row + 1}: the history of user {users[user].as_py()!r} does not "
                "continue those of the user's other rows"
            )
    events = [(user, item) for user in sorted(whole) for item in whole[user]]
    return events, repeated


def _ids(texts: pa.Array, is_text: bool) -> pa.Array:
    """Return ids as integers where they were, so that they are of no declared text."""
    try:
        return texts if is_text else texts.cast(pa.int64())
    except pa.ArrowInvalid:
        return texts


def _is_list(source: Source, name: str) -> bool:
    return source.schema is not None and _is_list_type(source.schema.field(name).type)


def _is_list_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
