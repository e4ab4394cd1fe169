"""The end of a job: users that occur twice, rejected rows, the manifest, and _SUCCESS."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from genret.manifest import MANIFEST, Manifest, check_manifest, manifest_fields
from genret.scoring._duplicates import drop_users_of_earlier_shards
from genret.scoring._job import REJECTED, SUCCESS, Job
from genret.scoring._locations import sha256
from genret.scoring._output import REJECTED_SCHEMA, read_table


def finish(job: Job, figures: Mapping[str, Any]) -> Manifest:
    """Write ``rejected.parquet``, the manifest and ``_SUCCESS``; return the manifest.

    Args:
      job: the job, all of whose shards are done.
      figures: how the job went (speed, padding), for the summary.
    """
    twice = drop_users_of_earlier_shards(job)
    records = [job.out.read_json(shard.record) for shard in job.shards]
    entries = [
        _record_without(record, twice.get(shard.number))
        for shard, record in zip(job.shards, records, strict=True)
    ]
    rejected = _write_rejected(job)
    files = {e["output"]: {"bytes": e["bytes"], "sha256": e["sha256"]} for e in entries}
    files = dict(sorted((files | {REJECTED: rejected}).items()))
    total = {
        name: sum(e[name] for e in entries)
        for name in ("users", "answers", "short_lists", "rejected", "unknown_items")
    }
    fields = manifest_fields(
        "scores",
        files,
        config=job.document,
        seed=None,
        inputs=job.document["run"],
        summary={**total, **figures, "shards": [_shown(e) for e in entries]},
    )
    job.out.write_json(MANIFEST, fields)
    job.out.write(SUCCESS, b"")
    job.clean()
    return check_manifest(fields, f"{job.out.uri}/{MANIFEST}", "scores")


def _write_rejected(job: Job) -> dict[str, Any]:
    """Join the rejected rows of all shards."""
    with job.out.scratch(REJECTED) as file:
        with pa.parquet.ParquetWriter(file, REJECTED_SCHEMA, compression="zstd") as writer:
            for shard in job.shards:
                for name in (shard.rejected, shard.twice):
                    if job.out.exists(name):
                        writer.write_table(read_table(job.out, name))
        entry = {"bytes": file.stat().st_size, "sha256": sha256(file)}
        job.out.publish(file, REJECTED)
    return entry


def _record_without(record: dict[str, Any], twice: dict[str, Any] | None) -> dict[str, Any]:
    """Return a record, corrected for users that an earlier shard has."""
    if twice is None:
        return record
    return record | twice | {"rejected": record["rejected"] + record["users"] - twice["users"]}


def _shown(record: Mapping[str, Any]) -> dict[str, Any]:
    left_out = (
        "bytes", "sha256", "seconds", "positions", "padding", "programs", "checksum", "rewritten",
    )  # fmt: skip
    return {k: v for k, v in record.items() if k not in left_out}
