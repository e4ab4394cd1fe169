"""Counts the records of delimited text from its bytes alone, and checks its quotes.

The count does not come from the parser, so that it can be held against the rows that the parser
gave. A quote may stand only where RFC 4180 puts it: it opens a field at its very beginning, and
closes it right before a delimiter or the end of the line; inside a quoted field it is doubled.
Then the number of quotes before a line end tells whether the line end is inside a field.
"""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from genret.typing import Bool, Int, UInt

_LF, _CR, _QUOTE = b"\n"[0], b"\r"[0], b'"'[0]


@dataclasses.dataclass(frozen=True)
class TextRecords:
    """The records of a text, the header included; empty lines are no records.

    Attributes:
      quoted: number of records if quotes enclose fields.
      unquoted: number of records if a quote is a character like any other.
      lines: number of lines, empty ones included.
      has_quotes: whether there is a quote at all.
      stray_line: line of the first quote that neither opens nor closes a field, or that is never
        closed (the line on which it opens); 0: there is none.
      opened_line: where that quote stands inside a quoted field, the line on which the field begins;
        0: it stands inside none.
      doubtful_line: first line of a record whose quoted field runs over several lines, each of
        which is a whole record if quotes are characters; 0: there is none.
      doubtful_lines: number of lines of that record.
    """

    quoted: int
    unquoted: int
    lines: int
    has_quotes: bool
    stray_line: int = 0
    opened_line: int = 0
    doubtful_line: int = 0
    doubtful_lines: int = 0


def count_records(blocks: Iterable[bytes], delimiter: str) -> TextRecords:
    r"""Count the records of a text.

    Args:
      blocks: the text, UTF-8, cut anywhere.
      delimiter: what separates fields, one ASCII character.

    Returns:
      The counts, and where quotes are not as they should be.

    >>> count_records([b'a,b\n1,"x\ny"\n\n2,z\n'], ",").quoted
    3
    >>> count_records([b'a,b\n1,x\n2,12" plate\n'], ",").stray_line
    3
    """
    counter = _Counter(delimiter.encode()[0])
    for before, body, after in _with_neighbors(blocks, counter.delimiter):
        counter.add(before, body, after)
    return counter.finish()


def _with_neighbors(blocks: Iterable[bytes], end: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield blocks, each with the byte before and the byte after it.

    Before a text stands a line end, after it ``end``.
    """
    before, held = _LF, b""
    for block in blocks:
        text = held + block
        body, held = text[:-1], text[-1:]
        if body:
            yield before, body, held[0]
            before = body[-1]
    if held:
        yield before, held, end


class _Counter:
    """The state between blocks."""

    def __init__(self, delimiter: int) -> None:
        self.delimiter = delimiter
        self.inside = False  # of a quoted field
        self.lines = 0  # ended so far, of any kind
        self.quoted = self.unquoted = 0
        self.has_quotes = False
        self.stray_line = self.opened_line = 0
        self.field_line = 0  # line on which the newest quoted field begins
        self.fields = -1  # delimiters of a record, from the header; -1: not known yet
        self.delimiters = 0  # of the current line
        self.line_bytes = 0  # of the current line so far
        self.record_bytes = 0  # of the lines of the current record that have ended
        self.span = self.unfit = 0  # lines of the current record, and those that are no record
        self.doubtful_line = self.doubtful_lines = 0

    def add(self, before: int, body: bytes, after: int) -> None:
        if not self.has_quotes and b'"' not in body and self._add_plain(before, body):
            return
        self._add_any(before, body, after)

    def _add_plain(self, before: int, body: bytes) -> bool:
        """Count a block without quotes whose lines end alike and are not empty: the usual case."""
        newline = body.find(b"\n")
        if before == _CR or newline < 0 or b"\n\n" in body or b"\n\r" in body or self.fields < 0:
            return False
        crlf = body.count(b"\r\n") if b"\r" in body else 0
        if (crlf and body.count(b"\r") != crlf) or (b"\r" in body and not crlf):
            return False
        if self.line_bytes == 0 and newline - (crlf > 0) <= 0:
            return False
        lines = body.count(b"\n")
        if crlf not in (0, lines):
            return False
        self.lines += lines
        self.quoted += lines
        self.unquoted += lines
        last = body.rfind(b"\n") + 1
        self.line_bytes = len(body) - last
        self.delimiters = body.count(self.delimiter, last)
        return True

    def _add_any(self, before: int, body: bytes, after: int) -> None:
        text = np.frombuffer(body, np.uint8)
        following = np.append(text[1:], np.uint8(after))
        ends = (text == _LF) | ((text == _CR) & (following != _LF))
        quotes = text == _QUOTE
        parity = np.cumsum(quotes) + self.inside
        at = np.flatnonzero(ends)
        if quotes.any():
            self.has_quotes = True
            self._check_quotes(before, text, following, quotes, parity, at)
        outside = parity[at] % 2 == 0
        # What a line holds: its bytes without the line end, which is CR LF, LF or CR.
        crlf = (text[at] == _LF) & (np.where(at > 0, text[at - 1], before) == _CR)
        length = np.diff(at, prepend=-1) - 1 - crlf
        if len(at):
            length[0] += self.line_bytes
            self.line_bytes = len(body) - int(at[-1]) - 1
        else:
            self.line_bytes += len(body)
        # A CR at the end of a block belongs to the line end that follows it.
        self._count(text, at, outside, length)
        self.lines += len(at)
        self.inside = bool(parity[-1] % 2)

    def _check_quotes(
        self,
        before: int,
        text: UInt[np.ndarray, "T"],
        following: UInt[np.ndarray, "T"],
        quotes: Bool[np.ndarray, "T"],
        parity: Int[np.ndarray, "T"],
        line_ends: Int[np.ndarray, "E"],
    ) -> None:
        where = np.flatnonzero(quotes)
        opens = parity[where] % 2 == 1
        neighbor = np.where(opens, np.where(where > 0, text[where - 1], before), following[where])
        good = np.isin(neighbor, (self.delimiter, _LF, _CR, _QUOTE))
        lines = self.lines + 1 + np.searchsorted(line_ends, where)
        begins = np.flatnonzero(opens & good & (neighbor != _QUOTE))  # no half of a doubled quote
        if not self.stray_line and not good.all():
            stray = int(np.argmin(good))
            self.stray_line = int(lines[stray])
            if not opens[stray]:
                earlier = begins[begins < stray]
                self.opened_line = int(lines[earlier[-1]]) if len(earlier) else self.field_line
        if len(begins):
            self.field_line = int(lines[begins[-1]])

    def _count(
        self,
        text: UInt[np.ndarray, "T"],
        at: Int[np.ndarray, "E"],
        outside: Bool[np.ndarray, "E"],
        length: Int[np.ndarray, "E"],
    ) -> None:
        """Count the lines that end at some positions, and the records that end with them."""
        delimiters = np.flatnonzero(text == self.delimiter)
        upto = np.searchsorted(delimiters, at)
        each = np.diff(upto, prepend=0)
        if not len(at):
            self.delimiters += len(delimiters)
            return
        each[0] += self.delimiters
        self.delimiters = len(delimiters) - int(upto[-1])
        self.unquoted += int((length > 0).sum())
        filled = np.flatnonzero(length > 0)
        if self.fields < 0 and len(filled):
            self.fields = int(each[filled[0]])
        # Lines of one record share a number; a record is empty where all of its one line is.
        record = np.cumsum(outside) - outside
        spans = np.bincount(record, minlength=int(outside.sum()) + 1)
        unfit = np.bincount(record, (each != self.fields), len(spans)).astype(np.int64)
        full = np.bincount(record, length, len(spans)).astype(np.int64)
        spans[0] += self.span
        unfit[0] += self.unfit
        full[0] += self.record_bytes
        whole = len(spans) - 1  # of the last one the end is not here
        self.quoted += int(((full[:whole] > 0) | (spans[:whole] > 1)).sum())
        doubtful = (spans[:whole] > 1) & (unfit[:whole] == 0)
        if doubtful.any():
            k = int(np.argmax(np.where(doubtful, spans[:whole], 0)))
            if spans[k] > self.doubtful_lines:
                ended = self.lines + int(np.flatnonzero(outside)[k]) + 1
                self.doubtful_lines = int(spans[k])
                self.doubtful_line = ended - self.doubtful_lines + 1
        self.span, self.unfit = int(spans[whole]), int(unfit[whole])
        self.record_bytes = int(full[whole])

    def finish(self) -> TextRecords:
        open_line = self.line_bytes > 0
        stray = self.stray_line or (self.field_line if self.inside else 0)
        return TextRecords(
            quoted=self.quoted + (open_line or self.span > 0),
            unquoted=self.unquoted + open_line,
            lines=self.lines + open_line,
            has_quotes=self.has_quotes,
            stray_line=stray,
            opened_line=self.opened_line,
            doubtful_line=self.doubtful_line,
            doubtful_lines=self.doubtful_lines,
        )
