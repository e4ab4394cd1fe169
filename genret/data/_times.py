"""Times of any spelling become int64 microseconds since 1970 (UTC); earlier times are negative.

Accepted: Arrow timestamps and dates; ISO 8601 dates and timestamps as text, with ``Z``, ``UTC`` or
an offset (without a zone they are taken as UTC); numbers of seconds, milliseconds, microseconds or
nanoseconds since 1970; numbers that are all days such as 20240131. The unit of numbers is one for
the whole column, decided by the median of their magnitudes:

==================  ============
median below        unit
==================  ============
1e11 (year 5138)    seconds
1e14                milliseconds
1e17                microseconds
otherwise           nanoseconds
==================  ============

A time is bad if it cannot be read, lies outside [1900, 2200), is a date among numbers or a number
among dates (whichever are fewer), or is a large number (1e8 and more) in the range of a smaller
unit: a mixture of units is not guessed at.
"""

import dataclasses
import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genret.data._arrow_types import plain_array, plain_type
from genret.errors import GenretError
from genret.typing import Bool, Float, Int

NO_TIME = np.iinfo(np.int64).min
"""Stands for a null."""
BAD_TIME = NO_TIME + 1
"""Stands for a value that cannot be used as a time."""
EXPECTED = (
    "expected seconds to nanoseconds since 1970 in one unit, or ISO 8601 dates, in [1900, 2200)"
)

_SECOND = 1_000_000
_BEGIN = -2_208_988_800 * _SECOND  # 1900-01-01
_END = 7_258_118_400 * _SECOND  # 2200-01-01
_UNITS = (
    ("seconds", 0.0, 1e6), ("milliseconds", 1e11, 1e3), ("microseconds", 1e14, 1.0),
    ("nanoseconds", 1e17, 1e-3),
)  # fmt: skip
_NOT_SMALL = 1e8
_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_ZONED = r":[0-9.]+ ?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_EXAMPLES = 3


@dataclasses.dataclass(frozen=True)
class TimeChunk:
    """Some times as they were found, before the unit of the column is known.

    Attributes:
      values: microseconds for dates, the number for numbers; a null is NO_TIME or NaN.
      is_number: whether all values are numbers, or which ones are.
      unreadable: the rows that are no time at all; None: there are none.
      texts: what stands in the first of these rows.
    """

    values: Int[np.ndarray, "E"] | Float[np.ndarray, "E"]
    is_number: bool | Bool[np.ndarray, "E"] = False
    unreadable: Bool[np.ndarray, "E"] | None = None
    texts: dict[int, str] = dataclasses.field(default_factory=dict)


class TimeColumn:
    """Reads the times of all files, chunk by chunk, and then gives them one unit.

    >>> times = TimeColumn()
    >>> chunk = times.add(pa.array(["2001-09-09T01:46:40Z", None, "soon"]), where="here")
    >>> found = times.microseconds(chunk)
    >>> int(found[0]), found[1] == NO_TIME, found[2] == BAD_TIME
    (1000000000000000, np.True_, np.True_)
    """

    def __init__(self) -> None:
        self._numbers = self._dates = 0
        self._buckets = np.zeros(len(_UNITS), np.int64)
        self._are_days = True

    def add(self, column: pa.Array, *, where: str) -> TimeChunk:
        """Take a chunk.

        Args:
          column: the times.
          where: file and column, for errors.

        Returns:
          The chunk, for :meth:`microseconds` once all are added.

        Raises:
          GenretError: the column has a type that holds no times.
        """
        chunk = _parsed(plain_array(column, plain_type(column.type)), where)
        null = _nulls(chunk.values)
        if chunk.unreadable is not None:
            null |= chunk.unreadable
        numbers = ~null & chunk.is_number
        count = int(numbers.sum())
        self._numbers += count
        self._dates += int((~null).sum()) - count
        if count:
            values = chunk.values if count == len(null) else chunk.values[numbers]
            size = np.abs(values.astype(np.float64, copy=False))
            edges = [least for _, least, _ in _UNITS[1:]]
            self._buckets += np.bincount(np.digitize(size, edges), minlength=len(_UNITS))
            self._are_days = self._are_days and _are_days(values)
        return chunk

    @property
    def kind(self) -> str:
        """What the times are, for the report."""
        if self._dates > self._numbers:
            return "dates, UTC"
        return "days as YYYYMMDD" if self._numbers and self._are_days else self._unit()[0]

    def microseconds(self, chunk: TimeChunk) -> Int[np.ndarray, "E"]:
        """Return the times of a chunk in microseconds; NO_TIME for nulls, BAD_TIME for bad ones."""
        values, null = chunk.values, _nulls(chunk.values)
        as_numbers = self._numbers >= self._dates
        if not as_numbers:
            times = _whole(values)
        elif self._are_days and self._numbers:
            times = _of_days(values, null)
        else:
            times = self._scaled(values, null)
        good = (times >= _BEGIN) & (times < _END)
        good &= np.equal(chunk.is_number, as_numbers)
        if chunk.unreadable is not None:
            good &= ~chunk.unreadable
            null &= ~chunk.unreadable
        times[~good] = BAD_TIME
        times[null] = NO_TIME
        return times

    def _unit(self) -> tuple[str, float, float]:
        # The lower median, told from counts alone: no values have to be kept for it.
        middle = (int(self._buckets.sum()) + 1) // 2
        return _UNITS[int(np.searchsorted(np.cumsum(self._buckets), max(middle, 1)))]

    def _scaled(self, values: np.ndarray, null: np.ndarray) -> np.ndarray:
        _, least, factor = self._unit() if self._numbers else _UNITS[0]
        other_unit = (values >= _NOT_SMALL) & (values < least)
        # Clip before scaling, so that absurd values stay absurd and do not wrap around.
        bound = 2 * _END / factor
        if values.dtype == np.float64:
            scaled = np.rint(np.clip(np.nan_to_num(values), -bound, bound) * factor)
            scaled = scaled.astype(np.int64)
        else:
            limit = min(int(bound), np.iinfo(np.int64).max)
            scaled = np.clip(values, -limit, limit)
            scaled = scaled * int(factor) if factor >= 1 else scaled // round(1 / factor)
        scaled[other_unit & ~null] = BAD_TIME
        return scaled


def read_times(column: pa.Array, where: str) -> Int[np.ndarray, "E"]:
    """Return the times of one whole column in microseconds, as :meth:`TimeColumn.microseconds`."""
    times = TimeColumn()
    return times.microseconds(times.add(column, where=where))


def date_text(microseconds: int) -> str:
    """Spell a time in microseconds since 1970 (UTC) as a date and a time of day.

    >>> date_text(1_790_841_600_000_000)
    '2026-10-01 08:00:00'
    """
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=microseconds)
    return moment.isoformat(" ", "seconds")


def spelled(chunk: TimeChunk, row: int) -> str:
    """Return what stands in a row of a chunk, for a message."""
    if row in chunk.texts:
        return repr(chunk.texts[row][:40])
    value = chunk.values[row]
    number = chunk.is_number if isinstance(chunk.is_number, bool) else chunk.is_number[row]
    if number and not np.isfinite(value):
        return str(value)
    if number:
        return (
            f"{value:g}" if value.dtype == np.float64 and value != int(value) else str(int(value))
        )
    try:
        return str(datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=int(value)))
    except OverflowError:
        return "a date beyond the year 9999"


def _parsed(column: pa.Array, where: str) -> TimeChunk:
    kind, types = column.type, pa.types
    if types.is_null(kind):
        return TimeChunk(np.full(len(column), NO_TIME))
    if types.is_boolean(kind):
        raise GenretError(f"{where}: found {kind}, {EXPECTED}")
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return TimeChunk(_number_values(column), True)
    if types.is_timestamp(kind) or types.is_date(kind):
        return TimeChunk(_date_values(column))
    if types.is_binary(kind) or types.is_large_binary(kind):
        try:
            column = column.cast(pa.large_string())
        except pa.ArrowInvalid as e:
            raise GenretError(f"{where}: found bytes that are no UTF-8, {EXPECTED}") from e
    elif not types.is_string(kind) and not types.is_large_string(kind):
        raise GenretError(f"{where}: found {kind}, {EXPECTED}")
    chunk = _all_alike(column)
    if chunk is None:
        column = _tidy(column)
        chunk = _all_alike(column) or _each(column)
    return chunk


def _all_alike(column: pa.Array) -> TimeChunk | None:
    """Parse text whose values are all spelled alike; None where they are not."""
    for number in (pa.int64(), pa.float64()):
        try:
            values = _number_values(column.cast(number))
        except pa.ArrowInvalid:
            continue
        finite = np.isfinite(values) | pc.is_null(column).to_numpy(zero_copy_only=False)
        return TimeChunk(values, True) if finite.all() else None
    for unit in ("us", "ns"):
        for zone in (None, "UTC"):
            try:
                return TimeChunk(_date_values(column.cast(pa.timestamp(unit, zone))))
            except pa.ArrowInvalid:
                continue
    return None


def _tidy(column: pa.Array) -> pa.Array:
    """Spell text as Arrow's parser wants it; an empty text becomes a null."""
    column = pc.utf8_trim_whitespace(column)
    column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
    column = pc.replace_substring_regex(column, r"([0-9]) ?(UTC|GMT)$", r"\1Z")
    column = pc.replace_substring_regex(column, r"(:[0-9]{2}[.,][0-9]{9})[0-9]+", r"\1")
    column = pc.replace_substring_regex(column, r"(:[0-9]{2}),([0-9])", r"\1.\2")
    return pc.replace_substring_regex(column, r"(:[0-9.]+) ([Z+-])", r"\1\2")


def _each(column: pa.Array) -> TimeChunk:
    """Parse text of which every value may be spelled otherwise, or be no time."""
    distinct = column.dictionary_encode()
    texts = distinct.dictionary
    values = np.full(len(texts) + 1, np.nan)  # the last one is the null
    is_number = _matches(texts, _NUMBER)
    numbers = texts.filter(pa.array(is_number)).cast(pa.float64())
    values[:-1][is_number] = numbers.to_numpy(zero_copy_only=False)
    zoned = _matches(texts, _ZONED)
    for zone, mask in (("UTC", zoned & ~is_number), (None, ~zoned & ~is_number)):
        values[:-1][mask] = _dates_or_nan(texts.filter(pa.array(mask)), pa.timestamp("ns", zone))
    rows = distinct.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    unreadable = ~np.isfinite(values)
    unreadable[-1] = False
    bad = unreadable[rows]
    return TimeChunk(
        values=values[rows],
        is_number=np.append(is_number, False)[rows],
        unreadable=bad,
        texts={row: column[row].as_py() for row in np.flatnonzero(bad)[:_EXAMPLES].tolist()},
    )


def _dates_or_nan(texts: pa.Array, kind: pa.DataType) -> np.ndarray:
    """Return microseconds of dates as text, NaN for what is none; float64 holds them exactly."""
    try:
        stamps = texts.cast(kind)
    except pa.ArrowInvalid:
        if kind.unit == "ns":  # whose range is short
            return _dates_or_nan(texts, pa.timestamp("us", kind.tz))
        if len(texts) == 1:
            return np.full(1, np.nan)
        half = len(texts) // 2
        parts = [_dates_or_nan(part, kind) for part in (texts[:half], texts[half:])]
        return np.concatenate(parts)
    return _date_values(stamps).astype(np.float64)


def _date_values(column: pa.Array) -> np.ndarray:
    """Return microseconds; what int64 cannot hold is clipped to far beyond 2200."""
    kind = column.type
    if kind == pa.date32():
        column, factor = column.cast(pa.int32()), 86_400 * _SECOND
    else:
        unit = "ms" if kind == pa.date64() else kind.unit
        factor = {"s": _SECOND, "ms": 1000, "us": 1, "ns": 0}[unit]
    null = pc.is_null(column).to_numpy(zero_copy_only=False)
    values = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    if factor == 0:
        times = values // 1000
    else:
        bound = 4 * 10**18 // factor
        times = np.clip(values, -bound, bound) * factor
    times[null] = NO_TIME
    return times


def _number_values(column: pa.Array) -> np.ndarray:
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64()) if column.type.scale else _as_int64(column)
    if pa.types.is_floating(column.type):
        return column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    if pa.types.is_uint64(column.type):  # what int64 cannot hold is far beyond 2200
        column = pc.min_element_wise(column, pa.scalar(2**63 - 1, pa.uint64()), skip_nulls=False)
    return column.cast(pa.int64()).fill_null(NO_TIME).to_numpy(zero_copy_only=False)


def _as_int64(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column.cast(pa.float64())


def _whole(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.float64:
        return np.nan_to_num(np.clip(values, -4e18, 4e18)).astype(np.int64)
    return values.copy()


def _nulls(values: np.ndarray) -> np.ndarray:
    null: np.ndarray = np.isnan(values) if values.dtype == np.float64 else values == NO_TIME
    return null


def _are_days(values: np.ndarray) -> bool:
    """Say whether all numbers are days such as 20240131."""
    if values.min() < 19_000_101 or values.max() > 21_991_231:
        return False
    days = values.astype(np.int64)
    month, day = days // 100 % 100, days % 100
    good = (days == values) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return bool(good.all())


def _of_days(values: np.ndarray, null: np.ndarray) -> np.ndarray:
    days = np.where(null, 19_700_101, _whole(values))
    months = (days // 10_000 - 1970) * 12 + days // 100 % 100 - 1
    first = np.asarray(months, "datetime64[M]").astype("datetime64[D]").astype(np.int64)
    times: np.ndarray = (first + days % 100 - 1) * (86_400 * _SECOND)
    return times


def _matches(texts: pa.Array, pattern: str) -> np.ndarray:
    found: np.ndarray = pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)
    return found
