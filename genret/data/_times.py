"""Times of any spelling become int64 microseconds since 1970 (UTC).

Accepted: Arrow timestamps and dates; ISO 8601 dates and timestamps as text (without a zone they
are taken as UTC); numbers of seconds, milliseconds, microseconds or nanoseconds since 1970. The
unit of numbers is one for the whole column, decided by the magnitude of its median:

==================  ============
median below        unit
==================  ============
1e11 (year 5138)    seconds
1e14                milliseconds
1e17                microseconds
otherwise           nanoseconds
==================  ============

Then every time must lie in [1970, 2200), and no number that is not small (1e8 and more) may lie in
the range of a smaller unit: a mixture of units is refused, not guessed at.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genret.errors import GenretError
from genret.typing import Int

NO_TIME = np.iinfo(np.int64).min
"""Stands for a null."""
OTHER_UNIT = NO_TIME + 1
"""Stands for a number in a smaller unit than the column's."""

_END = 7_258_118_400 * 1_000_000  # 2200-01-01
_UNITS = ((0.0, 1e6), (1e11, 1e3), (1e14, 1.0), (1e17, 1e-3))
_NOT_SMALL = 1e8
_ISO = [pa.timestamp(unit, zone) for unit in ("us", "ns") for zone in (None, "UTC")]


class TimeColumn:
    """Collects the times of all files, chunk by chunk."""

    def __init__(self) -> None:
        self._chunks: list[np.ndarray] = []
        self._numbers: bool | None = None

    def add(self, column: pa.Array, *, where: str, first_row: int) -> None:
        """Take a chunk.

        Args:
          column: the times.
          where: file and column, for errors.
          first_row: row of the file at which the chunk starts, for errors.

        Raises:
          GenretError: something is no time, or numbers and dates are mixed.
        """
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        parsed = self._parsed(column)
        if parsed is None:
            if not _is_text(column.type):
                raise GenretError(f"{where}: found {column.type}, expected times in [1970, 2200)")
            # The first row that spoils the prefix which ends with it, by bisection.
            good, bad = 0, len(column)
            while bad - good > 1:
                middle = (good + bad) // 2
                if self._parsed(column[:middle]) is None:
                    bad = middle
                else:
                    good = middle
            like = "" if self._numbers is None and good == 0 else ", spelled as in the rows before"
            raise GenretError(
                f"{where}: row {first_row + bad}: found {str(column[bad - 1])[:40]!r}, expected a "
                f"number of seconds or milliseconds since 1970 or an ISO 8601 date{like}"
            )
        numbers, values = parsed
        if column.null_count < len(column):
            if self._numbers is not None and numbers != self._numbers:
                raise GenretError(f"{where}: mixes dates and numbers over its files or rows")
            self._numbers = numbers
        self._chunks.append(values)

    def _parsed(self, column: pa.Array) -> tuple[bool, np.ndarray] | None:
        """Return (are they numbers, values), or None where not every value is a time of one kind.

        Values are microseconds for dates, and as found for numbers (int64, or float64 with NaN for
        nulls).
        """
        kind = column.type
        if column.null_count == len(column):
            return bool(self._numbers), np.full(len(column), NO_TIME)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            return True, _number_values(column)
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            target = pa.timestamp("us", getattr(kind, "tz", None))
            try:
                stamps = column.cast(options=pc.CastOptions(target, allow_time_truncate=True))
            except pa.ArrowInvalid:  # beyond what microseconds can hold
                return None
            return False, stamps.cast(pa.int64()).fill_null(NO_TIME).to_numpy()
        if not _is_text(kind):
            return None
        if self._numbers is not False:
            for number in (pa.int64(), pa.float64()):
                try:
                    values = _number_values(column.cast(number))
                except pa.ArrowInvalid:
                    continue
                finite = np.isfinite(values) | pc.is_null(column).to_numpy(zero_copy_only=False)
                return (True, values) if finite.all() else None
        if self._numbers is not True:
            for stamp in _ISO:
                try:
                    return self._parsed(column.cast(stamp))
                except pa.ArrowInvalid:
                    continue
        return None

    def microseconds(self) -> Int[np.ndarray, "E"]:
        """Return all times in microseconds, :data:`NO_TIME` for nulls, not checked yet."""
        chunks, self._chunks = self._chunks, []
        if not self._numbers:
            return np.concatenate(chunks)
        if any(c.dtype == np.float64 for c in chunks):
            # An all-null chunk is of integers whatever the others are.
            chunks = [np.where(c == NO_TIME, np.nan, c) for c in chunks]
        values = np.concatenate(chunks)
        missing = np.isnan(values) if values.dtype == np.float64 else values == NO_TIME
        # Half-way between two infinities there is nothing: make them merely huge.
        finite = np.nan_to_num(values[~missing], posinf=1e300, neginf=-1e300)
        median = max(np.median(finite), 0) if len(finite) else 0
        least, factor = next(unit for unit in reversed(_UNITS) if median >= unit[0])
        other_unit = (values >= _NOT_SMALL) & (values < least)
        # Clip before scaling, so that absurd values stay absurd and do not wrap around.
        bound = _END / factor
        if values.dtype == np.float64:
            scaled = np.rint(np.clip(np.nan_to_num(values), -bound, bound) * factor)
            scaled = scaled.astype(np.int64)
        else:
            limit = min(int(bound), np.iinfo(np.int64).max)
            np.clip(values, -limit, limit, out=values)
            scaled = values * int(factor) if factor >= 1 else values // round(1 / factor)
        scaled[other_unit] = OTHER_UNIT
        scaled[missing] = NO_TIME
        return scaled


def absurd_rows(times: Int[np.ndarray, "E"]) -> Int[np.ndarray, "K"]:
    """Return the rows whose time lies outside [1970, 2200), or is in another unit."""
    return np.flatnonzero((times != NO_TIME) & ((times < 0) | (times >= _END)))


def _number_values(column: pa.Array) -> np.ndarray:
    if pa.types.is_floating(column.type):
        return column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    if pa.types.is_uint64(column.type):  # what int64 cannot hold is far beyond 2200
        column = pc.min_element_wise(column, pa.scalar(2**63 - 1, pa.uint64()), skip_nulls=False)
    return column.cast(pa.int64()).fill_null(NO_TIME).to_numpy()


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
