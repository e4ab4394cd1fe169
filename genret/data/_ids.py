"""Ids become numbers, chunk by chunk, without a Python loop over rows."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genret.data._arrow_types import id_texts, is_text_like, plain_array, plain_type
from genret.errors import GenretError
from genret.typing import Int


class IdEncoder:
    """Numbers distinct ids in order of first appearance.

    Files may disagree about the type of an id (12 in a Parquet file is ``"12"`` in a CSV file), so
    ids are compared by their text. At the end they are int64 when no file declared them as strings
    and every text is the plain decimal form of an integer (``"007"`` is not), and strings
    otherwise.
    """

    def __init__(self) -> None:
        self._texts = pa.array([], pa.large_string())
        self._declared_string = False

    def __len__(self) -> int:
        return len(self._texts)

    def encode(self, column: pa.Array, *, untyped: bool, where: str) -> Int[np.ndarray, "E"]:
        """Return the number of each id, int32, -1 where it is null or empty.

        A call costs time in proportion to the ids known so far: chunks should be large.

        Args:
          column: the ids: strings, whole numbers of any type, UUIDs, or bytes that are text.
          untyped: whether the strings come from a format without types.
          where: file and column, for errors.

        Raises:
          GenretError: a type that is no id.
        """
        numbers_of_rows, texts, is_text = distinct_ids(column, where)
        self._declared_string |= is_text and not untyped and len(texts) > 0
        numbers = pc.index_in(texts, value_set=self._texts).fill_null(-1).to_numpy()
        numbers = numbers.astype(np.int32)
        fresh = (numbers < 0) & (pc.binary_length(texts).to_numpy(zero_copy_only=False) > 0)
        numbers[fresh] = np.arange(len(self), len(self) + fresh.sum(), dtype=np.int32)
        self._texts = pa.concat_arrays([self._texts, texts.filter(pa.array(fresh))])
        return np.append(numbers, np.int32(-1))[numbers_of_rows]

    def text_of(self, number: int) -> str:
        """Return an id as text, for messages."""
        return self._texts[number].as_py()

    def texts(self, numbers: Int[np.ndarray, "K"]) -> pa.Array:
        """Return some ids as text."""
        return self._texts.take(pa.array(numbers))

    def ids(self, numbers: Int[np.ndarray, "K"]) -> pa.Array:
        """Return the ids of some numbers, int64 or strings (decided over these)."""
        return decided(self._texts.take(pa.array(numbers)), declared_string=self._declared_string)


def distinct_ids(
    column: pa.Array, where: str
) -> tuple[Int[np.ndarray, "E"], pa.LargeStringArray, bool]:
    """Return the distinct ids of a column as text, and which of them each row holds.

    Args:
      column: the ids: strings, whole numbers of any type, UUIDs, or bytes that are text.
      where: file and column, for errors.

    Returns:
      The number of each row's id among the distinct ones (a null: -1), these, and whether the
      column holds strings.

    Raises:
      GenretError: a type that is no id.

    >>> numbers, texts, _ = distinct_ids(pa.array([12, None, 7, 12]), "here")
    >>> numbers.tolist(), texts.to_pylist()
    ([0, -1, 1, 0], ['12', '7'])
    """
    column = plain_array(column, plain_type(column.type))
    if pa.types.is_null(column.type):
        return np.full(len(column), -1, np.int32), pa.array([], pa.large_string()), False
    if pa.types.is_floating(column.type):  # NaN is pandas' null
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        column = pc.add(column, pa.scalar(0, column.type))  # no negative zero
    if pa.types.is_nested(column.type):
        raise GenretError(f"{where}: found {column.type}, expected strings or whole numbers")
    distinct = column.dictionary_encode()
    numbers = distinct.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    texts = id_texts(distinct.dictionary, where)
    return numbers.astype(np.int32), texts, is_text_like(column.type)


def decided(texts: pa.Array, *, declared_string: bool) -> pa.Array:
    """Return ids as int64 where they are all plain integers and may be, else as strings.

    >>> decided(pa.array(["12", "-3"]), declared_string=False).type
    DataType(int64)
    >>> decided(pa.array(["12", "007"]), declared_string=False).type
    DataType(string)
    """
    plain = pc.match_substring_regex(texts, r"^(0|-?[1-9][0-9]{0,18})$")
    if not declared_string and len(texts) and pc.all(plain).as_py():
        try:
            return texts.cast(pa.int64())
        except pa.ArrowInvalid:  # 19 digits beyond int64
            pass
    return texts.cast(pa.string())
