"""JSON lines by all of their lines: what is read does not depend on their order or on blocks."""

import json
import random
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from genret.data import _json_lines, _streams, ingest, open_sources
from genret.errors import GenretError

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.just(2**70), st.sampled_from([1.5, 2.0, -3e8]),
    st.sampled_from(["", "a", "5", "2020-01-01", "1e3", "\u00fc\x00\U0001f600", "\n"]),
)  # fmt: skip
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(
    st.sampled_from("xy"), SCALARS, max_size=2,
))  # fmt: skip
NARROW = [
    st.integers(-5, 5) | st.none(),
    st.sampled_from([1.5, None, 4]),
    st.text("ab", max_size=2),
]


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    fields = {name: draw(st.sampled_from([*NARROW, VALUES])) for name in "abc"}
    row = st.fixed_dictionaries({}, optional=fields)
    return draw(st.lists(row, min_size=1, max_size=12).filter(any))


def read(file: Path, columns: list[str] | None = None) -> dict[str, Any]:
    (source,) = open_sources(file, "interactions")
    assert source.schema is not None
    names = list(source.columns) if columns is None else columns
    table = pa.Table.from_batches(list(source.read(names)))
    assert table.schema.types == [source.schema.field(n).type for n in names]
    return {n: [str(table[n].type), table[n].to_pylist()] for n in names}


@hypothesis.settings(max_examples=100)
@hypothesis.given(rows=rows(), seed=st.integers(0, 9), block=st.sampled_from([200, 1 << 20]))
def test_neither_order_nor_blocks_nor_the_parser_matter(
    rows: list[dict[str, Any]], seed: int, block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    for name, chosen in (("a", range(len(rows))), ("b", order)):
        lines = [json.dumps(rows[k], ensure_ascii=k % 2 == 0) for k in chosen]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8", newline="\n")
    with mock.patch.object(_streams, "BLOCK_BYTES", block):
        first = read(folder / "a.jsonl")
        again = read(folder / "b.jsonl")
    with mock.patch.object(_json_lines, "_read", return_value=None):  # Python alone
        slow = read(folder / "a.jsonl")
    assert first == slow
    assert set(first) == set(again) == {name for row in rows for name in row}
    for name, (kind, values) in first.items():
        assert sorted(again[name][0]) == sorted(kind)  # fields of objects may come in another order
        assert again[name][1] == [values[k] for k in order]
        assert read(folder / "a.jsonl", [name])[name] == first[name]


LATE = [
    (None, 5, "int64", [None, 5]),
    (5, 5.5, "double", [5.0, 5.5]),
    (["a"], "a", "string", ['["a"]', "a"]),
    ([1], ["a"], "list<item: string>", [["1"], ["a"]]),
    (5, "5", "string", ["5", "5"]),
    (5.0, "5", "string", ["5", "5"]),
    ({"x": 1}, {"y": "b"}, "struct<x: int64, y: string>", [{"x": 1, "y": None}, {"x": None, "y": "b"}]),
    ({"size": "L"}, "red", "string", ['{"size": "L"}', "red"]),
    (True, 1, "string", ["true", "1"]),
    ("2020-01-01", "x", "string", ["2020-01-01", "x"]),
]  # fmt: skip


@pytest.mark.parametrize(("early", "late", "kind", "values"), LATE)
def test_what_comes_after_the_first_block_counts(
    early: Any, late: Any, kind: str, values: list, tmp_path: Path
) -> None:
    lines = [{"k": 0, "v": early}] + [{"k": 1, "pad": "x" * 50}] * 40 + [{"k": 2, "v": late}]
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with mock.patch.object(_streams, "BLOCK_BYTES", 500):
        found = read(file)
    assert found["v"][0] == kind
    assert [found["v"][1][0], found["v"][1][-1]] == values


def test_a_late_time_orders_all_events(tmp_path: Path) -> None:
    lines = [{"user": "u", "item": i, "timestamp": 1_700_000_000 - i} for i in range(50)]
    for line in lines[:-1]:
        line["pad"] = "x" * 30
    del lines[0]["timestamp"]
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with mock.patch.object(_streams, "BLOCK_BYTES", 60):
        catalog, histories, report = ingest(file)
    assert report.count("rows without a time") == 1
    assert catalog.item_ids[histories.events.items].tolist() == list(range(49, 0, -1))


def test_a_field_that_is_not_read_may_mix_types(tmp_path: Path) -> None:
    styles: list[Any] = [{"size": "L"}, "red", 5, ["a", {"b": 1}], None]
    file = tmp_path / "x.jsonl"
    file.write_text(
        "".join(
            f'{{"user":"u","item":{k},"style":{json.dumps(s)}}}\n' for k, s in enumerate(styles)
        )
    )
    assert ingest(file)[2].events == 5


def test_ids_that_mix_numbers_and_text_are_compared_by_text(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"user":1,"item":7}\n{"user":"1","item":"7"}\n{"user":1,"item":"b"}\n')
    catalog, histories, _ = ingest(file)
    assert histories.user_ids.to_pylist() == ["1"]
    assert catalog.item_ids[histories.events.items].tolist() == ["7", "7", "b"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a":1,"a":2}', "cannot be read as JSON: the key 'a' occurs more than once"),
        (b'{"x":{"a":1,"a":2}}', "cannot be read as JSON: the key 'a' occurs more than once"),
        (b'{"a":1', "cannot be read as JSON"),
        (b'{"a":1} {"a":2}', "cannot be read as JSON: Extra data"),
        (b'{"a":\n1}', "cannot be read as JSON"),
        (b"[1]", "found an array, expected a JSON object"),
        (b"5", "found a number, expected a JSON object"),
        (b'{"a":"\xff"}', "is not valid UTF-8"),
        (b'{"a":"\\udc00"}', "found half of a surrogate pair"),
        (b"{" * 3000, "cannot be read as JSON"),
    ],
)
@pytest.mark.parametrize("block", [20, 1 << 20])
def test_a_bad_line_is_named(line: bytes, message: str, block: int, tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"a":1}\r\n\r\n{"a":2}\n' + line + b'\n{"a":3}\n')
    with (
        mock.patch.object(_streams, "BLOCK_BYTES", block),
        pytest.raises(GenretError, match=f"line 4: {message}|line 4: is longer"),
    ):
        open_sources(file, "interactions")
