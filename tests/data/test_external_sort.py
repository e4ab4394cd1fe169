"""What does not fit into memory is sorted on disk, with the same result to the last byte."""

from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from genret.config import IngestConfig
from genret.data import _events, _external_sort, ingest
from genret.data._external_sort import sorted_on_disk
from genret.data._rules import Events, sorted_in_memory
from genret.errors import GenretError

EVENT = st.tuples(
    st.sampled_from(["a", "b", "c", "d", None]),
    st.sampled_from([1, 2, 3, None]),
    st.sampled_from([None, 0, 1, 1, 2, -7, 10**9]),
)


def outcome(log: pa.Table, config: IngestConfig, folder: Path) -> Any:
    try:
        catalog, histories, report = ingest(log, config=config, scratch=folder)
    except GenretError as e:
        return str(e)
    assert report.on_disk == (config.memory_gib != 0)
    folder.mkdir(exist_ok=True)
    catalog.save(folder)
    histories.save(folder)
    report.save(folder)
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    for file in folder.iterdir():
        file.unlink()
    return files, report.to_dict()


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    events=st.lists(EVENT, min_size=1, max_size=40),
    timed=st.booleans(),
    duplicates=st.sampled_from(["drop", "keep"]),
    core=st.sampled_from([1, 2]),
    chunk=st.sampled_from([1, 3, 100]),
)
def test_both_ways_give_the_same_bytes(
    events: list,
    timed: bool,
    duplicates: Any,
    core: int,
    chunk: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("scratch")
    user, item, time = (list(column) for column in zip(*events, strict=True))
    log = pa.table({"user": pa.array(user, pa.string()), "item": pa.array(item, pa.int64())})
    if timed:
        log = log.append_column("time", pa.array(time, pa.int64()))
    rules = {"duplicates": duplicates, "min_user_events": core}
    with (
        mock.patch.object(_events, "CHUNK_ROWS", chunk),
        mock.patch.object(_external_sort, "_BATCH_ROWS", 5),
    ):
        on_disk = outcome(log, IngestConfig(memory_gib=1e-9, **rules), folder)
    assert on_disk == outcome(log, IngestConfig(**rules), folder)
    assert not list(folder.iterdir())


def test_the_sort_spills_and_keeps_the_order_of_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pieces = [
        Events(
            rng.integers(0, 50, 100_000).astype(np.int32),
            rng.integers(0, 9, 100_000).astype(np.int32),
            rng.integers(0, 20, 100_000),
            np.arange(k * 100_000, (k + 1) * 100_000),
        )
        for k in range(4)
    ]
    found = list(sorted_on_disk(iter(pieces), tmp_path, 256))
    expected = sorted_in_memory(iter(pieces), 400_000)
    for name in ("user", "item", "time", "row"):
        column = np.concatenate([getattr(piece, name) for piece in found])
        np.testing.assert_array_equal(column, getattr(expected, name))


def test_a_failure_is_one_line(tmp_path: Path) -> None:
    empty = np.zeros(1, np.int32)
    events = Events(empty, empty, empty.astype(np.int64), empty.astype(np.int64))
    full = duckdb.IOException("IO Error: No space left on device\n\nMore")
    with (
        mock.patch.object(duckdb, "connect", side_effect=full),
        pytest.raises(
            GenretError, match=r"on disk failed: IO Error: No space left on device More$"
        ),
    ):
        list(sorted_on_disk(iter([events]), tmp_path, 256))
    with (
        mock.patch("importlib.util.find_spec", return_value=None),
        pytest.raises(
            GenretError, match=r"DuckDB, .* is not installed: pip install 'genret\[large\]'"
        ),
    ):
        list(sorted_on_disk(iter([events]), tmp_path, 256))
