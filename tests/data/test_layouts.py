"""Layouts of the field: every event is expanded, or the file is refused by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.config import ColumnsConfig
from genret.data import ingest, parse_id_lists
from genret.errors import GenretError

HISTORIES: dict[int, list[int]] = {1: [10, 11, 12, 11], 2: [12, 10], 3: [11, 12, 13]}
PREFIXES = [(u, h[:k], h[k]) for u, h in HISTORIES.items() for k in range(1, len(h))]


def lines(header: str, rows: list[str]) -> str:
    return "\n".join([header, *rows, ""])


def recbole(folder: Path) -> Path:
    rows = [f"{u}\t{' '.join(map(str, h))}\t{i}" for u, h, i in PREFIXES]
    header = "user_id:token\titem_id_list:token_seq\titem_id:token"
    (folder / "x.inter").write_text(lines(header, rows))
    return folder / "x.inter"


def minionerec(folder: Path) -> Path:
    rows = [f'{u},"{h}",{i},"[\'a title, with a comma\']"' for u, h, i in reversed(PREFIXES)]
    header = "user_id,history_item_id,item_id,history_item_title"
    (folder / "x.csv").write_text(lines(header, rows))
    return folder / "x.csv"


def s3rec(folder: Path) -> Path:
    rows = [" ".join(map(str, [u, *h])) for u, h in HISTORIES.items()]
    (folder / "x.txt").write_text("\n".join(rows))
    return folder / "x.txt"


def sasrec(folder: Path) -> Path:
    rows = [f"{u} {i}" for u, h in HISTORIES.items() for i in h]
    (folder / "x.txt").write_text("\n".join(rows))
    return folder / "x.txt"


def lcrec(folder: Path) -> Path:
    (folder / "x.inter.json").write_text(json.dumps(HISTORIES | {9: []}))
    return folder / "x.inter.json"


def lists(folder: Path) -> Path:
    table = pa.table({"user_id": list(HISTORIES), "items": list(HISTORIES.values())})
    pq.write_table(table, folder / "x.parquet")
    return folder / "x.parquet"


@pytest.mark.parametrize("write", [recbole, minionerec, s3rec, sasrec, lcrec, lists])
def test_every_layout_has_the_same_events(write: Any, tmp_path: Path) -> None:
    catalog, histories, report = ingest(write(tmp_path))
    found = np.split(catalog.item_ids[histories.events.items], histories.events.offsets[1:-1])
    users = histories.user_ids.to_pylist()
    assert dict(zip(users, [f.tolist() for f in found], strict=True)) == HISTORIES
    assert report.count("rows read") == report.events == 9
    assert report.count("users with an empty list") == (1 if write is lcrec else 0)
    assert report.count("rows that hold histories") == (
        6 if write in (recbole, minionerec) else 3 if write is lists else 0
    )


def test_windows_that_lost_their_oldest_items_are_put_together(tmp_path: Path) -> None:
    history = [3, 1, 4, 1, 5, 9, 2, 6]
    rows = [f"u,{' '.join(map(str, history[max(0, k - 3) : k]))},{history[k]}" for k in range(1, 8)]
    file = tmp_path / "x.csv"
    file.write_text(lines("user_id,history,item_id", rows))
    catalog, histories, _ = ingest(file)
    assert catalog.item_ids[histories.events.items].tolist() == history


def test_histories_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text(lines("user_id,history,item_id", ["u,1 2,3", "u,7 8 9,4"]))
    with pytest.raises(GenretError, match=r"row 2: the history of user 'u' does not continue"):
        ingest(file)


def test_a_row_whose_list_cannot_be_read_is_dropped_whole(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text(lines("user_id,history,item_id", ["u,[1 2 ... 9],3", "v,[1 2],3", "w,(1),2"]))
    _, histories, report = ingest(file)
    assert (histories.user_ids.to_pylist(), report.events) == (["v"], 3)
    assert report.count("histories that cannot be read") == 2
    assert report.rejected is not None
    assert [(r["file"], r["row"], r["line"]) for r in report.rejected.to_pylist()] == [
        ("x.csv", 1, 2), ("x.csv", 3, 4),
    ]  # fmt: skip


def test_a_column_that_may_hold_histories_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "x.inter"
    file.write_text("user_id:token\titem_id:token\tclicked:token_seq\n1\t2\t3 4\n1\t3\t5\n")
    with pytest.raises(
        GenretError, match=r"column 'clicked' seems to hold histories; say --history"
    ):
        ingest(file)
    assert ingest(file, columns=ColumnsConfig(history=""))[2].events == 2
    assert ingest(file, columns=ColumnsConfig(history=""))[2].count("rows that hold histories") == 0


@pytest.mark.parametrize(
    ("text", "layout", "message"),
    [
        ("1 2 3\n2 3 4\n1 5 6\n", "auto", "cannot tell what its lines are .* say --format s3rec"),
        ("1 2 3\n2 3 4\n1 5 6\n", "s3rec", "3 lines of 2 users, expected one line a user"),
        ("1 2\n2 3 4\n", "sasrec", "row 2: found 3 fields, expected a user and an item"),
        ("hello", "auto", "cannot tell what its lines are"),
        ("\n\n", "auto", "it has no rows"),
    ],
)
def test_lines_that_are_not_clear(text: str, layout: Any, message: str, tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text(text)
    with pytest.raises(GenretError, match=message):
        ingest(file, columns=ColumnsConfig(format=layout))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("[]", []),
        ("5", ["5"]),
        (" 1  2 ", ["1", "2"]),
        ("[1, 2]", ["1", "2"]),
        ("[1 2\n 3]", ["1", "2", "3"]),
        ("['a', 'b c']", ["a", "b c"]),
        ("['a' \"b's\"]", ["a", "b's"]),
        ('["x", 2]', ["x", "2"]),
        ("[-1, 007]", ["-1", "007"]),
        ("[1 2 ... 9]", None),
        ("1 2 ... 9", None),
        ("[1, 2", None),
        ("[1.5, 2]", None),
        ("[[1], [2]]", None),
        ("['a' b]", None),
        ("[None, 1]", None),
        ("1,2,3", None),
        ("(1, 2)", None),
        (None, None),
    ],
)
def test_lists_in_text_are_read_whole_or_not_at_all(
    text: str | None, expected: list[str] | None
) -> None:
    found, bad = parse_id_lists(pa.array([text], pa.string()))
    assert found.to_pylist() == [expected]
    assert bad.tolist() == [expected is None and text is not None]
