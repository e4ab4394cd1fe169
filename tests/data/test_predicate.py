"""Conditions on columns: against a row-by-row twin, and that bad ones give one clear line."""

import ast
import operator
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest

from genret.data import Catalog, where
from genret.errors import GenretError

ROWS: list[dict[str, Any]] = [
    {
        "price": [5, 30, None, -2, 0][i % 5],
        "brand": ["a", None, "B b", "ab"][i % 4],
        "tags": [["a", "B b"], None, [], ["ab", None], ["a"]][i * 7 % 5],
        "ok": [True, False, None][i % 3],
        "rate": [0.5, None, 5.0, float("nan")][i * 3 % 4],
        "unit kind": ["x", "y", None][i // 2 % 3],
    }
    for i in range(40)
]
TABLE = pa.table({name: [r[name] for r in ROWS] for name in ROWS[0]}).append_column(
    "day", pa.array(range(40), pa.timestamp("s"))
)
COMPARE = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt,
    ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip


def twin(node: Any, row: dict[str, Any]) -> Any:
    """Return the value of a node in one row; None is unknown."""
    match node:
        case ast.Constant(value):
            return value
        case ast.UnaryOp(ast.USub(), value):
            return -twin(value, row)
        case ast.Name(name):
            return row["unit kind" if name == "unit_kind" else name]
        case ast.List(values):
            return [twin(v, row) for v in values]
        case ast.UnaryOp(ast.Not(), value):
            truth = twin(value, row)
            return None if truth is None else not truth
        case ast.BoolOp(op, values):
            return joined([twin(v, row) for v in values], isinstance(op, ast.Or))
        case ast.Call(ast.Name(function), arguments):
            text, *rest = [twin(a, row) for a in arguments]
            if text is None:
                return None
            if function == "lower":
                return text.lower()
            return rest[0] in text if function == "contains" else text.startswith(rest[0])
        case ast.Compare(left, ops, rights):
            sides = [left, *rights]
            return joined([pair(*p, row) for p in zip(sides, ops, rights, strict=False)], False)
    raise AssertionError(node)


def joined(truths: list[Any], decides: bool) -> Any:
    if decides in truths:
        return decides
    return None if None in truths else not decides


def pair(left: Any, op: ast.cmpop, right: Any, row: dict[str, Any]) -> Any:
    a, b = twin(left, row), twin(right, row)
    if isinstance(op, ast.Is | ast.IsNot):
        return (a is None) == isinstance(op, ast.Is)
    if a is None or b is None:
        return None
    if isinstance(op, ast.In | ast.NotIn):
        found = joined([None if x is None else x == a for x in b], True)
        return found if isinstance(op, ast.In) or found is None else not found
    return COMPARE[type(op)](a, b)


numbers = st.sampled_from(["price", "rate", "5", "-2", "0.5", "30"])
texts = st.sampled_from(["brand", "`unit kind`", "lower(brand)", "'a'", "'B b'", "'x`y`'"])
signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
leaves = st.one_of(
    st.tuples(numbers, signs, numbers).map(" ".join),
    st.tuples(numbers, signs, numbers, signs, numbers).map(" ".join),
    st.tuples(texts, signs, texts).map(" ".join),
    st.tuples(texts, st.sampled_from(["in tags", "not in tags", "in ['a', 'x']", "not in []"])).map(" ".join),
    st.tuples(numbers, st.sampled_from(["in [5, 0.5]", "not in [30, -2]"])).map(" ".join),
    st.sampled_from(["ok", "ok == True", "ok != False", "tags is None", "brand is not None", "True"]),
    st.tuples(st.sampled_from(["contains", "startswith"]), texts).map(lambda t: f"{t[0]}({t[1]}, 'b')"),
)  # fmt: skip
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(lambda a: f"not ({a})"),
        st.tuples(inner, st.sampled_from([") and (", ") or ("]), inner).map(
            lambda t: "(" + "".join(t) + ")"
        ),
    ),
    max_leaves=6,
)


@hypothesis.given(conditions, st.integers(0, 10), st.integers(1, 30))
@hypothesis.settings(max_examples=200)
def test_equals_a_row_by_row_twin(expression: str, start: int, chunk: int) -> None:
    table = pa.concat_tables([TABLE.slice(0, chunk), TABLE.slice(chunk)]).slice(start)
    tree = ast.parse(expression.replace("`unit kind`", "unit_kind"), mode="eval").body
    expected = [twin(tree, row) is True for row in ROWS[start:]]
    assert where(table, expression).tolist() == expected


@hypothesis.given(
    st.one_of(
        st.text(),
        st.text(st.sampled_from("price brand tags'\"`()[]<>=!,.-+*1e9\\\n#{}:~ not in is None")),
        st.lists(st.sampled_from(["price", "brand", "tags", "ok", "day", "<", "==", "in", "not", "is", "None", "and", "(", ")", "[", "]", ",", "'a'", "1", "-", "lower(", "contains(", "`", "."])).map(" ".join),
    )
)  # fmt: skip
@hypothesis.settings(max_examples=500)
def test_nothing_but_a_clear_error_escapes(expression: str) -> None:
    try:
        mask = where(TABLE, expression)
    except GenretError as e:
        assert len(str(e).splitlines()) == 1  # noqa: PT017
    else:
        assert mask.dtype == np.bool_
        assert mask.shape == (40,)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("pric < 3", "no column 'pric'; did you mean 'price'"),
        ("zzz < 3", "no column 'zzz'; expected one of 'price'"),
        ("`unit` == 'x'", "no column 'unit'"),
        ("price < 'x'", "column 'price' is number and 'x' is text"),
        ("brand == 3", "column 'brand' is text and 3 is number"),
        ("day < 3", "column 'day' is time and 3 is number"),
        ("1 in tags", "1 is number and in column 'tags' is text"),
        ("tags == 'a'", "column 'tags' is list of text"),
        ("'a' in brand", "use contains()"),
        ("contains(price, 'a')", "column 'price' is number, expected text"),
        ("contains(brand, brand)", "expected a string"),
        ("contains(brand)", "expected 2 arguments"),
        ("len(brand) < 3", "found len(brand)"),
        ("ok < True", "expected == or !="),
        ("brand == None", "use 'is None'"),
        ("3 is None", "expected a column before"),
        ("price in [None]", "use 'is None'"),
        ("price in [rate]", "found rate in a list"),
        ("price + 1 < 3", "found price + 1"),
        ("price", "column 'price' is number, expected a condition"),
        ("brand.upper == 'A'", "found brand.upper"),
        ("price < 99999999999999999999", "less than 2**63"),
        ("brand == '\\ud800'", "no valid Unicode"),
        ("brand == '\ud800'", "is no expression"),
        ("price <", "is no expression"),
        ("price\0", "is no expression"),
        ("", "found nothing"),
        (" \n", "found nothing"),
        ("ok" + " " * 2000, "found 2002 characters, expected at most 2000"),
        ("(" * 1000, "'((("),
        ("not " * 60 + "ok", "nested too deep"),
        ("not " * 490 + "ok", "nested too deep"),
        ("-" * 1900 + "1 < 2", "nested too deep"),
    ],
)
def test_a_bad_condition_is_one_clear_line(expression: str, says: str) -> None:
    with pytest.raises(GenretError) as caught:
        where(TABLE, expression)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_column_that_is_there_twice_is_refused() -> None:
    twice = pa.table([[1], [2]], names=["a", "a"])
    with pytest.raises(GenretError, match="twice or more column 'a'"):
        where(twice, "a < 3")


def test_types_of_columns() -> None:
    table = pa.table(
        {
            "item_id": [1, 2**60 + 1, 3],
            "title": ["x", "y", "z"],
            "narrow": pa.array([9.99, 1.0, None], pa.float32()),
            "kind": pa.array(["x", None, "y"]).dictionary_encode(),
            "pair": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)),
            "nulls": pa.nulls(3),
        }
    )
    for expression, expected in (
        ("narrow == 9.99", [1, 0, 0]),
        ("item_id < 1.5", [1, 0, 0]),
        ("item_id == 1152921504606846977", [0, 1, 0]),
        ("kind != 'x'", [0, 0, 1]),
        ("3 in pair", [0, 0, 1]),
        ("3 not in pair", [1, 0, 0]),
        ("nulls is None and not nulls", [0, 0, 0]),
        ("nulls == 3 or contains(nulls, 'a') or 'a' in nulls", [0, 0, 0]),
        ("1 < 2 and True", [1, 1, 1]),
        ("title == '`kind`' or title == \"x\" # `", [1, 0, 0]),
    ):
        assert where(Catalog(table), expression).tolist() == expected, expression
        assert where(table.slice(0, 0), expression).shape == (0,)
