"""Parquet in pieces: all rows in order whatever the row groups, and no more memory for more of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from genret.parquet import read_batches


@given(sizes=st.lists(st.integers(0, 7), max_size=6), rows=st.integers(1, 9))
def test_all_rows_in_order(sizes: list[int], rows: int) -> None:
    """Groups without rows, files without groups, batches that are smaller and larger than groups."""
    sink = pa.BufferOutputStream()
    schema = pa.schema([("a", pa.int64()), ("b", pa.list_(pa.int32()))])
    start = 0
    with pq.ParquetWriter(sink, schema) as writer:
        for size in sizes:
            numbers = range(start, start + size)
            lists = [[number] * (number % 3) for number in numbers]
            writer.write_table(pa.table({"a": numbers, "b": lists}, schema=schema))
            start += size
    batches = list(read_batches(pq.ParquetFile(pa.BufferReader(sink.getvalue())), rows, ["b", "a"]))
    assert all(0 < batch.num_rows <= rows for batch in batches)
    found = pa.Table.from_batches(batches, pa.schema([schema.field("a"), schema.field("b")][::-1]))
    assert found["a"].to_pylist() == list(range(start))
    assert found["b"].to_pylist() == [[number] * (number % 3) for number in range(start)]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    rng, most = np.random.default_rng(0), {}
    for groups in (3, 24):
        path = tmp_path / f"{groups}.parquet"
        table = pa.table({"a": rng.random(groups * 50_000)})
        pq.write_table(table, path, row_group_size=50_000, compression="none")
        del table
        before, held = pa.total_allocated_bytes(), 0
        with pq.ParquetFile(path) as file:
            for _ in read_batches(file, 10_000, ["a"]):
                held = max(held, pa.total_allocated_bytes() - before)
        most[groups] = held
    assert most[24] <= 1.5 * most[3]
