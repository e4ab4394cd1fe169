"""Users that occur in several shards: the first shard keeps them."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from genret.scoring._histories import Rejected
from genret.scoring._job import Job, Shard
from genret.scoring._locations import sha256
from genret.scoring._output import read_table, write_rejected


def drop_users_of_earlier_shards(job: Job) -> dict[int, dict[str, Any]]:
    """Rewrite the shards that hold a user of an earlier shard, without that user.

    16 bytes of a hash of each user are held. May be killed and called again.

    Returns:
      What changed in a shard's record, by its number.
    """
    digests = [_digests(job, shard) for shard in job.shards]
    owner = np.repeat(np.arange(len(digests)), [len(d) for d in digests])
    joined = np.concatenate([np.empty(0, "S16"), *digests])
    order = np.argsort(joined, kind="stable")  # equal ones in order of their shard
    again = np.zeros(len(joined), bool)
    again[order[1:]] = joined[order[1:]] == joined[order[:-1]]
    changed = {}
    for shard in job.shards:
        late = again[owner == shard.number]
        known = job.out.exists(shard.twice)
        if late.any() or known:
            changed[shard.number] = _rewrite(job, shard, late, known)
    return changed


def _users(job: Job, shard: Shard) -> pa.Array:
    """Return the users of a finished shard, once each, in order."""
    lists = job.document["config"]["output"] == "lists"
    table = read_table(job.out, shard.output, ["user"] if lists else ["user", "rank"])
    users = table["user"].combine_chunks()
    if not lists:
        users = users.filter(pa.array(table["rank"].to_numpy() == 1))
    return pa.concat_arrays(users.chunks) if isinstance(users, pa.ChunkedArray) else users


def _digests(job: Job, shard: Shard) -> np.ndarray:
    raw = b"".join(
        hashlib.blake2b(str(user).encode(), digest_size=16).digest()
        for user in _users(job, shard).to_pylist()
    )
    # A hash that ends in zeros still is as many bytes: numpy compares the padded ones.
    return np.frombuffer(raw, "S16")


def _rewrite(job: Job, shard: Shard, late: np.ndarray, known: bool) -> dict[str, Any]:
    """Leave some users of a shard out of its answers, and say so."""
    users = _users(job, shard)
    with job.out.local_of(shard.output) as file:
        table = pa.parquet.read_table(file, partitioning=None)
    if late.any():
        gone = users.filter(pa.array(late))
        reason = "the user occurs in an earlier shard"
        rows: Rejected = [(None, str(user), reason) for user in gone.to_pylist()]
        if known:  # killed while it rewrote: the same users
            job.out.delete(shard.twice)
        write_rejected(job, shard, shard.twice, rows)
        keep = pc.invert(pc.is_in(table["user"], value_set=gone))
        kept = table.filter(keep)
        with job.out.scratch(shard.output) as scratch:
            pa.parquet.write_table(kept, scratch, compression="zstd")
            # First the record allows the new file: a job that is killed in between knows it.
            record = job.record_of(shard)
            assert record is not None
            now = {"bytes": scratch.stat().st_size, "sha256": sha256(scratch)}
            del record["checksum"]
            job.write_record(shard, {**record, "rewritten": now})
            job.out.publish(scratch, shard.output)
        table, users = kept, users.filter(pa.array(~late))
    with job.out.local_of(shard.output) as file:
        return {
            "users": len(users),
            "answers": len(table) if "rank" in table.column_names else _total(table),
            "bytes": file.stat().st_size,
            "sha256": sha256(file),
        }


def _total(table: pa.Table) -> int:
    return int(pc.sum(pc.list_value_length(table["items"])).as_py() or 0)
