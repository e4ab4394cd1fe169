"""Answers and rejected rows as Parquet, one file for each shard."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from genret.recommend import Answers
from genret.scoring._histories import Encoded, Rejected
from genret.scoring._job import Job, Shard
from genret.scoring._locations import Location, sha256

REJECTED_SCHEMA = pa.schema(
    [("shard", pa.string()), ("row", pa.int64()), ("user", pa.string()), ("reason", pa.string())]
)
USER_TYPES = {"int64": pa.int64(), "uint64": pa.uint64(), "string": pa.string()}
NO_ANSWER = "no item is allowed: the filter and the items seen leave none"


class ShardWriter:
    """Writes the answers of one shard; nothing is seen of it before :meth:`finish`.

    Args:
      job: the job.
      shard: the shard.
      item_ids: the ids of the catalog, by row.
    """

    def __init__(self, job: Job, shard: Shard, item_ids: pa.Array) -> None:
        self._job, self._shard, self._item_ids = job, shard, item_ids
        self._lists = job.document["config"]["output"] == "lists"
        self._user_type = USER_TYPES[job.document["user_type"]]
        self._rejected: Rejected = []
        self.counts = dict.fromkeys(("users", "answers", "short_lists", "unknown_items"), 0)
        self._stack = contextlib.ExitStack()
        self._file: Path = self._stack.enter_context(job.out.scratch(shard.output))
        self._writer: Any = None
        self._writer = self._open(self._file)

    def _open(self, file: Path) -> Any:
        with self._job.out.working(self._shard.output):
            return pa.parquet.ParquetWriter(file, self.schema, compression="zstd")

    @property
    def schema(self) -> pa.Schema:
        """Columns of the file."""
        return schema_of(self._lists, self._user_type, self._item_ids.type)

    def add(self, users: Encoded, answers: Answers) -> None:
        """Write the answers of a chunk."""
        counts = (answers.items >= 0).sum(axis=1)
        self._rejected += users.rejected
        # Whoever gets nothing would be lost without a word where a row is an answer.
        for row, name in zip(
            np.flatnonzero(counts == 0).tolist(),
            users.users.filter(pa.array(counts == 0)).to_pylist(),
            strict=True,
        ):
            self._rejected.append((int(users.rows[row]), name, NO_ANSWER))
        some = counts > 0
        self.counts["users"] += int(some.sum())
        self.counts["answers"] += int(counts.sum())
        self.counts["short_lists"] += int((some & (counts < answers.items.shape[1])).sum())
        self.counts["unknown_items"] += users.dropped
        if some.any():
            table = self._table(users.users, answers, counts)
            with self._job.out.working(self._shard.output):
                self._writer.write_table(table, row_group_size=max(len(table), 1))

    def _table(self, users: pa.Array, answers: Answers, counts: Any) -> pa.Table:
        valid = answers.items >= 0
        items = self._item_ids.take(pa.array(answers.items[valid]))
        scores = pa.array(answers.scores[valid])
        if self._lists:
            some = counts > 0
            offsets = pa.array(np.concatenate([[0], np.cumsum(counts[some])]).astype(np.int32))
            columns = [
                users.filter(pa.array(some)).cast(self._user_type),
                pa.ListArray.from_arrays(offsets, items),
                pa.ListArray.from_arrays(offsets, scores),
            ]
        else:
            each = pa.array(np.repeat(np.arange(len(users)), counts))
            ranks = np.broadcast_to(np.arange(1, valid.shape[1] + 1, dtype=np.int32), valid.shape)
            columns = [
                users.cast(self._user_type).take(each), pa.array(ranks[valid]), items, scores,
            ]  # fmt: skip
        return pa.table(columns, schema=self.schema)

    def finish(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Publish the file, then the record that it is done; return the record."""
        job, shard = self._job, self._shard
        with self._stack:
            with job.out.working(shard.output):
                self._writer.close()
            record = {
                **facts,
                **self.counts,
                "rejected": len(self._rejected),
                "output": shard.output,
                "bytes": self._file.stat().st_size,
                "sha256": sha256(self._file),
            }
            job.out.publish(self._file, shard.output)
            if self._rejected:
                write_rejected(job, shard, shard.rejected, self._rejected)
            else:
                job.out.delete(shard.rejected)
            job.out.delete(shard.twice)
            job.write_record(shard, record)
        return record

    def abort(self) -> None:
        """Throw away what was written."""
        with contextlib.suppress(Exception):
            self._writer.close()
        self._stack.close()


def schema_of(lists: bool, user: pa.DataType, item: pa.DataType) -> pa.Schema:
    """Return the columns of the answers."""
    if lists:
        return pa.schema(
            [("user", user), ("items", pa.list_(item)), ("scores", pa.list_(pa.float32()))]
        )
    return pa.schema(
        [("user", user), ("rank", pa.int32()), ("item", item), ("score", pa.float32())]
    )


def write_rejected(job: Job, shard: Shard, name: str, rows: Rejected) -> None:
    """Publish rejected rows of a shard."""
    columns: Sequence[Any] = list(zip(*rows, strict=True))
    table = pa.table(
        [
            pa.array([shard.name] * len(rows), pa.string()),
            *(
                pa.array(column, kind)
                for column, kind in zip(columns, REJECTED_SCHEMA.types[1:], strict=True)
            ),
        ],
        schema=REJECTED_SCHEMA,
    )
    with job.out.scratch(name) as file:
        with job.out.working(name):
            pa.parquet.write_table(table, file, compression="zstd")
        job.out.publish(file, name)


def read_table(place: Location, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file of an output folder."""
    with place.working(name):
        return pa.parquet.read_table(
            place.at(name), filesystem=place.filesystem, columns=columns, partitioning=None
        )
