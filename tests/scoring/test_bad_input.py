"""Bad input: each kind has one documented outcome (docs/batch_scoring.md has the table)."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.config import ScoreConfig
from genret.errors import GenretError
from genret.scoring._histories import read_chunks
from tests.scoring.conftest import CONFIG, Job, answers, histories, rejected
from tests.small_run import ITEMS

INTS = pa.list_(pa.int64())


def table(users: list, lists: list, **columns: list) -> pa.Table:
    return pa.table({"user_id": users, "items": pa.array(lists, INTS), **columns})


def reasons(out: Path) -> list[tuple[int, str | None, str]]:
    return [(r["row"], r["user"], r["reason"]) for r in rejected(out)]


def users_of(out: Path) -> list:
    return [r["user"] for r in answers(out).to_pylist() if r["rank"] == 1]


def test_rows_that_cannot_be_scored_are_rejected_and_the_others_are_not(
    job: Job, tmp_path: Path
) -> None:
    """Null history, null item, null and empty user, duplicate user, no known item."""
    data = table(
        ["ann", "bob", None, "", "cid", "ann", "dan", "eve"],
        [[1], None, [2], [2], [3, None], [4], [999], []],
    )
    result = job(data)
    assert users_of(tmp_path / "out") == ["ann", "eve"]  # an empty history is one
    assert reasons(tmp_path / "out") == [
        (1, "bob", "the history is null"),
        (2, None, "the user is null"),
        (3, None, "the user is null"),
        (4, "cid", "an item of the history is null"),
        (5, "ann", "the user occurs before in this shard"),
        (6, "dan", "no item of the history is in the catalog ('999', say)"),
    ]
    assert result.rejected == 6


def test_unknown_items_are_left_out_and_counted(job: Job, tmp_path: Path) -> None:
    result = job(table([1, 2], [[3, 999, 4], [3, 4]]))
    rows = answers(tmp_path / "out").to_pylist()
    assert [r["item"] for r in rows[:4]] == [r["item"] for r in rows[4:]]
    assert result.manifest["summary"]["unknown_items"] == 1
    job(table([1, 2], [[3, 999, 4], [3, 4]]), out=tmp_path / "strict", unknown_items="reject")
    assert reasons(tmp_path / "strict") == [(0, "1", "item '999' is not in the catalog")]


def test_ids_are_compared_by_their_text(job: Job, tmp_path: Path) -> None:
    """Schema drift between shards: int64 ids in one, strings in another; users become strings."""
    folder = tmp_path / "in"
    folder.mkdir()
    pq.write_table(table([7], [[3, 4]]), folder / "a.parquet")
    pq.write_table(pa.table({"user_id": ["u"], "items": [["3", "4"]]}), folder / "b.parquet")
    job(folder)
    rows = answers(tmp_path / "out").to_pylist()
    assert [r["user"] for r in rows] == ["7"] * 4 + ["u"] * 4
    assert [r["item"] for r in rows[:4]] == [r["item"] for r in rows[4:]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.parquet", b"", "empty.parquet: is empty"),
        ("empty.csv", b"", "empty.csv: is empty"),
        ("junk.parquet", b"PAR1junkjunkPAR1", "junk.parquet: cannot be read as Parquet"),
        ("text.csv", b"user_id,items\nann,\xff\xfe\n", "text.csv: cannot be read as CSV"),
        ("short.csv", b"user_id,item_id\nann,1\nbob\n", "short.csv: cannot be read as CSV"),
        ("line.jsonl", b'{"user_id": 1, "items": [1]}\n{oops\n', "line.jsonl: line 2: cannot be read as"),
        ("cut.csv.gz", gzip.compress(b"user_id,item_id\nann,1\n" * 99, mtime=0)[:-20], "cut.csv.gz: cannot"),
        ("a.txt", b"hello", "a.txt: cannot tell what its lines are"),
        ("a.xls", b"hello", "a.xls: unknown format"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read_are_named(
    job: Job, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GenretError, match=message):
        job(tmp_path / name)
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert not list((tmp_path / "out").rglob("*.partial"))


def test_an_unreadable_shard_in_the_middle_stops_nobody_else(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        pq.write_table(histories(10, first=10 * number), folder / f"{number}.parquet")
    good = (folder / "1.parquet").read_bytes()
    (folder / "1.parquet").write_bytes(good[: len(good) // 2])
    with pytest.raises(GenretError, match=r"1\.parquet: .* 1 of 4 shards could not be scored"):
        job(folder)
    out = tmp_path / "out"
    assert len(list((out / "scores").iterdir())) == 3
    assert not (out / "_SUCCESS").exists()
    (folder / "1.parquet").write_bytes(good)
    assert job(folder).users_scored_now == 10
    assert users_of(out) == list(range(40))


def test_no_rows_are_no_answers(job: Job, tmp_path: Path) -> None:
    result = job(table([], []).cast(pa.schema([("user_id", pa.int64()), ("items", INTS)])))
    assert result.manifest["summary"]["users"] == 0
    assert answers(tmp_path / "out").num_rows == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"items": [[1]]}, "found no column of the user"),
        ({"user_id": [1]}, "found no column of the item"),
        ({"user_id": [1.5], "items": [[1]]}, "column 'user_id': found double"),
        ({"user_id": [1], "items": [[1.5]]}, "column 'items': found double"),
        ({"user_id": [1], "items": [[[1]]]}, "column 'items': found list"),
    ],
)
def test_columns_of_another_kind_are_named(
    job: Job, columns: dict[str, list], message: str
) -> None:
    with pytest.raises(GenretError, match=message):
        job(pa.table(columns))


def test_a_shard_without_the_columns_of_the_others(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pq.write_table(histories(5), folder / "a.parquet")
    pq.write_table(pa.table({"user_id": [9], "basket": [[1]]}), folder / "b.parquet")
    with pytest.raises(GenretError, match=r"b\.parquet: found no column of the item; .*'basket'"):
        job(folder)
    assert not (tmp_path / "out" / "_SUCCESS").exists()


@pytest.mark.slow
def test_a_history_of_ten_thousand_items(job: Job, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    long = rng.integers(1, ITEMS - 9, 10_000).tolist()
    job(table([1, 2], [long, long[-5:]]))
    rows = answers(tmp_path / "out").to_pylist()
    newest = [r["item"] for r in rows[4:]]
    assert [r["item"] for r in rows[:4]] == newest  # the model sees the newest five
    job(table([1], [long]), out=tmp_path / "seen", exclude_seen=True)
    found = {r["item"] for r in answers(tmp_path / "seen").to_pylist()}
    assert len(found) == 4
    assert not found & set(long)


def test_a_user_who_saw_everything_is_told_of(job: Job, tmp_path: Path) -> None:
    job(table([1, 2], [list(range(1, ITEMS + 1)), [1]]), exclude_seen=True)
    (row,) = rejected(tmp_path / "out")
    assert (row["row"], row["user"]) == (0, "1")
    assert row["reason"] == "no item is allowed: the filter and the items seen leave none"
    assert users_of(tmp_path / "out") == [2]


def test_more_seen_items_than_can_be_excluded(job: Job, tmp_path: Path) -> None:
    data = table([1, 2], [list(range(1, 31)), list(range(1, 20))])
    job(data, exclude_seen=True, most_seen=20)
    assert reasons(tmp_path / "out") == [
        (0, "1", "the history has 30 distinct items, at most 20 can be excluded")
    ]


def test_filters_by_column(job: Job, tmp_path: Path) -> None:
    data = table([1, 2, 3], [[1], [1], [1]], plan=["cheap", None, "gold"])
    filters = {"where": ("cheap=price < 15", "any=price > 0"), "where_column": "plan"}
    job(data, **filters)
    assert reasons(tmp_path / "out") == [(2, "3", "unknown filter 'gold'")]
    assert users_of(tmp_path / "out") == [1, 2]
    with pytest.raises(GenretError, match="has no column 'tier'"):
        job(data, out=tmp_path / "b", **filters | {"where_column": "tier"})
    with pytest.raises(GenretError, match="has no column 'color'"):
        job(data, out=tmp_path / "c", where=("color == 'red'",))


def test_events_without_a_user_or_a_time(job: Job, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item,time\nann,1,5\n,2,6\nbob,3,\nbob,4,8\nann,2,4\n")
    job(tmp_path / "e.csv")
    assert reasons(tmp_path / "out") == [
        (1, None, "the user is null"),
        (2, "bob", "an event has no time"),
    ]
    assert users_of(tmp_path / "out") == ["ann"]


def test_folders_that_are_not_ours_are_left_alone(job: Job, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(GenretError, match=r"neither empty nor a folder of scores .found .'thesis"):
        job(histories(3))
    assert (out / "thesis.txt").read_text() == "mine"
    with pytest.raises(GenretError, match="no such file"):
        job(tmp_path / "*.nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(GenretError, match="file"):
        job(histories(3), out=tmp_path / "file")


def test_damaged_records_are_named(job: Job, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "_job.json").write_text("{")
    with pytest.raises(GenretError, match=r"_job\.json: not valid JSON"):
        job(shards)


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_the_job_goes_on_afterwards(
    run: Path, shards: Path, tmp_path: Path, job: Job
) -> None:
    """A limit on the size of files stands for the disk: the system refuses to write more."""
    out = tmp_path / "out"
    script = (
        "import resource, sys; from genret.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    options = [f"--{name}={value}" for name, value in CONFIG.items()]
    done = subprocess.run(
        [sys.executable, "-c", script, "score", str(run), "--histories", str(shards),
         "--out", str(out), "--no-all-devices", *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("genret: error:")
    assert "too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(out.rglob("*.partial"))
    assert job(shards).users_scored_now == 98


def test_a_manifest_says_what_it_was_made_with(job: Job, run: Path, tmp_path: Path) -> None:
    manifest = job(histories(3)).manifest
    assert manifest["config"]["config"]["k"] == 4
    assert set(manifest["inputs"]) == {"catalog", "codes", "index", "model"}
    assert set(manifest["config"]["versions"]) == {"genret", "jax", "pyarrow"}
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest


def test_folders_of_parts_are_no_shards(job: Job, tmp_path: Path) -> None:
    """Hive's folders lie beside files, or are all that there is: neither is skipped."""
    log = pa.table({"user_id": ["a", "a"], "item_id": [1, 2]})
    part = tmp_path / "log" / "day=1" / "part-0.parquet"
    part.parent.mkdir(parents=True)
    pq.write_table(log, part)
    message = r"day=1: is a folder, expected files alone; a pattern such as .*\*/\* names"
    for _ in range(2):
        with pytest.raises(GenretError, match=message):
            job(tmp_path / "log")
        pq.write_table(log, tmp_path / "log" / "part-1.parquet")
    with pytest.raises(GenretError, match=message):
        job(tmp_path / "log" / "*")


def test_no_other_folder_or_pipe_among_the_histories_is_skipped(job: Job, tmp_path: Path) -> None:
    days = tmp_path / "days"
    days.mkdir()
    pq.write_table(histories(3), days / "a.parquet")
    for hidden in ("_delta_log", ".cache"):  # as Spark's own folders are
        (days / hidden).mkdir()
    job(days)
    (days / "b").mkdir()
    for named in (days, days / "*"):
        with pytest.raises(GenretError, match=r"days/b: is a folder, expected files alone"):
            job(named)
    (days / "b").rmdir()
    os.mkfifo(days / "b.parquet")
    with pytest.raises(GenretError, match=r"b\.parquet: is no regular file"):
        job(days)


def test_a_shard_is_one_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("user,item\n1,2\n")
    with pytest.raises(GenretError, match="is a folder, expected a file"):
        next(read_chunks(tmp_path, "log", ScoreConfig()))
