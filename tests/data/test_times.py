"""The same moments in every spelling are the same microseconds."""

import datetime

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from genret.data._times import NO_TIME, TimeColumn, absurd_rows
from genret.errors import GenretError

UTC = datetime.UTC


def moment(second: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(second, UTC)


def iso(second: int, form: str) -> str:
    return moment(second).strftime(form)


SPELLINGS = {
    "seconds": lambda s: pa.array(s, pa.int64()),
    "unsigned seconds": lambda s: pa.array(s, pa.uint64()),
    "milliseconds": lambda s: pa.array([v and v * 10**3 for v in s], pa.int64()),
    "microseconds": lambda s: pa.array([v and v * 10**6 for v in s], pa.int64()),
    "nanoseconds": lambda s: pa.array([v and v * 10**9 for v in s], pa.int64()),
    "float seconds": lambda s: pa.array(s, pa.float64()),
    "float milliseconds": lambda s: pa.array([v and v * 1e3 for v in s], pa.float64()),
    "float with NaN": lambda s: pa.array([np.nan if v is None else v for v in s], pa.float64()),
    "text seconds": lambda s: pa.array([v and str(v) for v in s], pa.string()),
    "text milliseconds": lambda s: pa.array([v and f"{v}000" for v in s], pa.large_string()),
    "text decimals": lambda s: pa.array([v and f"{v}.0" for v in s], pa.string()),
    "dictionary": lambda s: pa.array([v and str(v) for v in s], pa.string()).dictionary_encode(),
    "timestamp[s]": lambda s: pa.array(s, pa.timestamp("s")),
    "timestamp[ns]": lambda s: pa.array([v and v * 10**9 for v in s], pa.timestamp("ns")),
    "timestamp[ms, zone]": lambda s: pa.array(
        [v and v * 10**3 for v in s], pa.timestamp("ms", "Asia/Tokyo")
    ),
    "ISO": lambda s: pa.array([v and iso(v, "%Y-%m-%dT%H:%M:%S") for v in s], pa.string()),
    "ISO with a space": lambda s: pa.array([v and iso(v, "%Y-%m-%d %H:%M:%S") for v in s], pa.string()),
    "ISO with Z": lambda s: pa.array([v and iso(v, "%Y-%m-%dT%H:%M:%SZ") for v in s], pa.string()),
    "ISO with nanoseconds": lambda s: pa.array(
        [v and iso(v, "%Y-%m-%dT%H:%M:%S.000000001") for v in s], pa.string()
    ),
    "ISO elsewhere": lambda s: pa.array(
        [v and iso(v + 19_800, "%Y-%m-%dT%H:%M:%S+05:30") for v in s], pa.string()
    ),
}  # fmt: skip


def read(columns: list[pa.Array]) -> list[int | None]:
    times, row = TimeColumn(), 0
    for column in columns:
        times.add(column, where="here", first_row=row)
        row += len(column)
    return [None if t == NO_TIME else t for t in times.microseconds().tolist()]


# After September 2001, as the unit of numbers is told by their magnitude.
SECONDS = st.lists(st.none() | st.integers(10**9, 4 * 10**9), min_size=1, max_size=6)


@pytest.mark.parametrize("spelling", SPELLINGS)
@hypothesis.settings(max_examples=15)
@hypothesis.given(seconds=SECONDS, cut=st.integers(0, 6))
def test_every_spelling_is_the_same_moment(
    spelling: str, seconds: list[int | None], cut: int
) -> None:
    column = SPELLINGS[spelling](seconds)
    expected = [None if s is None else s * 10**6 for s in seconds]
    assert read([column]) == expected
    assert read([column[:cut], column[cut:]]) == expected


def test_dates_are_their_midnight() -> None:
    day = datetime.date(2001, 9, 9)
    expected = [999_993_600 * 10**6]
    for column in (
        pa.array([day], pa.date32()),
        pa.array([day], pa.date64()),
        pa.array([str(day)]),
    ):
        assert read([column]) == expected


def test_fractions_of_a_second_survive() -> None:
    assert read([pa.array(["1000000000", "1000000000.25"])]) == [10**15, 10**15 + 250_000]
    assert read([pa.array(["1000000000"]), pa.array([None, "1000000000.25"])]) == [
        10**15, None, 10**15 + 250_000,
    ]  # fmt: skip
    assert read([pa.array(["2001-09-09T01:46:40.25"])]) == [10**15 + 250_000]


def test_nothing_but_nulls() -> None:
    assert read([pa.nulls(2), pa.nulls(1, pa.string()), pa.nulls(1, pa.float64())]) == [None] * 4
    assert read([pa.nulls(1), pa.array([1.5e9]), pa.nulls(1)]) == [None, 15 * 10**14, None]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, -1]),
        pa.array([1.0, -np.inf]),
        pa.array([1.0, np.inf]),
        pa.array([10**9, 2**63 - 1, 10**9]),
        pa.array([10**9, -(2**63) + 1]),
        pa.array([10**9, 2**64 - 1, 10**9], pa.uint64()),
        pa.array([10**12, 10**9]),
        pa.array([10**12, 10**9, 10**12]),
        pa.array([10**15, 1e12, 10**15]),
        pa.array(["1e12", "1e9", "1e12"]),
        pa.array([10**9, 10**12, 10**9]),
        pa.array(["2000-01-01", "1969-12-31T23:59:59.999999"]),
        pa.array(["2000-01-01", "2200-01-01"]),
        pa.array([datetime.datetime(2000, 1, 1), datetime.datetime(9999, 1, 1)]),
    ],
    ids=str,
)
def test_times_outside_two_centuries_are_found_not_wrapped(column: pa.Array) -> None:
    times = TimeColumn()
    times.add(column, where="here", first_row=0)
    assert absurd_rows(times.microseconds()).tolist() == [1]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            [["1", "2", "soon", "3", "later"]],
            r"^here: row 3: found 'soon', expected a number of se",
        ),
        ([["1"] * 100, ["1"] * 50 + ["x"]], r"^here: row 151: found 'x', expected"),
        ([["2001-01-01", None, "2001-13-01"]], r"^here: row 3: found '2001-13-01'"),
        (
            [["1", "2001-01-01"]],
            r"row 2: found '2001-01-01', expected .*, spelled as in the rows be",
        ),
        (
            [["1"], ["2001-01-01"]],
            r"row 2: found '2001-01-01', expected .*, spelled as in the rows",
        ),
        ([["1", "inf"]], r"row 2: found 'inf'"),
        ([["nan"]], r"row 1: found 'nan'"),
        ([[1], ["2001-01-01"]], r"row 2: found '2001-01-01'"),
        ([["2001-01-01"], [1]], r"^here: mixes dates and numbers over its files or rows"),
        ([[True]], r"^here: found bool, expected times in \[1970, 2200\)"),
        ([[[1]]], r"^here: found list<item: int64>, expected times"),
    ],
)
def test_what_is_no_time_is_refused_by_row(columns: list[list], message: str) -> None:
    with pytest.raises(GenretError, match=message):
        read([pa.array(column) for column in columns])
