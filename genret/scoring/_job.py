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
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from genret.artifacts import Run
from genret.config import ScoreConfig, require
from genret.data import Source, find_column
from genret.errors import GenretError
from genret.manifest import MANIFEST, Manifest, check_manifest, checksum_of
from genret.recommend import fingerprints_of
from genret.scoring._locations import Location, find_files, is_leftover
from genret.typing import PathLike

JOB, LOCK, SUCCESS, REJECTED, SCORES, SHARDS = (
    "_job.json", "_lock", "_SUCCESS", "rejected.parquet", "scores", "_shards",
)  # fmt: skip


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
        run_of = fingerprints_of(Run.open(run), ("catalog", "codes", "index", "model"))
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
            "user_type": _joint_type(kinds),
            "platform": platform,
            "versions": {"genret": __version__, "jax": jax.__version__, "pyarrow": pa.__version__},
        }
        return cls(Location.of(out), shards, document, rows)

    def open(self) -> list[Shard]:
        """Look at the output folder; return the shards that are left to do.

        Raises:
          GenretError: the folder holds something else, or a part of another job: the message
            names what differs. Or a finished job whose inputs or answers changed since.
        """
        self._refuse_foreign()
        for folder in ("", SCORES, SHARDS):
            self.out.sweep(folder)
        found = self.out.read_json(JOB)
        manifest = self.manifest() if found is None and self.is_finished else None
        if manifest is not None:
            found = manifest.config
        if found is None:
            self.out.write_json(JOB, self.document)
            return list(self.shards)
        if not isinstance(found, dict):
            raise GenretError(f"{self.out.uri}/{JOB}: damaged: expected an object")
        for key, expected in _flat(self.document).items():
            there = _flat(found).get(key)
            require(
                there == expected,
                f"{self.out.uri}: holds scores of another job: its {key} is {_short(there)}, now "
                f"{_short(expected)}; choose another folder, or delete it",
            )
        if manifest is not None:
            self._verify(manifest)
            self.clean()
            return []
        return [shard for shard in self.shards if self.record_of(shard) is None]

    def manifest(self) -> Manifest:
        """Return the manifest of a finished job.

        Raises:
          GenretError: it is missing or damaged.
        """
        where = f"{self.out.uri}/{MANIFEST}"
        return check_manifest(self.out.read_json(MANIFEST), where, "scores")

    def _verify(self, manifest: Manifest) -> None:
        """Compare inputs and answers of a finished job with what its manifest says of them."""
        inputs = manifest.summary.get("shards")
        right = isinstance(inputs, list) and len(inputs) == len(self.shards)
        require(right, f"{self.out.uri}/{MANIFEST}: damaged: lists other shards than the job's")
        for shard, facts in zip(self.shards, inputs or (), strict=True):
            self._refuse_changed(shard, facts)
        for name, expected in manifest.files.items():
            found = self.out.size_and_sum(name)
            require(found is not None, f"{self.out.uri}/{name}: missing; delete {self.out.uri}")
            require(
                found == (expected["bytes"], expected["sha256"]),
                f"{self.out.uri}/{name}: damaged or edited (its SHA-256 differs from the "
                f"manifest); delete {self.out.uri} to score again",
            )
        for name in self.out.names(SCORES):
            require(
                f"{SCORES}/{name}" in manifest.files or name.startswith((".", "_")),
                f"{self.out.uri}/{SCORES}/{name}: not in the manifest; delete or move it",
            )

    def _refuse_changed(self, shard: Shard, facts: Mapping[str, Any]) -> None:
        """Refuse an input that is not the one that was scored."""
        found = shard.place.size_and_sum()
        size, digest = facts.get("input_bytes"), facts.get("input_sha256")
        require(found is not None, f"{shard.place.uri}: no such file (histories)")
        assert found is not None
        require(
            found[0] == size,
            f"{shard.place.uri}: has {found[0]} bytes, had {size} when it was scored into "
            f"{self.out.uri}: choose another folder, or delete it",
        )
        require(
            found[1] == digest,
            f"{shard.place.uri}: holds other bytes than when it was scored into {self.out.uri} "
            "(its SHA-256 differs): choose another folder, or delete it",
        )

    @property
    def is_finished(self) -> bool:
        """Whether a job ended well here."""
        return self.out.exists(SUCCESS)

    def record_of(self, shard: Shard) -> dict[str, Any] | None:
        """Return the record of a finished shard; None: there is none, or its answers are damaged.

        Raises:
          GenretError: the shard's input changed since.
        """
        try:
            record = self.out.read_json(shard.record)
        except GenretError:
            return None  # damaged: the shard is scored again
        if not isinstance(record, dict) or record.get("checksum") != checksum_of(record):
            return None
        self._refuse_changed(shard, record)
        answers = [(record["bytes"], record["sha256"])]
        if "rewritten" in record:
            answers.append((record["rewritten"]["bytes"], record["rewritten"]["sha256"]))
        if self.out.size_and_sum(shard.output) not in answers:
            return None
        if record["rejected"] and not self.out.exists(shard.rejected):
            return None
        return dict(record)

    def write_record(self, shard: Shard, record: Mapping[str, Any]) -> None:
        """Publish the record of a finished shard, with a checksum."""
        self.out.write_json(shard.record, {**record, "checksum": checksum_of(record)})

    def clean(self) -> None:
        """Delete what only an unfinished job needs."""
        self.out.delete(SHARDS)
        self.out.delete(JOB)

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
    if pa.types.is_uint64(kind):
        return "uint64", rows
    return ("int64" if pa.types.is_integer(kind) else "string"), rows


def _joint_type(kinds: set[str | None]) -> str:
    """Return the type of the users of all shards; None is a shard that says nothing of it."""
    known = kinds - {None}
    (kind,) = known if len(known) == 1 else {"string"}
    return str(kind)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted path."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}".removeprefix("config.")] = value
    return flat


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 3:
        return f"{value[:2]!r} and {len(value) - 2} more"
    text = repr(value)
    return text if len(text) <= 120 else text[:120] + "…"
