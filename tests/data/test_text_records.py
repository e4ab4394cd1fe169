"""Records of text are counted from bytes as a slow reader counts them, however the text is cut."""

import csv
import io

import hypothesis
import pytest
from hypothesis import strategies as st

from genret.data._text_records import TextRecords, count_records


def slow_count(text: str, delimiter: str) -> TextRecords:
    """One character after the other."""
    quoted = unquoted = lines = 0
    stray = opened = field = 0
    inside = False
    here = ""  # the record so far, with its quotes
    for k, c in enumerate(text):
        after = text[k + 1] if k + 1 < len(text) else "\n"
        line_end = c == "\n" or (c == "\r" and text[k + 1 : k + 2] != "\n")
        if c == '"':
            before = text[k - 1] if k else "\n"
            neighbor = after if inside else before
            inside = not inside
            if inside and before != '"':
                field = lines + 1
            if neighbor not in (delimiter, "\n", "\r", '"') and not stray:
                stray, opened = lines + 1, 0 if inside else field
        if line_end:
            lines += 1
        if line_end and not inside:
            quoted += bool(here.strip("\r"))
            here = ""
        else:
            here += c
    quoted += bool(here)
    plain = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    unquoted = sum(bool(line) for line in plain)
    stray = stray or (field if inside else 0)
    return TextRecords(
        quoted, unquoted, lines + bool(plain[-1]), '"' in text, stray, opened_line=opened
    )


def cut(text: bytes, size: int) -> list[bytes]:
    return [text[k : k + size] for k in range(0, len(text), size)]


@hypothesis.settings(max_examples=400)
@hypothesis.given(
    text=st.text(alphabet='a",\n\r', max_size=30) | st.text(alphabet="ab,\n", max_size=30),
    size=st.integers(1, 12),
)
def test_equals_the_slow_twin(text: str, size: int) -> None:
    found = count_records(cut(text.encode(), size), ",")
    expected = slow_count(text, ",")
    assert (found.has_quotes, found.unquoted, found.lines) == (
        expected.has_quotes,
        expected.unquoted,
        expected.lines,
    )
    assert (found.stray_line, found.opened_line) == (expected.stray_line, expected.opened_line)
    if not found.stray_line:
        assert found.quoted == expected.quoted


FIELD = st.text(alphabet='a" ,;\t\n\r\u00fc', max_size=6)


@hypothesis.settings(max_examples=200)
@hypothesis.given(
    rows=st.lists(st.lists(FIELD, min_size=2, max_size=2), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    delimiter=st.sampled_from([",", "\t", ";"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    size=st.integers(1, 40),
)
def test_what_a_writer_wrote_has_its_number_of_rows(
    rows: list[list[str]], end: str, delimiter: str, quoting: int, size: int
) -> None:
    if end != "\r\n":
        quoting = csv.QUOTE_ALL  # the writer looks only for the line end that it is given
    sink = io.StringIO()
    csv.writer(sink, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    found = count_records(cut(sink.getvalue().encode(), size), delimiter)
    assert (found.stray_line, found.quoted) == (0, len(rows))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('a,b,c\n1,2,"x\n4,5,6\n7,8,y"\n', (2, 3)),
        ('a,b,c\n1,2,3\n"1,2,3\n4,5,6",7,8\n', (0, 0)),
        ('a,b\n1,"x\ny"\n', (0, 0)),
        ('a,b\n1,"x\n2,y"\n"",""\n', (2, 2)),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_swallowed_records_are_found(text: str, lines: tuple[int, int], size: int) -> None:
    found = count_records(cut(text.encode(), size), ",")
    assert (found.doubtful_line, found.doubtful_lines) == lines
