"""MovieLens-100K: fetched once into a cache, checked against pinned sums, never redistributed.

Two sources hold the same data: GroupLens' own archive (``u.data``, ``u.item``), and the wheel of
RecBole 1.2.1 on the package index (``ml-100k.inter``, ``ml-100k.item``), of which nothing is
imported. The archive is rewritten into the very bytes of the latter, so that one pair of SHA-256
sums proves either, and a run is the same whichever answered.
"""

import dataclasses
import hashlib
import http.client
import io
import lzma
import os
import re
import struct
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from genret.errors import GenretError
from genret.typing import PathLike

TERMS = (
    "MovieLens-100K, GroupLens Research, University of Minnesota: for research and other "
    "non-commercial use; no redistribution without permission; no endorsement may be implied. "
    "Cite: F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS "
    "5(4), 2015. Full terms: https://files.grouplens.org/datasets/movielens/ml-100k-README.txt"
)
_URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
_PACKAGE = "recbole==1.2.1"
_TIMEOUT = 10
"""Seconds without an answer after which GroupLens counts as out of reach."""
_PIP_TIMEOUT = 180
_MAX_BYTES = 64 << 20
"""Largest file, archive or member of one that is read: the data set has less than 5 MB."""

INTER, ITEM = "ml-100k.inter", "ml-100k.item"
SHA256 = {
    INTER: "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    ITEM: "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
}
"""Sums of the two files, the same from either source."""

_INTER_HEADER = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
_ITEM_HEADER = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
_GENRES = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]
_ARTICLES = "The|An|A|Les|Le|La|L'|Il|Las|Los|El|Der|Die|Das|Det|O"


@dataclasses.dataclass(frozen=True)
class MovieLens:
    """The data set, ready for :func:`genret.data.ingest`.

    Attributes:
      interactions: ``user_id``, ``item_id``, ``rating``, ``timestamp`` (seconds), 100,000 rows.
      items: ``item_id``, ``title``, ``year``, ``genres``, 1,682 rows.
      source: where it came from.
      terms: under which it may be used; show them.
    """

    interactions: pa.Table
    items: pa.Table
    source: str
    terms: str = TERMS


def movielens(data: PathLike | None = None, *, cache: PathLike | None = None) -> MovieLens:
    """Return MovieLens-100K from a local copy, the cache, GroupLens or the package index.

    Args:
      data: a local copy: GroupLens' archive, the wheel of RecBole 1.2.1, or a folder with the
        files of either; nothing else is tried then.
      cache: folder to keep it in; None takes ``$XDG_CACHE_HOME/genret`` or ``~/.cache/genret``.

    Returns:
      The data set.

    Raises:
      GenretError: no source answers, or a copy is not the data set (its sums differ).
    """
    if data is not None:
        files, source = _checked(_members(Path(data)), str(data)), str(data)
        return MovieLens(_interactions(files[INTER]), _items(files[ITEM]), source)
    folder = (Path(cache) if cache is not None else default_cache()) / "ml-100k"
    if (folder / INTER).is_file() and (folder / ITEM).is_file():
        files, source = _checked(_members(folder), str(folder)), f"cache {folder}"
    else:
        files, source = _fetch()
        _keep(files, folder)
    return MovieLens(_interactions(files[INTER]), _items(files[ITEM]), source)


def default_cache() -> Path:
    """Return the folder of cached downloads."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "genret"


def article_first(title: str) -> str:
    """Move the article of a title to its front.

    >>> article_first("Empire Strikes Back, The")
    'The Empire Strikes Back'
    >>> article_first("Horseman on the Roof, The (Hussard sur le toit, Le)")
    'The Horseman on the Roof (Le Hussard sur le toit)'
    """
    return re.sub(
        rf"(^|\()([^()]+), ({_ARTICLES})(?=$|\)| \()",
        lambda m: f"{m[1]}{m[3]}{'' if m[3].endswith(chr(39)) else ' '}{m[2]}",
        title,
    )


def _fetch() -> tuple[dict[str, bytes], str]:
    failures = []
    for name, source in (("GroupLens", _from_grouplens), ("package index", _from_package_index)):
        try:
            return _checked(source(), name), name
        except (OSError, http.client.HTTPException, subprocess.SubprocessError) as e:
            reason = str(e) or type(e).__name__
        except GenretError as e:
            reason = str(e)
        failures.append(f"{name}: {reason}")
    raise GenretError(
        f"MovieLens-100K: no source answers ({'; '.join(failures)}); give a local copy with "
        "--data PATH, or use --synthetic"
    )


def _from_grouplens() -> dict[str, bytes]:
    with urllib.request.urlopen(_URL, timeout=_TIMEOUT) as response:
        archive = _at_most(response, "the answer of GroupLens")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "ml-100k.zip")
        file.write_bytes(archive)
        return _members(file)


def _from_package_index() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--only-binary=:all:", "--dest", folder, _PACKAGE,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            lines = done.stderr.strip().splitlines() or [f"pip exited with {done.returncode}"]
            raise GenretError(lines[-1])
        return _members(wheels[0])


def _members(path: Path) -> dict[str, bytes]:
    """Return the known files of a folder or a zip archive, by their names without folders."""
    wanted = (INTER, ITEM, "u.data", "u.item")
    try:
        if path.is_dir():
            return {n: _read(path / n) for n in wanted if (path / n).is_file()}
        if not path.is_file():
            raise GenretError(f"{path}: no such file or folder (a copy of MovieLens-100K)")
        with zipfile.ZipFile(path) as archive:
            names = {Path(n).name: n for n in archive.namelist()}
            found = {}
            for name in wanted:
                if name in names:
                    with archive.open(names[name]) as member:
                        found[name] = _at_most(member, f"{path}: {name}")
            return found
    except (OSError, ValueError) as e:  # ValueError: a null character in the name
        reason = getattr(e, "strerror", None) or e
        raise GenretError(f"{path}: cannot be read: {reason}") from e
    except _DAMAGED_ZIP as e:
        raise GenretError(f"{path}: cannot be read as a zip archive: {e}") from e


_DAMAGED_ZIP = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,  # an encrypted member; a method that this Python lacks
    NotImplementedError,  # a method or a version that nobody knows
    MemoryError,
    IndexError,
    OverflowError,
)
"""What zipfile raises over archives that are damaged, encrypted or packed in an unknown way."""


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        return _at_most(stream, str(file))


def _at_most(stream: Any, name: str) -> bytes:
    """Read a stream to its end, but not more than the data set can have."""
    raw = stream.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise GenretError(f"{name}: has more than {_MAX_BYTES >> 20} MiB, expected MovieLens-100K")
    return bytes(raw)


def _checked(members: dict[str, bytes], name: str) -> dict[str, bytes]:
    """Return the two files in their normal form, or refuse a copy that is not the data set."""
    files = {n: members[n] for n in (INTER, ITEM) if n in members}
    if "u.data" in members and "u.item" in members:
        files = {
            INTER: _INTER_HEADER + members["u.data"],
            ITEM: _item_file(members["u.item"]),
        }
    for file, expected in SHA256.items():
        if file not in files:
            raise GenretError(f"{name}: holds neither {file} nor u.data and u.item")
        if hashlib.sha256(files[file]).hexdigest() != expected:
            raise GenretError(f"{name}: is not MovieLens-100K: SHA-256 of {file} differs")
    return files


def _item_file(u_item: bytes) -> bytes:
    """Rewrite GroupLens' ``u.item`` as RecBole's ``ml-100k.item``, byte for byte."""
    lines = [_ITEM_HEADER]
    for line in u_item.decode("latin-1").splitlines():
        # A line of other shape shows in the sum of the result.
        item, title, *_ = fields = [*line.split("|"), ""]
        genres = " ".join(g for g, flag in zip(_GENRES, fields[5:], strict=False) if flag == "1")
        name, _, year = title.strip().rpartition("(")
        if not name:
            name = year = "unkonwn"  # sic: so it stands there for the one film without a name
        lines.append("\t".join([item, name.strip(), year.rstrip(")"), genres]))
    return "\n".join([*lines, ""]).encode()


def _keep(files: dict[str, bytes], folder: Path) -> None:
    """Put the files into the cache, each whole or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            # mkstemp: a name that nobody can foresee, and never an existing file or a link.
            handle, scratch = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(content)
                os.chmod(scratch, 0o644)
                os.replace(scratch, folder / name)
            except BaseException:
                os.unlink(scratch)
                raise
    except OSError as e:
        raise GenretError(f"{folder}: cannot be written (the cache): {e.strerror}") from e


def _interactions(inter: bytes) -> pa.Table:
    table = pa.csv.read_csv(
        io.BytesIO(inter), parse_options=pa.csv.ParseOptions(delimiter="\t", quote_char=False)
    )
    return table.rename_columns([name.partition(":")[0] for name in table.column_names])


def _items(item: bytes) -> pa.Table:
    ids, titles, years, genres = [], [], [], []
    for line in item.decode().splitlines()[1:]:
        number, title, year, kinds = line.split("\t")
        if not year.isdigit():  # a note like (V), for video, stands behind the year
            title, _, year = title.rpartition(" (") if title.endswith(")") else ("unknown", "", "")
            year = year.rstrip(")")
        ids.append(int(number))
        titles.append(article_first(title))
        years.append(int(year) if year.isdigit() else None)
        genres.append(", ".join(kinds.split()))
    return pa.table(
        {"item_id": ids, "title": titles, "year": pa.array(years, pa.int64()), "genres": genres}
    )
