"""The same moments in every spelling are the same microseconds."""

import datetime
import decimal

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from genret.data._times import BAD_TIME, NO_TIME, TimeColumn, read_times, spelled
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
    "ISO with UTC": lambda s: pa.array([v and iso(v, "%Y-%m-%d %H:%M:%S UTC") for v in s], pa.string()),
    "ISO, every other with Z": lambda s: pa.array(
        [v and iso(v, f"%Y-%m-%dT%H:%M:%S{'Z' * (k % 2)}") for k, v in enumerate(s)], pa.string()
    ),
    "ISO with twelve digits": lambda s: pa.array(
        [v and iso(v, "%Y-%m-%dT%H:%M:%S.000000001999+00:00") for v in s], pa.string_view()
    ),
    "decimal": lambda s: pa.array([v and decimal.Decimal(v) for v in s], pa.decimal128(38, 0)),
    "binary": lambda s: pa.array([v and str(v).encode() for v in s], pa.binary()),
    "ISO with nanoseconds": lambda s: pa.array(
        [v and iso(v, "%Y-%m-%dT%H:%M:%S.000000001") for v in s], pa.string()
    ),
    "ISO elsewhere": lambda s: pa.array(
        [v and iso(v + 19_800, "%Y-%m-%dT%H:%M:%S+05:30") for v in s], pa.string()
    ),
}  # fmt: skip


def read(columns: list[pa.Array]) -> list[int | None]:
    times = TimeColumn()
    chunks = [times.add(column, where="here") for column in columns]
    found = [t for chunk in chunks for t in times.microseconds(chunk).tolist()]
    return [None if t == NO_TIME else t for t in found]


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


def test_times_before_1970_are_times() -> None:
    assert read([pa.array([-1, 1])]) == [-1_000_000, 1_000_000]
    assert read([pa.array([16 * 10**11, -5_364_000_000, 16 * 10**11])])[1] == -5_364_000_000_000
    assert read([pa.array(["1969-12-31T23:59:59.5", "1900-01-01"])]) == [
        -500_000,
        -2208988800000000,
    ]


def test_days_without_dashes_are_days() -> None:
    days = [20240131, None, 19991231, 20240229]
    expected = [1706659200000000, None, 946598400000000, 1709164800000000]
    assert read([pa.array(days)]) == read([pa.array([d and str(d) for d in days])]) == expected
    assert read([pa.array([20240131, 20240132])])[0] == 20240131000000  # seconds, as not all are


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.0, -np.inf]),
        pa.array([1.0, np.inf]),
        pa.array([10**9, 2**63 - 1, 10**9]),
        pa.array([10**9, -(2**63) + 1]),
        pa.array([10**9, 2**64 - 1, 10**9], pa.uint64()),
        pa.array([10**12, 10**9, 10**12]),
        pa.array([10**15, 1e12, 10**15]),
        pa.array(["1e12", "1e9", "1e12"]),
        pa.array([10**9, 10**12, 10**9]),
        pa.array(["2000-01-01", "1899-12-31T23:59:59.999999"]),
        pa.array(["2000-01-01", "2200-01-01"]),
        pa.array([datetime.datetime(2000, 1, 1), datetime.datetime(9999, 1, 1)]),
        pa.array([0, 2**62], pa.timestamp("s")),
        pa.array(["1", "soon"]),
        pa.array(["1", "nan"]),
        pa.array(["1", "inf"]),
        pa.array(["2001-01-01", "2001-13-01", "2001-02-03"]),
        pa.array(["2001-01-01", "5", "2001-02-03"]),
        pa.array(["5", "2001-02-03", "6"]),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_found_and_not_wrapped(column: pa.Array) -> None:
    found = read_times(column, "here")
    assert np.flatnonzero(found == BAD_TIME).tolist() == [1]


def test_what_was_found_can_be_said() -> None:
    for column, text in (
        (pa.array(["1", "soon"]), "'soon'"),
        (pa.array(["2001-01-01", "5", "2001-02-03"]), "5"),
        (pa.array([10**12, 10**9]), "1000000000"),
        (pa.array([0, 2**62], pa.timestamp("s")), "a date beyond the year 9999"),
        (pa.array(["2000-01-01", "2300-01-01"]), "2300-01-01 00:00:00"),
    ):
        assert spelled(TimeColumn().add(column, where="here"), 1) == text


def test_a_unit_is_one_over_all_chunks() -> None:
    few, many = pa.array([10**9]), pa.array([10**12] * 3)
    assert read([few, many]) == [BAD_TIME, *[10**15] * 3]
    assert read([pa.array(["2001-01-01"]), pa.array([1, 2])]) == [BAD_TIME, 10**6, 2 * 10**6]


@pytest.mark.parametrize("column", [pa.array([True]), pa.array([[1]]), pa.array([{"a": 1}])])
def test_types_that_hold_no_times_are_refused(column: pa.Array) -> None:
    with pytest.raises(
        GenretError, match=r"^here: found .*, expected seconds to nanoseconds since"
    ):
        read_times(column, "here")
