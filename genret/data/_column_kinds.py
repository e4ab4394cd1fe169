"""Columns of items mean what they look like: text, conditions, numbers, dates, lists.

Formats without types hold text only. A column of them becomes

- conditions (``bool``) where its values are true and false, yes and no, or both 0 and 1,
- numbers (``int64`` or ``double``) where they are numbers, also prices such as ``$1,299.00``,
- dates (``date32``, or ``timestamp`` in UTC) where they are ISO 8601 dates or times,

decided over the whole column, empty fields aside; otherwise it stays text. Only text and lists of
text are embedded.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genret.data._ids import decided

_WORDS = (("true", "false"), ("yes", "no"))
_LETTERS = (("t", "f"), ("y", "n"), ("1", "0"))
"""Words for conditions; of those of one letter, which stand for much else, both must occur."""
_DECIMAL = r"^-?[0-9]+(\.[0-9]+)?$"
_MONEY = r"^-?(?:[$€£¥]|USD|EUR|GBP|JPY)? ?([0-9]{1,3}(,[0-9]{3})+|[0-9]+)(\.[0-9]+)? ?(?:[$€£¥]|USD|EUR|GBP|JPY)?$"
_NO_NUMBER = r"[^0-9.-]"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_MOMENT = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?( ?(Z|UTC))?$"
)


def decide_type(column: pa.Array) -> pa.Array:
    """Return a column of text as what it looks like.

    >>> decide_type(pa.array(["yes", "no", None])).type
    DataType(bool)
    >>> decide_type(pa.array(["$9.99", "$1,200.00"])).to_pylist()
    [9.99, 1200.0]
    >>> decide_type(pa.array(["2026-11-21", "2026-11-28"])).type
    DataType(date32[day])
    >>> decide_type(pa.array(["007", "7"])).type
    DataType(string)
    """
    values = column.drop_null()
    if not len(values):
        return column
    words = pc.unique(pc.utf8_lower(values))
    if len(words) <= 2:
        found = set(words.to_pylist())
        for pair in _WORDS + _LETTERS:
            if found == set(pair) or (pair in _WORDS and found < set(pair)):
                return pc.equal(pc.utf8_lower(column), pair[0])
    whole = decided(column, declared_string=False)
    if not _is_text(whole.type):
        return whole
    if _all(values, _DECIMAL):
        return column if _has_leading_zero(values) else column.cast(pa.float64())
    if _all(values, _MONEY):
        digits = pc.replace_substring_regex(column, _NO_NUMBER, "")
        if not _has_leading_zero(digits.drop_null()):
            return digits.cast(pa.float64())
    return _dates(column, values)


def decide_dates(column: pa.Array) -> pa.Array:
    """Return a column of text as dates where it looks like them; JSON has no dates of its own."""
    values = column.drop_null()
    return _dates(column, values) if len(values) else column


def as_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return a column as a type that is known already: that of a catalog's column of its name.

    Raises:
      pa.ArrowException: a value cannot be of the type.

    >>> as_type(pa.array(["y", None]), pa.bool_()).to_pylist()
    [True, None]
    >>> as_type(pa.array([3, 4]), pa.float64()).to_pylist()
    [3.0, 4.0]
    """
    if pa.types.is_boolean(kind) and not pa.types.is_boolean(column.type):
        words = pc.utf8_lower(column.cast(pa.string()))
        yes, no = (pa.array([pair[side] for pair in _WORDS + _LETTERS]) for side in (0, 1))
        known = pc.is_in(words.drop_null(), value_set=pa.concat_arrays([yes, no]))
        if pc.any(pc.invert(known)).as_py():
            raise pa.ArrowInvalid("a value is no condition")
        return pc.if_else(pc.is_null(words), None, pc.is_in(words, value_set=yes))
    if _is_text(column.type) and not _is_text(kind):
        column = decide_type(column)
    return column.cast(kind)


def kind_of(kind: pa.DataType) -> str:
    """Return what a column of a type is for a reader of the report."""
    types = pa.types
    if types.is_boolean(kind):
        return "conditions"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "numbers"
    if types.is_date(kind) or types.is_timestamp(kind):
        return "dates"
    if _is_text(kind):
        return "text"
    if types.is_list(kind) or types.is_large_list(kind):
        return "text" if _is_text(kind.value_type) else "lists"
    return "other"


def _dates(column: pa.Array, values: pa.Array) -> pa.Array:
    try:
        if _all(values, _DATE):
            return column.cast(pa.date32())
        if _all(values, _MOMENT):
            plain = pc.replace_substring_regex(column, r" ?(Z|UTC)$", "")
            return plain.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:  # the 31st of February
        pass
    return column


def _has_leading_zero(values: pa.Array) -> bool:
    """Say whether a number begins with a zero that it would lose, as codes do."""
    found = pc.match_substring_regex(values, r"^-?0[0-9]")
    return bool(np.any(found.to_numpy(zero_copy_only=False)))


def _all(values: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, pattern)).as_py())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
