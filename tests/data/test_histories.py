"""Histories: what is for training, what is held out, and their file."""

import dataclasses
import errno
import operator
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from genret.artifacts import write_folder
from genret.config import IngestConfig
from genret.data import (
    Catalog,
    SplitHistories,
    _histories,
    _histories_file,
    _leaks,
    ingest,
    load_run_data,
)
from genret.errors import GenretError
from genret.histories import Histories


def example(timed: bool = True, split: Any = "leave-one-out", seed: int = 0) -> tuple:
    rng = np.random.default_rng(seed)
    users, items, times = rng.integers(0, [12, 9, 1000], (60, 3)).T
    log = pa.table({"user": [f"u{u}" for u in users], "item": items, "time": times})
    log = log if timed else log.drop_columns(["time"])
    return ingest(log, config=IngestConfig(split=split))[:2]


@hypothesis.given(seed=st.integers(0, 1000), split=st.sampled_from(["leave-one-out", "by-time"]))
def test_training_and_held_out_events(seed: int, split: str) -> None:
    _, h = example(split=split, seed=seed)
    cut, times = h.events.to_lists(), h.events.times
    training = h.training()
    assert training.to_lists() == [c[:end] for c, end in zip(cut, h.train_end, strict=True)]
    assert training.users.tolist() == list(range(h.num_users))
    for part, at in (("valid", h.valid_at), ("test", h.test_at)):
        held = h.held_out(part)
        users = held.histories.users
        assert users.tolist() == [u for u in range(h.num_users) if at[u] >= 0]
        assert held.targets.tolist() == [cut[u][at[u]] for u in users]
        assert held.histories.to_lists() == [cut[u][: at[u]] for u in users]
        starts = h.events.offsets[:-1]
        expected = [times[starts[u] : starts[u] + at[u]] for u in users]
        np.testing.assert_array_equal(held.histories.times, np.concatenate([[], *expected]))
        assert held.take(np.arange(len(held))[::-1]).targets.tolist() == held.targets[::-1].tolist()


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("group", [1, 5, 1 << 17])
def test_round_trip(timed: bool, group: int, tmp_path: Path) -> None:
    _, histories = example(timed)
    with mock.patch.object(_histories_file, "_USERS_A_GROUP", group):
        histories.save(tmp_path)
    loaded = SplitHistories.load(tmp_path)
    assert loaded.user_ids.equals(histories.user_ids)
    assert loaded.split == histories.split
    fields = [("events", name) for name in ("offsets", "items", "times")]
    for field in [*fields, ("train_end",), ("valid_at",), ("test_at",)]:
        was, now = map(operator.attrgetter(".".join(field)), (histories, loaded))
        assert (was is None) == (now is None)
        if was is not None:
            assert was.dtype == now.dtype
            np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("ids", ["text", "numbers"])
def test_what_does_not_fit_into_memory_is_mapped(timed: bool, ids: str, tmp_path: Path) -> None:
    """Files without a name hold what memory held, in every part."""
    _, made = example(timed)
    users = {
        "text": pa.array([f"ü{u}" for u in range(made.num_users)]),
        "numbers": pa.array(np.arange(made.num_users) * 2**40),
    }[ids]
    dataclasses.replace(made, user_ids=users).save(tmp_path)
    small = {"MOST_IN_MEMORY": 0, "_USERS_A_PIECE": 3}
    with (
        mock.patch.multiple(_histories_file, **small),
        mock.patch.object(_histories, "_USERS_A_PIECE", 2),
        mock.patch.object(_leaks, "_USERS_A_PIECE", 2),
    ):
        mapped = SplitHistories.load(tmp_path, scratch=tmp_path)
        found = [mapped.training(), *(mapped.held_out(part) for part in ("valid", "test"))]
    assert [f.name for f in tmp_path.iterdir()] == ["histories.parquet"]
    assert not mapped.events.items.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        mapped.events.items[0] = 1
    held = SplitHistories.load(tmp_path, scratch=tmp_path)  # few events: in memory
    assert (mapped.scratch, held.scratch) == (tmp_path, None)
    assert mapped.user_ids.to_pylist() == held.user_ids.to_pylist() == users.to_pylist()
    assert mapped.row_of(str(users[1])) == 1
    for part in ("train_end", "valid_at", "test_at"):
        np.testing.assert_array_equal(getattr(mapped, part), getattr(held, part))
    expected = [held.training(), *(held.held_out(part) for part in ("valid", "test"))]
    same_histories(mapped.events, held.events)
    same_histories(found[0], expected[0])
    for one, other in zip(found[1:], expected[1:], strict=True):
        same_histories(one.histories, other.histories)
        np.testing.assert_array_equal(one.targets, other.targets)
        assert one.targets.dtype == other.targets.dtype


def same_histories(found: Histories, expected: Histories) -> None:
    for name in ("offsets", "items", "times", "users"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_a_disk_without_room_for_what_does_not_fit(tmp_path: Path) -> None:
    example()[1].save(tmp_path)
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        mock.patch.object(_histories_file, "MOST_IN_MEMORY", 0),
        mock.patch("tempfile.TemporaryFile", side_effect=full),
        pytest.raises(GenretError, match=r"cannot hold the histories.*: No space left on device"),
    ):
        SplitHistories.load(tmp_path, scratch=tmp_path)


def test_by_time_stays_by_time(tmp_path: Path) -> None:
    example(split="by-time")[1].save(tmp_path)
    assert SplitHistories.load(tmp_path).split == "by-time"


def test_equal_histories_make_equal_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        example()[1].save(tmp_path / name)
        files.append((tmp_path / name / "histories.parquet").read_bytes())
    assert files[0] == files[1]


def spoil(folder: Path, column: str, values: list | None, kind: pa.DataType | None = None) -> None:
    """Write histories of two users whose one column is spoilt (None: left out)."""
    table = pa.table(
        {
            "user_id": ["a", "b"],
            "items": pa.array([[0, 1, 2], [1]], pa.list_(pa.int32())),
            "times": pa.array([[5, 6, 7], [5]], pa.list_(pa.int64())),
            "train_end": pa.array([1, 1], pa.int32()),
            "valid_at": pa.array([1, -1], pa.int32()),
            "test_at": pa.array([2, -1], pa.int32()),
        }
    )
    at = table.column_names.index(column)
    if values is None:
        table = table.remove_column(at)
    else:
        kind = kind or table.schema.field(at).type
        table = table.set_column(at, column, pa.array(values, kind))
    split = {"split": "leave-one-out"}
    pq.write_table(table.replace_schema_metadata(split), folder / "histories.parquet")


@pytest.mark.parametrize(
    ("column", "values", "kind", "message"),
    [
        ("items", None, None, "column 'items' is missing or has nulls"),
        ("user_id", ["a", None], None, "column 'user_id' is missing or has nulls"),
        ("items", [[0, 1, 2], None], None, "column 'items' is missing or has nulls"),
        ("items", [[0, None, 2], [1]], None, "column 'items' has nulls"),
        ("times", [[5, None, 7], [5]], None, "column 'times' has nulls"),
        ("times", [[5, 6, 7], None], None, "column 'times' has nulls"),
        ("times", [[5, 6], [5]], None, "'items' and 'times' have different lengths"),
        ("items", [[0.0, 1, 2], [1]], pa.list_(pa.float32()), "is list<.*>, expected lists of int"),
        ("items", [0, 1], pa.int32(), "'items' is int32, expected lists of integers"),
        ("train_end", ["x", "y"], pa.string(), "'train_end' is string, expected int32"),
        ("test_at", [2.0, -1.0], pa.float64(), "'test_at' is double, expected int32"),
        (
            "train_end",
            [2, 1],
            None,
            "leak: user 'a' has its validation event among training events",
        ),
        ("times", [[5, 9, 7], [5]], None, "leak: user 'a' has events out of time order"),
    ],
)
def test_what_are_no_histories(
    column: str, values: list | None, kind: pa.DataType | None, message: str, tmp_path: Path
) -> None:
    spoil(tmp_path, "times", [[5, 6, 7], [5]])
    assert SplitHistories.load(tmp_path).events.items.tolist() == [
        0,
        1,
        2,
        1,
    ]  # sound before it is spoilt
    spoil(tmp_path, column, values, kind)
    with pytest.raises(GenretError, match=message):
        SplitHistories.load(tmp_path)


def test_a_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(GenretError, match=r"histories\.parquet: no such file"):
        SplitHistories.load(tmp_path)
    (tmp_path / "histories.parquet").write_bytes(b"junk")
    with pytest.raises(GenretError, match=r"histories\.parquet: cannot be read as Parquet"):
        SplitHistories.load(tmp_path)
    pq.write_table(pa.table({"user_id": ["a"]}), tmp_path / "histories.parquet")
    with pytest.raises(GenretError, match="column 'items' is missing"):
        SplitHistories.load(tmp_path)


def save_run(folder: Path, catalog: Catalog, histories: SplitHistories) -> Path:
    with write_folder(folder / "catalog", "catalog", config={}, summary={}) as target:
        catalog.save(target)
        histories.save(target)
    return folder / "catalog"


def test_the_data_of_a_run(tmp_path: Path) -> None:
    catalog, histories = example()
    folder = save_run(tmp_path, catalog, histories)
    for path in (tmp_path, folder):
        loaded, again = load_run_data(path)
        assert loaded.table.equals(catalog.table)
        np.testing.assert_array_equal(again.events.items, histories.events.items)
    file = folder / "histories.parquet"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(GenretError, match=r"histories\.parquet"):
        load_run_data(tmp_path)


def test_histories_of_another_catalog(tmp_path: Path) -> None:
    catalog, histories = example()
    save_run(tmp_path, Catalog(catalog.table[:5]), histories)
    with pytest.raises(GenretError, match=r"column 'items': entry \d+ is \d+, expected 0 to 4"):
        load_run_data(tmp_path)
