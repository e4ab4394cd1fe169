"""Opens text files as streams of UTF-8: compression and encoding are told by the content.

A file is gzip or zstd when its first bytes say so, whatever it is called, and a file of another
kind (a ZIP archive, a workbook, Parquet) that is named like text is refused by what it is. UTF-16
is read where a byte order mark declares it.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from genret.errors import GenretError

BLOCK_BYTES = 8 << 20
"""Text is read in blocks of this size; a line over three is refused (an unclosed quote, junk)."""

_COMPRESSED = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"PAR1", "Parquet"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook of the old kind"),
    (b"ARROW1", "an Arrow file"),
    (b"ORC", "ORC"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89HDF", "HDF5"),
    (b"%PDF", "PDF"),
)
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def compression_of(path: Path, declared: str | None) -> str | None:
    """Return how a text file is compressed, by its first bytes.

    Args:
      path: the file.
      declared: what its suffix says: "gzip", "zstd" or None.

    Raises:
      GenretError: the suffix says that it is compressed, and it is not.
    """
    with path.open("rb") as file:
        head = file.read(16)
    for magic, name in _COMPRESSED:
        if head.startswith(magic):
            return name
    if declared:
        raise GenretError(f"{path}: is named as {declared}, but its content is not {declared}")
    return None


@contextlib.contextmanager
def open_text(path: Path, compression: str | None) -> Iterator[Any]:
    """Open a text file as a stream of UTF-8 without a byte order mark.

    Args:
      path: the file.
      compression: what :func:`compression_of` returned.

    Yields:
      An Arrow stream.

    Raises:
      GenretError: it is no text.
    """
    with _open(path, compression) as stream:
        head = stream.read(64)
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            raise GenretError(f"{path}: is {name}, not text")
    encoding = _UTF16_MARKS.get(head[:2])
    if encoding and head[2:4] == b"\0\0":
        raise GenretError(f"{path}: is text in UTF-32, expected UTF-8")
    if not encoding and _looks_like_utf16(head):
        raise GenretError(f"{path}: looks like UTF-16 without a byte order mark, expected UTF-8")
    with _open(path, compression) as stream:
        if encoding:
            stream.read(2)
            yield pa.transcoding_input_stream(stream, encoding, "utf-8")
        else:
            if head.startswith(_UTF8_MARK):
                stream.read(len(_UTF8_MARK))
            yield stream


def read_document(path: Path, compression: str | None, max_mib: int) -> bytes:
    """Return the text of a file that is parsed as a whole, however small it is compressed.

    Args:
      path: the file.
      compression: what :func:`compression_of` returned.
      max_mib: the most text, after decompression, in MiB.

    Raises:
      GenretError: it is no text, or has more of it; no more than that is held in memory.
    """
    blocks, size = [], 0
    for block in read_blocks(path, compression):
        blocks.append(block)
        size += len(block)
        if size > max_mib << 20:
            raise GenretError(
                f"{path}: has more than {max_mib} MiB of text after decompression; "
                "raise --document-mib to read it"
            )
    return b"".join(blocks)


def read_blocks(path: Path, compression: str | None) -> Iterator[bytes]:
    """Yield the text of a file as UTF-8, in blocks of :data:`BLOCK_BYTES`."""
    with open_text(path, compression) as stream:
        while block := stream.read(BLOCK_BYTES):
            yield block


def read_line_blocks(path: Path, compression: str | None) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of whole lines, each with the number of its first line (from 1).

    Raises:
      GenretError: a line is longer than three blocks.
    """
    rest, line = b"", 1
    for block in read_blocks(path, compression):
        held, newline, tail = (rest + block).rpartition(b"\n")
        if not newline:
            rest = tail
            if len(rest) > 3 * BLOCK_BYTES:
                raise GenretError(f"{path}: line {line}: is longer than {BLOCK_BYTES >> 20} MiB")
            continue
        yield line, held + newline
        line += held.count(b"\n") + 1
        rest = tail
    if rest.strip():
        yield line, rest


class LineEndsWhole:
    r"""A stream none of whose blocks ends with a CR that a LF may follow.

    Arrow's CSV reader drops a LF at the beginning of a block where the block before ends with a
    CR, also inside quotes, where it is text.
    """

    closed = False

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._held = b""

    def readable(self) -> bool:
        """Say that it is there to be read."""
        return True

    def close(self) -> None:
        """Leave the stream to whoever opened it."""
        self.closed = True

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most ``size``; none: the end."""
        block: bytes = self._held + self._stream.read(max(size - len(self._held), 1))
        self._held = b""
        if block.endswith(b"\r") and len(block) > 1:
            block, self._held = block[:-1], b"\r"
        return block


@contextlib.contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn what Arrow says about a file into one clear line."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as e:
        text = str(e).splitlines()[0] if str(e) else type(e).__name__
        if "straddling" in text:
            text = f"a line is longer than {BLOCK_BYTES >> 20} MiB (an unclosed quote?)"
        elif "Empty CSV" in text:
            text = "it has no rows"
        elif re.search("unknown compression method|incorrect header check|frame descriptor", text):
            text = f"the compressed data is damaged, or other bytes follow it ({text})"
        text = "".join(c if c.isprintable() else "?" for c in text[:200])
        raise GenretError(f"{path}: cannot be read as {kind}: {text}") from e


def _open(path: Path, compression: str | None) -> Any:
    return pa.input_stream(str(path), compression=compression)


def _looks_like_utf16(head: bytes) -> bool:
    """Tell text in UTF-16 by zeros in every other byte, as most of it is ASCII, and nowhere else."""
    pairs = len(head) // 2
    halves = [head[start : 2 * pairs : 2].count(0) for start in (0, 1)]
    return pairs >= 4 and 2 * max(halves) > pairs and min(halves) == 0
