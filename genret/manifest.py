"""Manifests: what an artifact is, where it came from, and that nothing of it was changed."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from genret.errors import GenretError
from genret.json_files import read_json
from genret.typing import PathLike

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 256 << 20
"""Largest manifest that is read: that of an artifact of a million files."""
_LONGEST_NAME = 4096
"""Longest name of a file in a manifest."""

FORMAT_VERSIONS = {
    "catalog": 2,
    "vectors": 2,
    "codes": 2,
    "index": 3,
    "model": 2,
    "reports": 2,
    "live": 1,
    "checkpoint": 2,
    "scores": 2,
    "hugging_face": 2,
    "decode": 1,
}
"""Newest format version of each kind of artifact that this release reads and writes."""
OLDEST_VERSIONS = dict(FORMAT_VERSIONS)
"""Oldest format version of each kind that this release reads: manifests before these have no
checksum of their own."""

_ELSEWHERE = ("checkpoint", "scores", "hugging_face", "decode")
RUN_KINDS = tuple(kind for kind in FORMAT_VERSIONS if kind not in _ELSEWHERE)
"""Kinds that have a folder of their name in a run, each made from earlier ones; that of ``live`` holds
generations, see :mod:`genret.generations`. Checkpoints lie in ``checkpoints/step-N``; scores, models that are written for transformers, and exported programs
wherever one likes."""

VERBS = {
    "catalog": "ingest",
    "vectors": "embed",
    "codes": "tokenize",
    "index": "index",
    "model": "train",
    "reports": "evaluate",
    "live": "index",  # which drops a stale one: its items were added to an earlier catalog
    "checkpoint": "train",
    "scores": "score",
    "hugging_face": "export",
    "decode": "export",
}
"""The verb that makes each kind of artifact."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an artifact is and where it came from.

    Attributes:
      kind: one of :data:`FORMAT_VERSIONS`.
      format_version: version of the folder's layout.
      genret_version: the release that wrote it.
      seed: the seed of the verb that wrote it; None where nothing was random.
      config: the verb's configuration, as JSON values.
      inputs: kind of each artifact that it was made from -> its fingerprint then.
      files: path inside the folder -> ``{"bytes": int, "sha256": str}``.
      summary: figures worth showing (shapes, sizes, quality), as JSON values.
      fingerprint: hash over kind, format version and the files' contents.
      checksum: hash over all the other fields.
    """

    kind: str
    format_version: int
    genret_version: str
    seed: int | None
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]]
    summary: Mapping[str, Any]
    fingerprint: str
    checksum: str


def manifest_fields(
    kind: str,
    files: Mapping[str, Mapping[str, Any]],
    *,
    config: Mapping[str, Any],
    seed: int | None,
    inputs: Mapping[str, str],
    summary: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the fields of the manifest of files that this release wrote, as JSON values.

    Raises:
      GenretError: the configuration or the summary holds a value that JSON lacks.
    """
    from genret import __version__

    fields = {
        "kind": kind,
        "format_version": FORMAT_VERSIONS[kind],
        "genret_version": __version__,
        "seed": seed,
        "config": config,
        "inputs": inputs,
        "files": files,
        "summary": summary,
        "fingerprint": fingerprint_of(kind, FORMAT_VERSIONS[kind], files),
    }
    try:
        fields = json.loads(json.dumps(fields, allow_nan=False))
    except (TypeError, ValueError) as e:
        raise GenretError(f"{kind}: its manifest cannot be written as JSON: {e}") from e
    return fields | {"checksum": checksum_of(fields)}


def fingerprint_of(kind: str, version: int, files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the fingerprint of an artifact: SHA-256 over its kind, version and files' sums."""
    digest = hashlib.sha256(f"{kind} {version}".encode())
    for name in sorted(files):
        line = f"\n{name} {files[name]['sha256']}"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def checksum_of(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's fields without ``checksum``, in a canonical spelling."""
    rest = {name: value for name, value in fields.items() if name != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(path: PathLike, kind: str | None = None) -> Manifest:
    """Read and check the manifest of an artifact.

    Both hashes are computed anew from the fields, so that a field that was edited is noticed.

    Args:
      path: the artifact's folder.
      kind: the expected kind; None takes any.

    Returns:
      The manifest.

    Raises:
      GenretError: no such folder, not an artifact, another kind, damaged or edited, or written by a
        release whose format this one does not read.
    """
    path = Path(path)
    file = path / MANIFEST
    try:
        if not path.is_dir():
            raise GenretError(
                f"{path}: no such folder (expected the artifact {kind or 'of a run'!r})"
            )
        if not file.is_file():
            raise GenretError(f"{path}: not a genret artifact: it has no {MANIFEST}")
    except OSError as e:
        raise GenretError(f"{path}: cannot be read: {e.strerror or e}") from e
    return check_manifest(read_json(file, max_bytes=MAX_MANIFEST_BYTES), str(file), kind)


def check_manifest(fields: Any, where: str, kind: str | None = None) -> Manifest:
    """Check the fields of a manifest that was read from anywhere.

    Args:
      fields: what its JSON file holds.
      where: the file, for errors.
      kind: the expected kind; None takes any.

    Raises:
      GenretError: as :func:`read_manifest`.
    """
    if not isinstance(fields, dict):
        raise GenretError(f"{where}: damaged manifest: found {_short(fields)}, expected an object")
    _check_version(where, fields)
    _check_fields(where, fields)
    if checksum_of(fields) != fields["checksum"]:
        raise GenretError(f"{where}: damaged manifest: its fields do not have its checksum")
    if kind is not None and fields["kind"] != kind:
        raise GenretError(
            f"{where}: is of an artifact of kind {fields['kind']!r}, expected {kind!r}"
        )
    return Manifest(**fields)


def verify_files(
    path: PathLike, manifest: Manifest, *, checksums: bool = True, others: bool = False
) -> None:
    """Check that an artifact holds the files of its manifest, whole and unchanged, and no others.

    Names that begin with a dot or an underscore are left alone: no reader of an artifact reads them.

    Args:
      path: the artifact's folder.
      manifest: its manifest.
      checksums: compare SHA-256 sums too, not only sizes.
      others: allow files that the manifest does not list.

    Raises:
      GenretError: a file is missing, of another size, of other contents, not in the manifest, or
        cannot be read.
    """
    folder = Path(path)
    try:
        for name, expected in manifest.files.items():
            file = folder / name
            if not file.is_file():
                raise GenretError(f"{file}: missing (the manifest of {manifest.kind!r} lists it)")
            size = file.stat().st_size
            if size != expected["bytes"]:
                raise GenretError(
                    f"{file}: has {size} bytes, expected {expected['bytes']}: damaged"
                )
            if checksums and sha256_of(file) != expected["sha256"]:
                raise GenretError(f"{file}: SHA-256 differs from the manifest: damaged or edited")
        if not others:
            _refuse_others(folder, manifest)
    except OSError as e:
        raise GenretError(f"{e.filename or folder}: cannot be read: {e.strerror or e}") from e


def files_of(folder: Path) -> list[str]:
    """Return the names of the files in a folder and below that belong to an artifact, in order."""
    names = (file.relative_to(folder) for file in folder.rglob("*") if not file.is_dir())
    return sorted(n.as_posix() for n in names if n.name != MANIFEST and n.parts[0][0] not in "._")


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _refuse_others(folder: Path, manifest: Manifest) -> None:
    for name in files_of(folder):
        if name not in manifest.files:
            raise GenretError(
                f"{folder / name}: not in the manifest of {manifest.kind!r}; delete or move it"
            )


def _check_version(file: str, fields: Mapping[str, Any]) -> None:
    """Refuse kinds and versions that this release does not read, before it looks at the rest."""
    kind, version = fields.get("kind"), fields.get("format_version")
    if not isinstance(kind, str) or kind not in FORMAT_VERSIONS:
        raise GenretError(f"{file}: unknown kind of artifact {_short(kind)}")
    newest, oldest = FORMAT_VERSIONS[kind], OLDEST_VERSIONS[kind]
    if type(version) is not int or version < 1:
        raise GenretError(
            f"{file}: damaged manifest: format_version: found {_short(version)}, expected {newest}"
        )
    if version > newest:
        raise GenretError(
            f"{file}: format version {_short(version)} of {kind!r} is newer than this release reads "
            f"({newest}); update genret"
        )
    if version < oldest:
        raise GenretError(
            f"{file}: format version {version} of {kind!r} is older than this release reads "
            f"({oldest}); make it anew with `genret {VERBS[kind]}`"
        )


def _check_fields(file: str, fields: Mapping[str, Any]) -> None:
    """Refuse fields that are missing, unknown, or of another type or range."""
    expected = [field.name for field in dataclasses.fields(Manifest)]
    for name in expected:
        if name not in fields:
            raise GenretError(f"{file}: damaged manifest: {name} is missing")
    for name in fields:
        if name not in expected:
            raise GenretError(f"{file}: damaged manifest: unknown field {name[:80]!r}")

    def check(right: bool, name: str, value: Any, wanted: str) -> None:
        if not right:
            found = f"{name[:120]}: found {_short(value)}, expected {wanted}"
            raise GenretError(f"{file}: damaged manifest: {found}")

    seed = fields["seed"]
    version = fields["genret_version"]
    check(isinstance(version, str), "genret_version", version, "text")
    check(seed is None or type(seed) is int, "seed", seed, "an integer or null")
    for name in ("config", "inputs", "files", "summary"):
        check(isinstance(fields[name], dict), name, fields[name], "an object")
    for name in ("fingerprint", "checksum"):
        check(_is_sha256(fields[name]), name, fields[name], "a SHA-256")
    for kind, fingerprint in fields["inputs"].items():
        check(_comes_before(kind, fields["kind"]), "inputs", kind, "kinds that it is made from")
        check(_is_sha256(fingerprint), f"inputs.{kind}", fingerprint, "a SHA-256")
    for name, entry in fields["files"].items():
        check(_is_inside(name), "files", name, "names of files in the folder")
        right = isinstance(entry, dict) and entry.keys() == {"bytes", "sha256"}
        check(right, f"files.{name}", entry, "bytes and sha256")
        size = entry["bytes"]
        check(type(size) is int and 0 <= size < 2**63, f"files.{name}.bytes", size, "a size")
        check(_is_sha256(entry["sha256"]), f"files.{name}.sha256", entry["sha256"], "a SHA-256")
    found = fields["fingerprint"]
    expected_now = fingerprint_of(fields["kind"], fields["format_version"], fields["files"])
    check(found == expected_now, "fingerprint", found, f"{expected_now}, that of its files")


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _comes_before(kind: str, made: str) -> bool:
    """Say whether artifacts of a kind may be made from artifacts of another one."""
    if kind not in RUN_KINDS:
        return False
    return made not in RUN_KINDS or RUN_KINDS.index(kind) < RUN_KINDS.index(made)


def _is_inside(name: str) -> bool:
    """Say whether a name means a file in the folder or below it."""
    path = PurePosixPath(name)
    right = 0 < len(name) <= _LONGEST_NAME and "\0" not in name and "\\" not in name
    return right and not path.is_absolute() and ".." not in path.parts and str(path) == name


def _short(value: Any) -> str:
    """Show a value in at most 80 characters, whatever it is."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        return "an integer of more than 40 digits"
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
