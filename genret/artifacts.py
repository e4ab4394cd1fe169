"""Run folders: each artifact is a folder with a manifest, written beside and renamed when whole.

A run is a folder of artifacts (``catalog/ vectors/ codes/ index/ model/ reports/``). Every artifact
holds a ``manifest.json`` that says what it is, of which format version, made with which
configuration and seed, and from which inputs: the *fingerprints* of the artifacts that it was made
from. A fingerprint is a hash over the contents of the files, so that two runs with one seed have
equal fingerprints, and a stale input can be named.
"""

import contextlib
import dataclasses
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genret.errors import GenretError
from genret.generations import following, newest
from genret.json_files import encode_json, read_json
from genret.locks import hold
from genret.manifest import (
    FORMAT_VERSIONS,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    OLDEST_VERSIONS,
    RUN_KINDS,
    VERBS,
    Manifest,
    files_of,
    fingerprint_of,
    manifest_fields,
    read_manifest,
    sha256_of,
    verify_files,
)
from genret.typing import PathLike

__all__ = [
    "FORMAT_VERSIONS",
    "LOCK",
    "MANIFEST",
    "OLDEST_VERSIONS",
    "RUN_KINDS",
    "Manifest",
    "Run",
    "fingerprint_of",
    "read_manifest",
    "verify_files",
    "write_folder",
]

LOCK = ".lock"
"""Name of a run's lock file, which the process that writes into the run holds."""


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
    summary = {} if summary is None else summary
    path = _destination(Path(path), kind)
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
        try:
            if path.exists() and not path.is_dir():
                raise GenretError(f"{path}: is a file, expected a run folder")
            if path.is_symlink() and not path.exists():
                raise GenretError(f"{path}: is a link to {os.readlink(path)}, which is not there")
            if not path.exists() and not create:
                raise GenretError(
                    f"{path}: no such run folder; make one with `genret ingest` or "
                    "`genret quickstart`"
                )
            if not path.is_dir():
                path.mkdir(parents=True)
            entries = [e for e in path.iterdir() if not e.name.startswith(".")]
            if entries and not any((e / MANIFEST).is_file() for e in entries if e.is_dir()):
                raise GenretError(
                    f"{path}: is neither empty nor a genret run (found {entries[0].name!r})"
                )
        except (OSError, ValueError) as e:
            raise GenretError(
                f"{path}: cannot be opened: {getattr(e, 'strerror', None) or e}"
            ) from e
        return cls(path)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run for writing: one process at a time trains, or makes any artifact, here.

        The lock ends with the process that holds it. Its holder may take it again.

        Raises:
          GenretError: another process writes into the run; the message says which.
        """
        with hold(self.path / LOCK, f"{self.path}: another genret writes into this run"):
            yield

    def folder(self, kind: str) -> Path:
        """Return where the run keeps its artifact of a kind (it need not exist).

        Of ``live`` this is the newest generation.
        """
        path = self.path / kind
        if kind != "live":
            return path
        try:
            return newest(path) or following(path)
        except OSError as e:
            raise GenretError(f"{path}: cannot be read: {e.strerror}") from e

    def has(self, kind: str) -> bool:
        """Say whether the run holds an artifact of a kind."""
        try:
            return (self.folder(kind) / MANIFEST).is_file()
        except OSError as e:
            raise GenretError(f"{self.folder(kind)}: cannot be read: {e.strerror}") from e

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
                f"{self.path}: has no {kind}/; make it with `genret {VERBS[kind]} {self.path}`"
            )
        manifest = read_manifest(self.folder(kind), kind)
        verify_files(self.folder(kind), manifest, checksums=False)
        for upstream, fingerprint in manifest.inputs.items():
            now = self.require(upstream).fingerprint
            if now != fingerprint:
                raise GenretError(
                    f"{self.folder(kind)}: stale: made from {upstream}/ {fingerprint[:12]}, but "
                    f"{upstream}/ is {now[:12]} now; rerun `genret {VERBS[kind]} {self.path}`"
                )
        return manifest


def _write_manifest(
    folder: Path,
    kind: str,
    config: Mapping[str, Any],
    seed: int | None,
    inputs: Mapping[str, str],
    summary: Mapping[str, Any],
) -> None:
    files = {}
    for name in files_of(folder):
        file = folder / name
        _fsync(file)
        files[name] = {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
    fields = manifest_fields(kind, files, config=config, seed=seed, inputs=inputs, summary=summary)
    (folder / MANIFEST).write_bytes(encode_json(fields))
    _fsync(folder / MANIFEST)
    _fsync(folder)


def _remove(scratch: Path) -> None:
    """Delete a folder into which threads of a library that failed may still be writing."""
    for _ in range(20):
        shutil.rmtree(scratch, ignore_errors=True)
        if not scratch.exists():
            return
        time.sleep(0.05)


def _destination(path: Path, kind: str) -> Path:
    """Return where an artifact is to lie: a link is followed, so that it stays a link.

    Raises:
      GenretError: the path holds something that must not be replaced, or a broken link.
    """
    try:
        if path.is_symlink():
            target = path.resolve()
            if not target.exists():
                raise GenretError(f"{path}: is a link to {target}, which is not there")
            path = target
        _check_replaceable(path, kind)
    except (OSError, RuntimeError, ValueError) as e:  # RuntimeError: links in a circle
        reason = getattr(e, "strerror", None) or e
        raise GenretError(f"{path}: cannot be written: {reason}") from e
    return path


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
    try:
        fields = read_json(path / MANIFEST, max_bytes=MAX_MANIFEST_BYTES)
    except GenretError:
        return  # a damaged artifact may be replaced
    found = fields.get("kind") if isinstance(fields, dict) else None
    if found is not None and found != kind:
        raise GenretError(
            f"{path}: holds an artifact of kind {str(found)[:40]!r}; refusing to replace it by "
            f"{kind!r}"
        )


def _replace(scratch: Path, path: Path) -> None:
    """Rename ``scratch`` to ``path``; an older artifact steps aside first and is then deleted."""
    aside = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.old"
    if path.exists():
        os.rename(path, aside)
    os.rename(scratch, path)
    _fsync(path.parent)
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


def _fsync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
