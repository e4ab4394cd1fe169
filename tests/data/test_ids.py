"""Ids against a dictionary, chunk by chunk, in every Arrow type."""

import decimal
import uuid

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import strategies as st

from genret.data._ids import IdEncoder, decided, distinct_ids
from genret.errors import GenretError

TEXTS = ["a", "b", "7", "007", "-3", "-0", "ü\t", " ", "", None, "9223372036854775808"]
NUMBERS = [0, 7, -3, 2**62, None]
TYPES = {
    "int64": pa.int64(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
}


@st.composite
def chunks(draw: st.DrawFn) -> list[tuple[pa.Array, list, bool]]:
    """Arrays of ids, the same as Python values, and whether their format has no types."""
    drawn = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(list(TYPES)))
        values = draw(st.lists(st.sampled_from(NUMBERS if kind == "int64" else TEXTS), max_size=9))
        array = pa.array(values, TYPES[kind])
        if kind in ("int64", "string") and draw(st.booleans()):
            array = array.dictionary_encode()
        drawn.append((array, values, draw(st.booleans())))
    return drawn


@hypothesis.given(drawn=chunks())
def test_equals_a_dictionary(drawn: list[tuple[pa.Array, list, bool]]) -> None:
    encoder, declared = IdEncoder(), False
    numbers: dict[str, int] = {}
    for array, values, untyped in drawn:
        found = encoder.encode(array, untyped=untyped, where="here").tolist()
        expected = []
        for value in values:
            text = None if value in (None, "") else str(value)
            expected.append(-1 if text is None else numbers.setdefault(text, len(numbers)))
            declared |= isinstance(value, str) and not untyped
        assert found == expected
    assert len(encoder) == len(numbers)
    assert [encoder.text_of(k) for k in range(len(encoder))] == list(numbers)
    ids = encoder.ids(np.arange(len(encoder)))

    def plain(text: str) -> bool:
        try:
            return str(int(text)) == text and -(2**63) <= int(text) < 2**63
        except ValueError:
            return False

    if numbers and not declared and all(map(plain, numbers)):
        assert ids.to_pylist() == [int(text) for text in numbers]
    else:
        assert ids.to_pylist() == list(numbers)


def test_the_whole_of_uint64_is_kept() -> None:
    encoder = IdEncoder()
    encoder.encode(pa.array([2**64 - 1, 5], pa.uint64()), untyped=False, where="here")
    assert encoder.text_of(0) == "18446744073709551615"


def test_nulls_without_a_type_declare_nothing() -> None:
    encoder = IdEncoder()
    for column in (pa.nulls(2), pa.nulls(2, pa.string()), pa.array([4])):
        numbers = encoder.encode(column, untyped=False, where="here").tolist()
        assert numbers == ([0] if len(column) == 1 else [-1, -1])
    assert decided(pa.array(["4"]), declared_string=False).equals(encoder.ids(np.array([0])))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.5]),
        pa.array([True]),
        pa.array([b"\xff"]),
        pa.array([2.0**60]),
        pa.array([decimal.Decimal("1.5")]),
        pa.array([[1]]),
        pa.array([0], pa.timestamp("s")),
    ],
    ids=lambda column: f"{column.type} {column[0]}",
)
def test_other_types_are_refused(column: pa.Array) -> None:
    with pytest.raises(GenretError, match=r"^here: found .*, expected (strings or whole|text ids)"):
        IdEncoder().encode(column, untyped=False, where="here")


N = [1, 2, 1, None]
WHOLE = {
    "decimal": pa.array([n and decimal.Decimal(n) for n in N], pa.decimal128(38, 0)),
    "decimal with a scale": pa.array([n and decimal.Decimal(n) for n in N], pa.decimal128(9, 2)),
    "double": pa.array([1.0, 2.0, 1.0, None]),
    "double with NaN": pa.array([1.0, 2.0, 1.0, float("nan")]),
    "half": pa.array(np.array([1, 2, 1, np.nan], np.float16)),
    "uint64": pa.array(N, pa.uint64()),
    "binary": pa.array([n and str(n).encode() for n in N], pa.large_binary()),
    "binary_view": pa.array([n and str(n).encode() for n in N]).cast(pa.binary_view()),
    "string_view": pa.array([n and str(n) for n in N]).cast(pa.string_view()),
    "dictionary of views": pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 0, None]), pa.array(["1", "2"]).cast(pa.string_view())
    ),
    "run-end encoded": pc.run_end_encode(pa.array(N)),
    "fixed-size binary": pa.array([n and str(n).encode() for n in N], pa.binary(1)),
}


@pytest.mark.parametrize("layout", WHOLE)
def test_ids_of_every_layout_are_their_text(layout: str) -> None:
    numbers, texts, _ = distinct_ids(WHOLE[layout], "here")
    assert (numbers.tolist(), texts.to_pylist()) == ([0, 1, 0, -1], ["1", "2"])


def test_zero_has_no_sign() -> None:
    assert distinct_ids(pa.array([0.0, -0.0]), "here")[1].to_pylist() == ["0"]


def test_uuids_are_their_text() -> None:
    ids = [uuid.UUID(int=5), uuid.UUID(int=6), uuid.UUID(int=5)]
    column = pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([i.bytes for i in ids], pa.binary(16))
    )
    numbers, texts, declared = distinct_ids(column, "here")
    assert [texts[n].as_py() for n in numbers] == list(map(str, ids))
    assert declared
