"""The output folder of a job: what is done, what is left, and the manifest at the end.

    manifest.json       counts, hashes, versions, configuration; every file but _SUCCESS
    rejected.parquet    rows that were not scored, and why
    scores/00000-NAME.parquet   one file for each input shard
    _SUCCESS            last: all of it is there

While the job runs, ``_job.json`` says what is computed, ``_shards/`` holds a record of each
finished shard, and ``_lock`` belongs to whoever works.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from genret.artifacts import Run
from genret.config import ScoreConfig, require
from genret.data import Source, find_column
from genret.errors import GenretError
from genret.manifest import MANIFEST, manifest_fields
from genret.scoring._histories import CHUNK_USERS
from genret.scoring._locations import Location, find_files, is_leftover
from genret.typing import PathLike

JOB, LOCK, SUCCESS, REJECTED, SCORES, SHARDS = (
    "_job.json", "_lock", "_SUCCESS", "rejected.parquet", "scores", "_shards",
)  # fmt: skip
REJECTED_SCHEMA = pa.schema(
    [("shard", pa.string()), ("row", pa.int64()), ("user", pa.string()), ("reason", pa.string())]
)


@dataclasses.dataclass(frozen=True)
class Shard:
    """An input file and where its answers go.

    Attributes:
      number: its place among the inputs, in order of path.
      place: the file.
    """

    number: int
    place: Location

    @property
    def name(self) -> str:
        """Name of the file."""
        return os.path.basename(self.place.path)

    @property
    def output(self) -> str:
        """Name of its answers in the output folder."""
        return f"{SCORES}/{self.number:05d}-{self.name.split('.')[0]}.parquet"

    @property
    def record(self) -> str:
        """Name of the record that it is finished."""
        return f"{SHARDS}/{self.number:05d}.json"

    @property
    def rejected(self) -> str:
        """Name of the rows that were not scored."""
        return f"{SHARDS}/{self.number:05d}.rejected.parquet"

    @property
    def twice(self) -> str:
        """Name of the rows that were scored in an earlier shard too."""
        return f"{SHARDS}/{self.number:05d}.twice.parquet"


@dataclasses.dataclass(frozen=True)
class Job:
    """A job: shards, an output folder, and what is computed.

    Attributes:
      out: the output folder.
      shards: all input files.
      document: what the answers depend on, as JSON values.
      rows: rows of all shards; None where that takes reading them.
    """

    out: Location
    shards: tuple[Shard, ...]
    document: Mapping[str, Any]
    rows: int | None

    @classmethod
    def plan(
        cls, run: PathLike, histories: PathLike, out: PathLike, config: ScoreConfig, platform: str
    ) -> "Job":
        """Look at the inputs: which shards there are, and of which type their users are.

        Raises:
          GenretError: no input, or an incomplete run.
        """
        from genret import __version__

        shards = tuple(Shard(n, place) for n, place in enumerate(find_files(histories)))
        names = [shard.place.uri for shard in shards]
        folder = Run.open(run)
        run_of = {
            kind: folder.require(kind).fingerprint
            for kind in ("catalog", "codes", "index", "model")
        }
        kinds: set[str | None] = set()
        rows: int | None = 0
        for shard in shards:
            kind, count = _users_of(shard, config)
            kinds.add(kind)
            rows = rows + count if count is not None and rows is not None else None
        import jax

        document = {
            "config": config.to_dict(),
            "run": run_of,
            "inputs": names,
            "user_type": "int64" if kinds - {None} == {"int64"} else "string",
            "chunk_users": CHUNK_USERS,
            "platform": platform,
            "versions": {"genret": __version__, "jax": jax.__version__, "pyarrow": pa.__version__},
        }
        return cls(Location.of(out), shards, document, rows)

    def open(self) -> list[Shard]:
        """Look at the output folder; return the shards that are left to do.

        Raises:
          GenretError: the folder holds something else, or a part of another job: the message
            names what differs.
        """
        self._refuse_foreign()
        for folder in ("", SCORES, SHARDS):
            self.out.sweep(folder)
        found = self.out.read_json(JOB)
        if found is None and self.is_finished:
            found = self.out.read_json(MANIFEST)["config"]
        if found is None:
            self.out.write_json(JOB, self.document)
            return list(self.shards)
        for key, expected in _flat(self.document).items():
            there = _flat(found).get(key)
            require(
                there == expected,
                f"{self.out.uri}: holds scores of another job: its {key} is {_short(there)}, now "
                f"{_short(expected)}; choose another folder, or delete it",
            )
        if self.is_finished:
            self.clean()
            return []
        return [shard for shard in self.shards if self.record_of(shard) is None]

    @property
    def is_finished(self) -> bool:
        """Whether a job ended well here."""
        return self.out.exists(SUCCESS)

    def record_of(self, shard: Shard) -> dict[str, Any] | None:
        """Return the record of a finished shard.

        Raises:
          GenretError: the shard changed since.
        """
        record = self.out.read_json(shard.record)
        if record is None or not self.out.exists(shard.output):
            return None
        info = shard.place.filesystem.get_file_info(shard.place.path)
        require(
            info.size == record["input_bytes"],
            f"{shard.place.uri}: has {info.size} bytes, had {record['input_bytes']} when it was "
            f"scored into {self.out.uri}: choose another folder, or delete {shard.record} there",
        )
        return dict(record)

    def finish(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """Write ``rejected.parquet``, the manifest and ``_SUCCESS``; return the manifest.

        Args:
          figures: how the job went (speed, padding), for the summary.
        """
        from genret.scoring._duplicates import drop_users_of_earlier_shards

        twice = drop_users_of_earlier_shards(self)
        records = [self.out.read_json(shard.record) for shard in self.shards]
        entries = [
            _record_without(record, twice.get(shard.number))
            for shard, record in zip(self.shards, records, strict=True)
        ]
        rejected = self._write_rejected()
        files = {e["output"]: {"bytes": e["bytes"], "sha256": e["sha256"]} for e in entries}
        files = dict(sorted((files | {REJECTED: rejected}).items()))
        total = {
            name: sum(e[name] for e in entries)
            for name in ("users", "answers", "short_lists", "rejected", "unknown_items")
        }
        manifest = manifest_fields(
            "scores",
            files,
            config=self.document,
            seed=None,
            inputs=self.document["run"],
            summary={**total, **figures, "shards": [_shown(e) for e in entries]},
        )
        self.out.write_json(MANIFEST, manifest)
        self.out.write(SUCCESS, b"")
        self.clean()
        return manifest

    def clean(self) -> None:
        """Delete what only an unfinished job needs."""
        self.out.delete(SHARDS)
        self.out.delete(JOB)

    def _write_rejected(self) -> dict[str, Any]:
        """Join the rejected rows of all shards."""
        from genret.scoring._locations import sha256

        with self.out.scratch(REJECTED) as file:
            with pa.parquet.ParquetWriter(file, REJECTED_SCHEMA, compression="zstd") as writer:
                for shard in self.shards:
                    for name in (shard.rejected, shard.twice):
                        if self.out.exists(name):
                            writer.write_table(read_table(self.out, name))
            entry = {"bytes": file.stat().st_size, "sha256": sha256(file)}
            self.out.publish(file, REJECTED)
        return entry

    def _refuse_foreign(self) -> None:
        ours = {JOB, SUCCESS, MANIFEST, REJECTED, SCORES, SHARDS}
        names = [n for n in self.out.names() if n != LOCK and not is_leftover(n, ours)]
        known = JOB in names or (SUCCESS in names and MANIFEST in names)
        foreign = [name for name in names if name not in ours]
        require(
            not foreign and (known or not names),
            f"{self.out.uri}: is neither empty nor a folder of scores (found "
            f"{(foreign or names)[:1]}); choose another",
        )


def read_table(place: Location, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file of a folder."""
    return pa.parquet.read_table(
        place.at(name), filesystem=place.filesystem, columns=columns, partitioning=None
    )


def _users_of(shard: Shard, config: ScoreConfig) -> tuple[str | None, int | None]:
    """Return the type of a shard's users, and its rows, without reading it; None: unknown."""
    if not shard.name.endswith((".parquet", ".pq")):
        return "string", None
    try:
        with shard.place.filesystem.open_input_file(shard.place.path) as stream:
            file = pa.parquet.ParquetFile(stream)
            schema, rows = file.schema_arrow, file.metadata.num_rows
        source = Source(shard.place.uri, tuple(schema.names), False, lambda _: iter(()), schema)
        column = find_column(source, "user", config.user, needed=True)
    except (OSError, pa.ArrowException, GenretError):
        return None, None  # said when the shard is scored
    kind = schema.field(column).type
    return ("int64" if pa.types.is_integer(kind) else "string"), rows


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted path."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}".removeprefix("config.")] = value
    return flat


def _record_without(record: dict[str, Any], twice: dict[str, Any] | None) -> dict[str, Any]:
    """Return a record, corrected for users that an earlier shard has."""
    if twice is None:
        return record
    return record | twice | {"rejected": record["rejected"] + record["users"] - twice["users"]}


def _shown(record: Mapping[str, Any]) -> dict[str, Any]:
    left_out = ("bytes", "sha256", "seconds", "positions", "padding", "programs")
    return {k: v for k, v in record.items() if k not in left_out}


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 3:
        return f"{value[:2]!r} and {len(value) - 2} more"
    text = repr(value)
    return text if len(text) <= 120 else text[:120] + "…"
