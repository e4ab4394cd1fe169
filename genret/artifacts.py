"""Run folders: each artifact is a folder with a manifest, written beside and renamed when whole.

A run is a folder of artifacts (``catalog/ vectors/ codes/ index/ model/ reports/``). Every artifact
holds a ``manifest.json`` that says what it is, of which format version, made with which
configuration and seed, and from which inputs: the *fingerprints* of the artifacts that it was made
from. A fingerprint is a hash over the contents of the files, so that two runs with one seed have
equal fingerprints, and a stale input can be named.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genret.errors import GenretError
from genret.typing import PathLike

MANIFEST = "manifest.json"
FORMAT_VERSIONS = {
    "catalog": 1,
    "vectors": 1,
    "codes": 1,
    "index": 2,
    "model": 1,
    "reports": 1,
    "checkpoint": 1,
    "scores": 1,
    "hugging_face": 1,
}
"""Newest format version of each kind of artifact that this release reads and writes."""

_ELSEWHERE = ("checkpoint", "scores", "hugging_face")
RUN_KINDS = tuple(kind for kind in FORMAT_VERSIONS if kind not in _ELSEWHERE)
"""Kinds that have a folder of their name in a run; checkpoints lie in ``checkpoints/step-N``; scores,
and models that are written for transformers, wherever one likes."""


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


@contextlib.contextmanager
def write_folder(
    path: PathLike,
    kind: str,
    *,
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    inputs: Mapping[str, str] | None = None,
    summary: dict[str, Any] | None = None,
) -> Iterator[Path]:
    """Give a scratch folder that becomes the artifact ``path`` when the block ends well.

    The scratch folder lies beside ``path``. On leaving the block the manifest is written, files
    are flushed to the disk and the folder is renamed; an exception or a kill leaves whatever was
    at ``path`` before. ``summary`` may be filled inside the block.

    Args:
      path: the artifact's folder; an earlier artifact of the same kind there is replaced.
      kind: what it is, a key of :data:`FORMAT_VERSIONS`.
      config: the configuration to record.
      seed: the seed to record.
      inputs: kind -> fingerprint of the artifacts that it is made from.
      summary: figures to record.

    Yields:
      The folder to write into.

    Raises:
      GenretError: ``path`` is something other than an artifact of this kind, or cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as run:
    ...     with write_folder(f"{run}/codes", "codes", summary={"levels": 3}) as folder:
    ...         _ = (folder / "codes.txt").write_text("0 1 2")
    ...     read_manifest(f"{run}/codes", "codes").summary
    {'levels': 3}
    """
    path = Path(path)
    summary = {} if summary is None else summary
    _check_replaceable(path, kind)
    scratch = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        scratch.mkdir()
        yield scratch
        _write_manifest(scratch, kind, config or {}, seed, inputs or {}, summary)
        _replace(scratch, path)
    except OSError as e:
        raise GenretError(f"{path}: cannot be written: {e.strerror or e}") from e
    finally:
        _remove(scratch)


def read_manifest(path: PathLike, kind: str | None = None) -> Manifest:
    """Read and check the manifest of an artifact.

    Args:
      path: the artifact's folder.
      kind: the expected kind; None takes any.

    Returns:
      The manifest.

    Raises:
      GenretError: no such folder, not an artifact, another kind, damaged, or written by a newer
        release in a format that this one does not know.
    """
    path = Path(path)
    file = path / MANIFEST
    if not path.is_dir():
        raise GenretError(f"{path}: no such folder (expected the artifact {kind or 'of a run'!r})")
    if not file.is_file():
        raise GenretError(f"{path}: not a genret artifact: it has no {MANIFEST}")
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        found = raw["kind"]
        version = raw["format_version"]
        newest = FORMAT_VERSIONS.get(found)
        if newest is None:
            raise GenretError(f"{file}: unknown kind of artifact {found!r}")
        if not isinstance(version, int) or version > newest:
            raise GenretError(
                f"{file}: format version {version} of {found!r} is newer than this release reads "
                f"({newest}); update genret"
            )
        manifest = Manifest(**raw)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as e:
        raise GenretError(f"{file}: damaged manifest ({e})") from e
    if kind is not None and manifest.kind != kind:
        raise GenretError(f"{path}: holds an artifact of kind {manifest.kind!r}, expected {kind!r}")
    return manifest


def verify_files(path: PathLike, manifest: Manifest, *, checksums: bool = True) -> None:
    """Check that every file of an artifact is there, whole and unchanged.

    Args:
      path: the artifact's folder.
      manifest: its manifest.
      checksums: compare SHA-256 sums too, not only sizes.

    Raises:
      GenretError: a file is missing, of another size, or of other contents.
    """
    for name, expected in manifest.files.items():
        file = Path(path) / name
        if not file.is_file():
            raise GenretError(f"{file}: missing (the manifest of {manifest.kind!r} lists it)")
        size = file.stat().st_size
        if size != expected["bytes"]:
            raise GenretError(f"{file}: has {size} bytes, expected {expected['bytes']}: damaged")
        if checksums and _sha256(file) != expected["sha256"]:
            raise GenretError(f"{file}: SHA-256 differs from the manifest: damaged or edited")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder: finds artifacts and refuses stale or foreign ones by name.

    Attributes:
      path: the folder.
    """

    path: Path

    @classmethod
    def open(cls, path: PathLike, *, create: bool = False) -> "Run":
        """Open a run folder.

        Args:
          path: the folder.
          create: make it where there is none.

        Returns:
          The run.

        Raises:
          GenretError: there is no such folder, or it is no folder, or it is somebody else's:
            neither empty nor a run.
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise GenretError(f"{path}: is a file, expected a run folder")
        if not path.exists() and not create:
            raise GenretError(
                f"{path}: no such run folder; make one with `genret ingest` or `genret quickstart`"
            )
        if path.is_dir():
            entries = [e for e in path.iterdir() if not e.name.startswith(".")]
            if entries and not any((e / MANIFEST).is_file() for e in entries):
                raise GenretError(
                    f"{path}: is neither empty nor a genret run (found {entries[0].name!r})"
                )
        else:
            try:
                path.mkdir(parents=True)
            except OSError as e:
                raise GenretError(f"{path}: cannot be made: {e.strerror}") from e
        return cls(path)

    def folder(self, kind: str) -> Path:
        """Return where the run keeps its artifact of a kind (it need not exist)."""
        return self.path / kind

    def has(self, kind: str) -> bool:
        """Say whether the run holds an artifact of a kind."""
        return (self.folder(kind) / MANIFEST).is_file()

    def require(self, kind: str) -> Manifest:
        """Return the manifest of an artifact that a verb needs, after checking it is up to date.

        Every artifact records the fingerprints of its inputs. Here they must equal those of the
        artifacts that lie in the run now, all the way up.

        Raises:
          GenretError: the artifact is missing (the message names the verb that makes it), damaged,
            or stale (the message names both artifacts and the verb to rerun).
        """
        if not self.has(kind):
            raise GenretError(
                f"{self.path}: has no {kind}/; make it with `genret {_VERB[kind]} {self.path}`"
            )
        manifest = read_manifest(self.folder(kind), kind)
        verify_files(self.folder(kind), manifest, checksums=False)
        for upstream, fingerprint in manifest.inputs.items():
            now = self.require(upstream).fingerprint
            if now != fingerprint:
                raise GenretError(
                    f"{self.folder(kind)}: stale: made from {upstream}/ {fingerprint[:12]}, but "
                    f"{upstream}/ is {now[:12]} now; rerun `genret {_VERB[kind]} {self.path}`"
                )
        return manifest


_VERB = {
    "catalog": "ingest",
    "vectors": "embed",
    "codes": "tokenize",
    "index": "index",
    "model": "train",
    "reports": "evaluate",
}
"""The verb that makes each kind of artifact."""


def _write_manifest(
    folder: Path,
    kind: str,
    config: Mapping[str, Any],
    seed: int | None,
    inputs: Mapping[str, str],
    summary: Mapping[str, Any],
) -> None:
    from genret import __version__

    files = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        _fsync(file)
        name = file.relative_to(folder).as_posix()
        files[name] = {"bytes": file.stat().st_size, "sha256": _sha256(file)}
    manifest = Manifest(
        kind=kind,
        format_version=FORMAT_VERSIONS[kind],
        genret_version=__version__,
        seed=seed,
        config=config,
        inputs=inputs,
        files=files,
        summary=summary,
        fingerprint=fingerprint_of(kind, files),
    )
    text = json.dumps(dataclasses.asdict(manifest), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    _fsync(folder / MANIFEST)


def fingerprint_of(kind: str, files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the fingerprint of an artifact from its kind and the files of its manifest."""
    digest = hashlib.sha256(f"{kind} {FORMAT_VERSIONS[kind]}".encode())
    for name, entry in files.items():
        digest.update(f"\n{name} {entry['sha256']}".encode())
    return digest.hexdigest()


def _remove(scratch: Path) -> None:
    """Delete a folder into which threads of a library that failed may still be writing."""
    for _ in range(20):
        shutil.rmtree(scratch, ignore_errors=True)
        if not scratch.exists():
            return
        time.sleep(0.05)


def _check_replaceable(path: Path, kind: str) -> None:
    """Refuse to replace anything but an artifact of the same kind or an empty folder."""
    if not path.exists():
        return
    if not path.is_dir():
        raise GenretError(f"{path}: is a file, expected a folder for the artifact {kind!r}")
    if not any(path.iterdir()):
        return
    if not (path / MANIFEST).is_file():
        raise GenretError(f"{path}: holds files that genret did not write; refusing to replace it")
    with contextlib.suppress(json.JSONDecodeError, UnicodeDecodeError, AttributeError):
        found = json.loads((path / MANIFEST).read_text(encoding="utf-8")).get("kind")
        if found != kind:
            raise GenretError(
                f"{path}: holds an artifact of kind {found!r}; refusing to replace it by {kind!r}"
            )


def _replace(scratch: Path, path: Path) -> None:
    """Rename ``scratch`` to ``path``; an older artifact steps aside first and is then deleted."""
    aside = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.old"
    if path.exists():
        os.rename(path, aside)
    os.rename(scratch, path)
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Undo what a killed writer left: put an artifact that had stepped aside back, drop scratch."""
    for old in path.parent.glob(f".{path.name}.*.old"):
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(old, path)
    for partial in path.parent.glob(f".{path.name}.*.partial"):
        shutil.rmtree(partial, ignore_errors=True)


def _sha256(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _fsync(file: Path) -> None:
    with file.open("rb") as f:
        os.fsync(f.fileno())
