"""Folders here and in object stores: list, read, publish whole files, and lock."""

import contextlib
import dataclasses
import fnmatch
import glob
import hashlib
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs

from genret.errors import GenretError
from genret.json_files import encode_json, parse_json
from genret.locks import hold
from genret.typing import PathLike

_PIECE = 8 << 20
_BEAT = 10.0
"""Seconds between two signs of life from the holder of a lock in an object store."""
_DEAD = 60.0
"""Seconds without a sign of life after which the lock is free."""


@dataclasses.dataclass(frozen=True)
class Location:
    """A folder or a file, on this machine or in an object store.

    Attributes:
      uri: how the user wrote it.
      filesystem: Arrow's file system.
      path: the path in it.
    """

    uri: str
    filesystem: Any
    path: str

    @classmethod
    def of(cls, uri: PathLike) -> "Location":
        """Open a path, or a URI: ``s3://``, ``gs://``, or what fsspec knows.

        Raises:
          GenretError: no library can open such a URI.

        >>> Location.of("scores").is_local, Location.of("memory://scores").is_local
        (True, False)
        """
        text = os.fspath(uri)
        if "://" not in text:
            return cls(text, pa.fs.LocalFileSystem(), os.path.abspath(text))
        try:
            try:
                filesystem, path = pa.fs.FileSystem.from_uri(text)
            except pa.ArrowInvalid:
                import fsspec  # the schemes that Arrow does not know

                found, path = fsspec.core.url_to_fs(text)
                filesystem = pa.fs.PyFileSystem(pa.fs.FSSpecHandler(found))
        except (pa.ArrowException, ImportError, ValueError, OSError) as e:
            raise GenretError(f"{text}: cannot be opened: {_line(e)}") from e
        return cls(text, filesystem, path)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return isinstance(self.filesystem, pa.fs.LocalFileSystem)

    def at(self, name: str) -> str:
        """Return the path of a file of the folder."""
        return f"{self.path.rstrip('/')}/{name}"

    def exists(self, name: str = "") -> bool:
        """Say whether the folder has a file; without a name, whether it is there itself."""
        path = self.at(name) if name else self.path
        return self._info(path).type != pa.fs.FileType.NotFound

    def names(self, folder: str = "") -> list[str]:
        """Return the names of the files and folders in a folder of it; none where there is none."""
        where = self.at(folder) if folder else self.path
        chosen = pa.fs.FileSelector(where, allow_not_found=True)
        with self.working(where):
            return sorted(info.base_name for info in self.filesystem.get_file_info(chosen))

    def read_json(self, name: str) -> Any:
        """Read a JSON file; None where there is none."""
        if not self.exists(name):
            return None
        with self.working(name), self.filesystem.open_input_stream(self.at(name)) as stream:
            raw = stream.read()
        return parse_json(raw, f"{self.uri}/{name}")

    def write_json(self, name: str, value: Any) -> None:
        """Publish a JSON file."""
        self.write(name, encode_json(value))

    def write(self, name: str, content: bytes) -> None:
        """Publish a small file: it is there whole, or not at all."""
        with self.scratch(name) as file:
            file.write_bytes(content)
            self.publish(file, name)

    @contextlib.contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Give the path of a file of this machine, to be written and then published."""
        if not self.is_local:
            with tempfile.TemporaryDirectory(prefix="genret-") as folder:
                yield Path(folder) / Path(name).name
            return
        target = Path(self.at(name))
        file = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            with self.working(name):
                target.parent.mkdir(parents=True, exist_ok=True)
            yield file
        finally:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)

    def publish(self, file: Path, name: str) -> None:
        """Give a finished file its name: renamed here, uploaded to an object store.

        An object appears when its upload ends; a broken upload leaves none.
        """
        with self.working(name):
            if self.is_local:
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
                os.replace(file, self.at(name))
                return
            self.filesystem.create_dir(os.path.dirname(self.at(name)), recursive=True)
            stream = self.filesystem.open_output_stream(self.at(name))
            with file.open("rb") as source, stream:
                while piece := source.read(_PIECE):
                    stream.write(piece)

    def size_and_sum(self, name: str = "") -> tuple[int, str] | None:
        """Return bytes and SHA-256 of a file of the folder, or of the file itself; None: no file."""
        path = self.at(name) if name else self.path
        if self._info(path).type != pa.fs.FileType.File:
            return None
        digest, size = hashlib.sha256(), 0
        with self.working(name), self.filesystem.open_input_stream(path) as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
                size += len(piece)
        return size, digest.hexdigest()

    @contextlib.contextmanager
    def local(self) -> Iterator[Path]:
        """Give a path of this machine at which the file can be read: itself, or a copy."""
        if self.is_local:
            yield Path(self.path)
            return
        with tempfile.TemporaryDirectory(prefix="genret-") as folder:
            copy = Path(folder) / Path(self.path).name
            with (
                self.working(self.path),
                copy.open("wb") as target,
                self.filesystem.open_input_stream(self.path) as stream,
            ):
                while piece := stream.read(_PIECE):
                    target.write(piece)
            yield copy

    @contextlib.contextmanager
    def local_of(self, name: str) -> Iterator[Path]:
        """Give a path of this machine at which a file of the folder can be read."""
        with Location(f"{self.uri}/{name}", self.filesystem, self.at(name)).local() as file:
            yield file

    def delete(self, name: str) -> None:
        """Delete a file or a folder of it, if it is there."""
        info = self._info(self.at(name))
        with self.working(name):
            if info.type == pa.fs.FileType.Directory:
                self.filesystem.delete_dir(info.path)
            elif info.type != pa.fs.FileType.NotFound:
                self.filesystem.delete_file(info.path)

    def sweep(self, folder: str) -> None:
        """Delete what a killed job left half-written in a folder."""
        if self.is_local:
            for file in Path(self.at(folder)).glob(".*.partial"):
                file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the folder for this process.

        Here the system's file lock, which a killed process loses. An object store has none: there
        the holder signs a file every 10 s, and one who finds no sign of the last minute takes it.

        Raises:
          GenretError: another process holds it; the message says which.
        """
        if self.is_local:
            with self.working(name):
                Path(self.path).mkdir(parents=True, exist_ok=True)
            with hold(Path(self.at(name)), f"{self.uri}: another job writes into it"):
                yield
            return
        me = {"host": socket.gethostname(), "process": os.getpid(), "token": uuid.uuid4().hex}
        held = self.read_json(name)
        signed = held.get("time") if isinstance(held, dict) else None
        if isinstance(signed, int | float) and time.time() - signed < _DEAD:
            raise self._held(f"process {held.get('process')} on {held.get('host')}")
        self.write_json(name, me | {"time": time.time()})
        time.sleep(1)  # two that start at once: the one who signed last has it
        last = self.read_json(name)
        if not isinstance(last, dict) or last.get("token") != me["token"]:
            raise self._held("one that started at the same time")
        stop = threading.Event()

        def sign() -> None:
            while not stop.wait(_BEAT):
                with contextlib.suppress(GenretError):  # the store is away: it may come back
                    self.write_json(name, me | {"time": time.time()})

        signer = threading.Thread(target=sign, daemon=True)
        signer.start()
        try:
            yield
        finally:
            stop.set()
            signer.join()
            self.delete(name)

    def _held(self, who: str) -> GenretError:
        return GenretError(f"{self.uri}: another job writes into it ({who or 'unknown'})")

    def _info(self, path: str) -> Any:
        with self.working(path):
            return self.filesystem.get_file_info(path)

    @contextlib.contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Turn what the system says about a file into one clear line."""
        try:
            yield
        except (OSError, pa.ArrowException) as e:
            where = self.uri if what in ("", self.path) else f"{self.uri}: {what}"
            raise GenretError(f"{where}: {_line(e)}") from e


def find_files(pattern: PathLike) -> list[Location]:
    """Return the files that a path, a folder or a pattern with ``*`` names, in order of path.

    Raises:
      GenretError: there is none.
    """
    if not os.fspath(pattern):
        raise GenretError("histories: found no name, expected a file, a folder or a pattern")
    if "://" not in os.fspath(pattern):
        found = [Location.of(path) for path in _local_files(os.fspath(pattern))]
    else:
        text, _, query = os.fspath(pattern).partition("?")
        has_pattern = any(c in text for c in "*[")
        suffix = f"?{query}" if query else ""
        folder = text.rsplit("/", 1)[0] if has_pattern else text
        place = Location.of(folder + suffix)
        if not has_pattern and place._info(place.path).type == pa.fs.FileType.File:
            return [place]
        wanted = text.rsplit("/", 1)[1] if has_pattern else "*"
        names = [n for n in place.names() if fnmatch.fnmatchcase(n, wanted) and _is_data(n)]
        found = [Location(f"{folder}/{n}", place.filesystem, place.at(n)) for n in names]
    if not found:
        raise GenretError(f"{pattern}: no such file (histories)")
    return found


def _local_files(text: str) -> list[str]:
    """Return the files of this machine that a path, a folder or a pattern names, in order."""
    try:
        # What exists as it is written is meant, also with [, * or ? in its name.
        paths = [text] if os.path.lexists(text) else sorted(glob.glob(text))
        if len(paths) == 1 and os.path.isdir(paths[0]):
            folder = paths[0]
            paths = sorted(os.path.join(folder, n) for n in os.listdir(folder) if _is_data(n))
    except (OSError, ValueError) as e:  # ValueError: a null character
        raise GenretError(f"{text}: cannot be read: {getattr(e, 'strerror', None) or e}") from e
    for path in paths:
        if os.path.islink(path) and not os.path.exists(path):
            raise GenretError(f"{path}: is a link to {os.readlink(path)}, which is not there")
        if os.path.isdir(path) and _is_data(os.path.basename(path)):  # its files would be missed
            raise GenretError(
                f"{path}: is a folder, expected files alone; a pattern such as "
                f"{os.path.dirname(path)}/*/* names the files in folders"
            )
        if os.path.exists(path) and not os.path.isdir(path) and not os.path.isfile(path):
            raise GenretError(f"{path}: is no regular file")
    return [path for path in paths if os.path.isfile(path)]


def is_leftover(name: str, published: Collection[str]) -> bool:
    """Say whether a killed job left a file half-written that was to have one of these names.

    >>> is_leftover(".manifest.json.0a1b2c3d.partial", {"manifest.json"})
    True
    """
    return name.endswith(".partial") and name.startswith(tuple(f".{n}." for n in published))


def sha256(file: Path) -> str:
    """Return the SHA-256 sum of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_data(name: str) -> bool:
    return not name.startswith((".", "_"))


def _line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:300]
