"""Parquet files read in pieces, in memory that does not grow with the file."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq


def read_batches(
    file: pq.ParquetFile, rows: int, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file in batches.

    Asked for a whole file, Arrow keeps what it has read of each row group until the end, which is
    the whole file. Here it is asked for a few row groups after the other: as many as fill a batch.

    Args:
      file: the open file.
      rows: most rows of a batch.
      columns: names of the columns.

    >>> import io
    >>> buffer = io.BytesIO()
    >>> pq.write_table(pa.table({"a": range(7), "b": range(7)}), buffer, row_group_size=2)
    >>> batches = read_batches(pq.ParquetFile(buffer), 3, ["a"])
    >>> [batch["a"].to_pylist() for batch in batches]
    [[0, 1, 2], [3], [4, 5, 6]]
    """
    groups: list[int] = []
    held, last = 0, file.num_row_groups - 1
    for number in range(file.num_row_groups):
        groups.append(number)
        held += file.metadata.row_group(number).num_rows
        if held >= rows or number == last:
            yield from file.iter_batches(rows, row_groups=groups, columns=list(columns))
            groups, held = [], 0
