"""Ingestion against a slow obvious twin in plain Python, on small adversarial logs."""

import hashlib
import itertools
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from genret.config import ColumnsConfig, IngestConfig
from genret.data import (
    Catalog,
    IngestReport,
    SplitHistories,
    _events,
    _sources,
    ingest,
)
from genret.errors import GenretError

Event = tuple[Any, Any, Any]  # user, item, second; any of them None
Item = tuple[Any, Any]  # id, title


def slow_ingest(
    events: list[Event], items: list[Item] | None, timed: bool, config: IngestConfig
) -> dict[str, object] | None:
    """The rules as the documentation states them; None where nothing usable is left."""
    missing = (None, "")
    counts: dict[str, int] = {}
    titles: dict[str | int, str] = {}
    if items is not None:
        counts["item rows read"] = len(items)
        counts["item rows without an id"] = sum(i in missing for i, _ in items)
        counts["item rows with an id seen before"] = 0
        counts["items without a title"] = 0
        for item, title in items:
            if item in missing:
                continue
            if item in titles:
                counts["item rows with an id seen before"] += 1
                continue
            blank = title is None or not title.strip()
            counts["items without a title"] += blank
            titles[item] = str(item) if blank else title
        if not titles:
            return None

    counts["rows read"] = len(events)
    order_of_users = list(dict.fromkeys(u for u, _, _ in events if u not in missing))

    def drop(rule: str, bad: list[bool]) -> None:
        nonlocal events
        counts[rule] = sum(bad)
        events = [e for e, b in zip(events, bad, strict=True) if not b]

    drop("rows without a user", [u in missing for u, _, _ in events])
    drop("rows without an item", [i in missing for _, i, _ in events])
    if timed:
        drop("rows without a time", [t is None for _, _, t in events])
    if items is not None:
        unknown = [i not in titles for _, i, _ in events]
        if any(unknown) and config.unknown_items == "error":
            return None
        drop("rows of items not in the items files", unknown)
    else:
        titles = {i: str(i) for _, i, _ in events}
    if timed:
        seen: set[Event] = set()
        again = []
        for event in events:
            again.append(event in seen)
            seen.add(event)
        if config.duplicates == "drop":
            drop("rows equal in user, item and time", again)
        else:
            counts["rows equal in user, item and time"] = sum(again)
    if config.min_user_events > 1 or config.min_item_events > 1:
        core = events
        while True:
            users, its = Counter(e[0] for e in core), Counter(e[1] for e in core)
            # One at a time, the slowest order there is: the k-core is the same for any.
            poor = [
                e
                for e in core
                if users[e[0]] < config.min_user_events or its[e[1]] < config.min_item_events
            ]
            if not poor:
                break
            core = [e for e in core if e[:2] != poor[0][:2]]
        for rule, at in (("users outside the k-core", 0), ("items outside the k-core", 1)):
            counts[rule] = len({e[at] for e in events}) - len({e[at] for e in core})
        counts["rows outside the k-core"] = len(events) - len(core)
        events = core
    if not events or len(titles) < 2:
        return None

    histories = {u: [e for e in events if e[0] == u] for u in order_of_users}
    histories = {u: h for u, h in histories.items() if h}
    if timed:
        for user in histories:
            histories[user].sort(key=lambda e: e[2])  # stable
        counts["ties in time of a user"] = sum(
            a[2] == b[2] for h in histories.values() for a, b in itertools.pairwise(h)
        )
    else:
        counts["rows without times"] = len(events)
    splits = slow_split(list(histories.values()), timed, config)
    if splits is None:
        return None
    lengths = [len(h) for h in histories.values()]
    counts["users with one event"] = lengths.count(1)
    if config.split == "leave-one-out":
        counts["users with two events"] = lengths.count(2)
    else:
        counts["users without training events"] = sum(s[0] == 0 for s in splits)
    counts["items without events"] = len(titles) - len({e[1] for e in events})
    ordered = sorted(titles, key=lambda i: hashlib.blake2b(str(i).encode(), digest_size=8).digest())
    return {
        "items": [(i, titles[i]) for i in ordered],
        "histories": [(u, [(i, t) for _, i, t in h]) for u, h in histories.items()],
        "splits": splits,
        "counts": counts,
    }


def slow_split(
    histories: list[list[Event]], timed: bool, config: IngestConfig
) -> list[tuple[int, int, int]] | None:
    if config.split == "leave-one-out":
        return [
            (len(h) - 2, len(h) - 2, len(h) - 1) if len(h) >= 3 else (len(h), -1, -1)
            for h in histories
        ]
    if not timed:
        return None
    times = sorted(t for h in histories for _, _, t in h)
    n = len(times)
    test = times[min(n - 1, round(n * (1 - config.test_fraction)))]
    valid = times[min(n - 1, round(n * (1 - config.test_fraction - config.valid_fraction)))]
    if not times[0] < valid < test:
        return None
    splits = []
    for h in histories:
        first = {"train": 0, "valid": -1, "test": -1}
        for at, (_, _, t) in enumerate(h):
            part = "train" if t < valid else "valid" if t < test else "test"
            if part == "train":
                first["train"] += 1
            elif first[part] < 0:
                first[part] = at
        splits.append((first["train"], first["valid"], first["test"]))
    return splits


def as_python(
    catalog: Catalog, histories: SplitHistories, report: IngestReport, timed: bool
) -> dict[str, object]:
    """The outcome in the shape of the twin's."""
    ids = catalog.item_ids.tolist()
    assert timed == (histories.events.times is not None)
    times = (
        [None] * report.events
        if histories.events.times is None
        else histories.events.times.tolist()
    )
    events = [
        (ids[i], t if t is None else t // 10**6)
        for i, t in zip(histories.events.items, times, strict=True)
    ]
    bounds = histories.events.offsets.tolist()
    cut = [events[a:b] for a, b in itertools.pairwise(bounds)]
    splits = zip(histories.train_end, histories.valid_at, histories.test_at, strict=True)
    return {
        "items": list(zip(ids, catalog.titles, strict=True)),
        "histories": list(zip(histories.user_ids.to_pylist(), cut, strict=True)),
        "splits": [tuple(map(int, s)) for s in splits],
        "counts": {r.name: r.count for r in report.rules if r.name != "rows with a bad time"},
    }


IDS: dict[str, list] = {
    "string": ["a", "b", "c", "007", "7", "ü\t1", "", None],
    "int": [0, 1, 2, -3, 2**62, None],
}


@st.composite
def logs(draw: st.DrawFn) -> dict:
    user_ids, item_ids = (IDS[draw(st.sampled_from(["string", "int"]))] for _ in range(2))
    timed = draw(st.booleans())
    event = st.tuples(
        st.sampled_from(user_ids[:4] + user_ids[-2:]),
        st.sampled_from(item_ids),
        st.sampled_from([None, 0, 1, 1, 2, 3, 50, 51, 10**9]) if timed else st.none(),
    )
    title = st.sampled_from([None, "", " ", "Amélie", "映画 🎬", "Amélie"])
    item = st.tuples(st.sampled_from(item_ids), title)
    bounds: dict[str, Any] = {"min_size": draw(st.sampled_from([1, 12])), "max_size": 40}
    config = IngestConfig(
        min_user_events=draw(st.sampled_from([1, 1, 1, 2, 3])),
        min_item_events=draw(st.sampled_from([1, 1, 1, 2, 3])),
        duplicates=draw(st.sampled_from(["drop", "keep"])),
        unknown_items=draw(st.sampled_from(["drop", "drop", "drop", "drop", "error"])),
        split=draw(st.sampled_from(["leave-one-out", "by-time"] if timed else ["leave-one-out"])),
        valid_fraction=draw(st.sampled_from([0.1, 0.3])),
        test_fraction=draw(st.sampled_from([0.1, 0.4])),
    )
    return {
        "events": draw(st.lists(event, **bounds)),
        "items": draw(
            st.none()
            | st.lists(item, min_size=1, max_size=12)
            | st.lists(item, min_size=6, max_size=12)
        ),
        "timed": timed,
        "config": config,
        "chunk": draw(st.sampled_from([1, 3, 1 << 20])),
    }


def tables(events: list[Event], items: list[Item] | None, timed: bool) -> tuple:
    """The log as Arrow tables whose ids have a type even where all are null."""

    def ids(values: list) -> pa.Array:
        return pa.array(values, pa.int64() if any(type(v) is int for v in values) else pa.string())

    users, its, times = zip(*events, strict=True)
    known = [i for i, _ in items or []]
    both = ids(list(its) + known)
    log = {"user_id": ids(list(users)), "item_id": both[: len(its)]}
    if timed:
        log["timestamp"] = pa.array(times, pa.int64())
    if items is None:
        return pa.table(log), None
    titles = pa.array([t for _, t in items], pa.string())
    return pa.table(log), pa.table({"item_id": both[len(its) :], "title": titles})


@hypothesis.settings(max_examples=100)
@hypothesis.given(log=logs())
def test_equals_the_slow_twin(log: dict) -> None:
    expected = slow_ingest(log["events"], log["items"], log["timed"], log["config"])
    interactions, items = tables(log["events"], log["items"], log["timed"])
    with (
        mock.patch.object(_events, "CHUNK_ROWS", log["chunk"]),
        mock.patch.object(_sources, "BATCH_ROWS", min(log["chunk"], 2)),
    ):
        if expected is None:
            with pytest.raises(GenretError):
                ingest(interactions, items, config=log["config"])
            return
        catalog, histories, report = ingest(interactions, items, config=log["config"])
    found = as_python(catalog, histories, report, log["timed"])
    for part in ("counts", "items", "histories", "splits"):
        assert found[part] == expected[part], part
    histories.check_leaks()
    assert report.users == histories.num_users
    assert report.items == catalog.num_items
    assert report.events == len(histories.events.items)
    dropped = [r.count for r in report.rules if r.name.startswith("row") and "drop" in r.action]
    assert report.count("rows read") - sum(dropped) == report.events
    assert (report.valid, report.test) == tuple(
        len(histories.held_out(part).targets) for part in ("valid", "test")
    )


def test_the_twin_is_given_logs_that_survive() -> None:
    """A property test whose examples are all refused would prove nothing."""
    survived = []

    @hypothesis.settings(max_examples=100, derandomize=True, database=None)
    @hypothesis.given(log=logs())
    def look(log: dict) -> None:
        twin = slow_ingest(log["events"], log["items"], log["timed"], log["config"])
        survived.append(twin is not None)

    look()
    assert sum(survived) > 30


def test_report_adds_up_and_converts() -> None:
    log = pa.table({"user": list("aabbb"), "item": [1, 1, 1, 2, None], "time": [5, 5, 6, 7, 8]})
    _, _, report = ingest(log)
    assert report.rows()[-5:] == [
        ("users", 2, "have a history"),
        ("items", 2, "are in the catalog"),
        ("events", 3, "are in histories"),
        ("validation", 0, "users have a held-out item"),
        ("test", 0, "users have a held-out item"),
    ]
    assert report.to_dict()["rules"][0] == {
        "name": "rows read", "count": 5, "action": "from 1 file(s)",
    }  # fmt: skip
    assert report.count("rows without an item") == 1
    assert report.count("no such rule") == 0


def test_rows_of_several_files_are_one_log() -> None:
    log = pa.table({"user": list("abab"), "item": list("wxyz"), "time": [4, 3, 2, 1]})
    whole, parts = ingest(log), ingest([log[:1], log[1:3], log[3:]])
    assert parts[0].table.equals(whole[0].table)
    np.testing.assert_array_equal(parts[1].events.items, whole[1].events.items)
    assert parts[2].files == ("interactions",) * 3


def test_ids_of_different_types_meet_by_their_text(tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text("item_id,title\n1,One\n2,Two\n10,Ten\n")
    log = pa.table({"user": [1, 1], "item": pa.array([10, 2], pa.uint8())})
    catalog, histories, _ = ingest(log, file)
    assert [catalog.titles[i] for i in histories.events.items] == ["Ten", "Two"]
    assert catalog.table.schema.field("item_id").type == pa.int64()


def test_items_of_several_files_share_columns(tmp_path: Path) -> None:
    first = pa.table({"item_id": ["a", "b"], "title": ["A", "B"], "brand": ["x", None]})
    second = pa.table({"price": [1.5, 2.5], "title": ["again", "C"], "item_id": ["a", "c"]})
    log = pa.table({"user": [1, 1, 1], "item": list("abc")})
    catalog, _, report = ingest(log, [first, second])
    rows = {row["item_id"]: row for row in catalog.table.to_pylist()}
    assert rows["a"] == {"item_id": "a", "title": "A", "brand": "x", "price": None}
    assert rows["c"] == {"item_id": "c", "title": "C", "brand": None, "price": 2.5}
    assert report.count("item rows with an id seen before") == 1


@pytest.mark.parametrize("order", [["name", "x", "code"], ["x", "code", "name"]])
def test_columns_are_found_and_chosen(order: list[str], tmp_path: Path) -> None:
    items = pa.table({"code": [1, 2], "name": ["One", "Two"], "x": [5, 6]}).select(order)
    pa.parquet.write_table(items, tmp_path / "i.parquet")
    pa.csv.write_csv(items, tmp_path / "i.csv")
    log = pa.table(
        {"who": ["u", "u"], "code": [2, 1], "item": [0, 0], "at": [3, 4], "time": [9, 0]}
    )
    columns = ColumnsConfig(user="who", item="code", time="at", title="name")
    for file in ("i.parquet", "i.csv"):
        catalog, histories, _ = ingest(log, tmp_path / file, columns=columns)
        assert [catalog.titles[i] for i in histories.events.items] == ["Two", "One"]
        assert catalog.table["x"].to_pylist() == [{1: 5, 2: 6}[i] for i in catalog.item_ids]
        assert histories.events.times is not None
        assert histories.events.times.tolist() == [3_000_000, 4_000_000]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_id_may_be_the_title(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"i.{suffix}"
    items = pa.table({"x": [5, 6], "item_id": ["p", "q"]})
    pa.csv.write_csv(items, file) if suffix == "csv" else pa.parquet.write_table(items, file)
    log = pa.table({"user": [1, 1], "item": ["p", "q"]})
    catalog, _, _ = ingest(log, file, columns=ColumnsConfig(title="item_id"))
    assert catalog.titles == catalog.item_ids.tolist()
    assert catalog.table.column_names == ["item_id", "title", "x"]


LOG = pa.table({"user": list("aaab"), "item": [3, 1, 2, 3], "time": [5, 9, 7, 1]})


def changed(column: str, values: list, kind: pa.DataType | None = None) -> pa.Table:
    return LOG.set_column(LOG.column_names.index(column), column, pa.array(values, kind))


@pytest.mark.parametrize(
    ("log", "items", "message"),
    [
        (LOG.drop_columns(["user"]), None, r"interactions: found no column of the user; its.*'item'"),
        (changed("item", [1.0, 2.5, 3.0, 4.0]), None, r"'item': found double with 2.5, expected strings"),
        (changed("user", [[1]] * 4), None, r"interactions: column 'user': found list"),
        (changed("time", [True] * 4), None, r"column 'time': found bool, expected seconds"),
        (changed("time", [7, 8, -(10**11), 9]), None, r"1 of 4 rows .*row 3: found -100000000000\), exp"),
        (changed("time", [7, 8, 10**11, 9]), None, r"1 of 4 rows .*row 3: found 100000000000\)"),
        (changed("time", [10**12, 10**9, 10**12, 10**12]), None, r"row 2: found 1000000000\)"),
        (changed("time", [7.0, float("inf"), 8, 9]), None, r"row 2: found inf"),
        (changed("time", ["7", "x", "2020-01-01", "9"]), None, r"2 of 4 rows .*row 2: found 'x'.*row 3"),
        (changed("user", [None] * 4), None, r"no interactions are left \(rows read: 4; rows without"),
        (changed("item", [1] * 4), None, r"interactions: makes a catalog of 1 item, expected at"),
        (LOG[:0], None, r"interactions: has a header but no rows"),
        ([], None, r"interactions: no files given"),
        ([LOG, LOG.drop_columns(["time"])], None, r"interactions: lacks times, unlike"),
        (LOG, pa.table({"title": ["x"]}), r"items: found no column of the item; its columns are"),
        (LOG, pa.table({"item_id": pa.array([None], pa.int64())}), r"items: has no items: no row wi"),
        (LOG, pa.table({"item_id": [7, 8]}), r"no interactions are left .*not in the items files: 4"),
        (LOG, pa.table({"item_id": [1, 2], "title": [["x"], []]}), r"title's column has the type li"),
        (LOG, [pa.table({"item_id": [1], "x": ["s"]}), pa.table({"item_id": [2], "x": [1]})],
         r"items: the files disagree about a column: .*x"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(log: object, items: object, message: str) -> None:
    with pytest.raises(GenretError, match=message) as found:
        ingest(log, items)
    assert "\n" not in str(found.value)


def test_a_reserved_name_in_the_items_is_refused() -> None:
    items = pa.table({"item": [1, 2], "item_id": [3, 4]})
    with pytest.raises(GenretError, match="items: column 'item_id' is neither the chosen id nor"):
        ingest(LOG, items, columns=ColumnsConfig(item="item"))


def test_unknown_items_are_refused_by_name() -> None:
    with pytest.raises(GenretError, match=r"item '3' is not in the items files \(2 rows of 1 unk"):
        ingest(LOG, pa.table({"item_id": [1, 2]}), config=IngestConfig(unknown_items="error"))


def test_split_by_time_needs_times() -> None:
    with pytest.raises(GenretError, match="split by-time: the interactions have no times"):
        ingest(LOG.drop_columns(["time"]), config=IngestConfig(split="by-time"))


def test_a_chosen_column_must_be_there() -> None:
    for role in ("user", "item", "time"):
        with pytest.raises(GenretError, match=r"interactions: has no column 'zz'; its columns are"):
            ingest(LOG, columns=ColumnsConfig(**{role: "zz"}))


def test_office_is_as_its_readme_says(shared_data: Path) -> None:
    folder = shared_data / "office"
    catalog, histories, report = ingest(folder / "inter.json", folder / "item.json")
    assert (report.users, report.items, report.events) == (4905, 2420, 53258)
    assert report.valid == report.test == 4905
    assert histories.events.times is None
    assert catalog.table.schema.field("item_id").type == pa.int64()
    assert all(title.strip() for title in catalog.titles)
    assert min(np.diff(histories.events.offsets)) >= 3


def test_beauty_is_as_its_readme_says(shared_data: Path) -> None:
    _, histories, report = ingest(shared_data / "beauty" / "inter.json")
    assert (report.users, report.items, report.events) == (22363, 12101, 198502)
    histories.check_leaks()


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("bought_at",), "bought_at"),
        (("orderDate",), "orderDate"),
        (("bought_at", "ts"), "ts"),  # a usual name comes first
        (("bought_at", "paid_at"), ""),  # either could be it
        (("chat",), ""),
    ],
)
def test_a_column_that_is_called_like_a_time_is_one(names: tuple[str, ...], found: str) -> None:
    log = pa.table({"user": list("aaa"), "item": [3, 1, 2]} | {name: [9, 7, 5] for name in names})
    catalog, histories, report = ingest(log)
    assert report.sources[0].roles["time"].split(" ")[0] == found
    taken = catalog.item_ids[histories.events.items].tolist()
    assert taken == ([2, 1, 3] if found else [3, 1, 2])
    told = [line for line in report.said() if line.startswith("no column of times")]
    assert len(told) == (found == "")


def test_a_log_without_test_items_says_so() -> None:
    *_, report = ingest(pa.table({"user": list("aabb"), "item": [3, 1, 2, 1], "ts": [1, 2, 3, 4]}))
    assert report.test == 0
    assert any(line.startswith("no user has a test item") for line in report.said())
