"""Choosing items by a condition on the catalog's columns, such as ``price < 20``."""

import ast
import dataclasses
import difflib
import functools
import re
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genret.data._catalog import Catalog
from genret.data._columns import listed
from genret.data._times import BAD_TIME, NO_TIME, read_times
from genret.errors import GenretError
from genret.typing import Bool

_MAX_LENGTH = 2000
"""Characters of an expression."""
_MAX_DEPTH = 50
"""Nested operators and calls of an expression."""
_TOKENS = re.compile(
    r"'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|#.*"
    r"|`(?P<column>[^`]*)`",
    re.DOTALL,
)
"""Strings and comments, inside which a backtick is itself, and columns between backticks."""
_ORDERED: dict[type, Callable[..., Any]] = {
    ast.Lt: pc.less, ast.LtE: pc.less_equal, ast.Gt: pc.greater, ast.GtE: pc.greater_equal,
}  # fmt: skip
_COMPARE: dict[type, Callable[..., Any]] = {ast.Eq: pc.equal, ast.NotEq: pc.not_equal} | _ORDERED
_MATCH: dict[str, Callable[..., Any]] = {
    "contains": pc.match_substring, "startswith": pc.starts_with,
}  # fmt: skip
_CONDITION = pa.bool_()
_TRUTHS = {0: False, 1: True, "false": False, "true": True, "no": False, "yes": True}
"""What a condition of the catalog may be compared with; the file had one of these words."""
_TYPES = {"text": pa.large_string(), "truth": _CONDITION}


def where(table: pa.Table | Catalog, expression: str) -> Bool[np.ndarray, "N"]:
    """Return which rows of a table, or items of a catalog, meet a condition.

    The condition is written like one of Python's, but it is never run as Python: comparisons
    (chained as well), ``and``, ``or``, ``not``, ``brand in ['A', 'B']``, ``'Phones' in categories``
    of a column of lists, ``brand is None``, and the functions ``contains(column, 'x')``,
    ``startswith(column, 'x')`` and ``lower(column)``. A column whose name is no identifier stands
    between backticks. A column of dates or timestamps is compared with a date as text, in UTC:
    ``added >= '2026-11-21'``. As in SQL, what is compared with a null is neither true nor false, and its
    negation neither: such a row is left out unless the rest of the condition decides.

    Args:
      table: the columns.
      expression: the condition, at most 2000 characters.

    Returns:
      The mask, in the order of the rows.

    Raises:
      GenretError: an unknown column, types that do not compare, or anything else than the above.

    >>> table = pa.table({"price": [5, 30, None], "unit kind": ["box", "bag", "box"]})
    >>> where(table, "price < 20").tolist(), where(table, "not price < 20").tolist()
    ([True, False, False], [False, True, False])
    >>> where(table, "price is None or contains(`unit kind`, 'ag')").tolist()
    [False, True, True]
    """
    table = table.table if isinstance(table, Catalog) else table
    if not isinstance(table, pa.Table):
        raise GenretError(f"where: found {type(table).__name__}, expected a table or a Catalog")
    if not isinstance(expression, str):
        raise GenretError(f"where: found {type(expression).__name__}, expected text")
    try:
        mask = _Evaluator(table, expression).mask()
    except pa.ArrowException as e:
        message = _short(" ".join(str(e).split()), 200)
        raise GenretError(f"{_named(expression)}: cannot be computed: {message}") from e
    if isinstance(mask, pa.Scalar):
        return np.full(table.num_rows, bool(mask.as_py()))
    return np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), bool)


@dataclasses.dataclass(frozen=True)
class _Value:
    """An operand: its kind, its column (or one scalar of a literal), how to call it in a message.

    Kinds are text, number, truth, time, nothing (a column of nulls), ``list of`` these, and other.
    """

    kind: str
    data: Any
    name: str


class _Evaluator:
    """Evaluates one expression, node by node of Python's syntax tree."""

    def __init__(self, table: pa.Table, expression: str) -> None:
        self.table = table
        self.expression = expression
        self.quoted: dict[str, str] = {}  # stand-in -> column between backticks
        self.source = ""

    def mask(self) -> Any:
        """Return the condition by row, nullable, or as one scalar."""
        return self.condition(self.parse())

    def fail(self, message: str) -> NoReturn:
        raise GenretError(f"{_named(self.expression)}: {message}")

    def parse(self) -> ast.expr:
        if len(self.expression) > _MAX_LENGTH:
            self.fail(f"found {len(self.expression)} characters, expected at most {_MAX_LENGTH}")
        if not self.expression.strip():
            self.fail("found nothing, expected a condition such as price < 20")
        prefix = "_column"
        while prefix in self.expression:
            prefix += "_"

        def stand_in(match: re.Match[str]) -> str:
            if match["column"] is None:
                return match[0]
            name = f"{prefix}{len(self.quoted)}_"
            self.quoted[name] = match["column"]
            return f" {name} "

        self.source = _TOKENS.sub(stand_in, self.expression).strip()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of unknown escapes in strings
                node = ast.parse(self.source, mode="eval").body
        except (RecursionError, MemoryError):
            self.fail("nested too deep")
        except (SyntaxError, ValueError) as e:  # ValueError: null characters, lone surrogates
            reason = " ".join(str(getattr(e, "msg", e)).split())
            self.fail(f"is no expression ({reason}), expected a condition such as price < 20")
        level, depth = [node], 0
        while level:
            level = [n for parent in level for n in ast.iter_child_nodes(parent)]  # type: ignore[misc]
            depth += 1
            if depth > _MAX_DEPTH:
                self.fail(f"nested too deep, expected at most {_MAX_DEPTH} levels")
        return node

    def text_of(self, node: ast.AST) -> str:
        """Return a part of the expression as it was written, for a message."""
        text = ast.get_source_segment(self.source, node) or type(node).__name__
        for name, column in self.quoted.items():
            text = text.replace(name, f"`{column}`")
        return _short(" ".join(ascii(text)[1:-1].split()) if not text.isprintable() else text, 60)

    def condition(self, node: ast.expr) -> Any:
        if isinstance(node, ast.BoolOp):
            combine = pc.and_kleene if isinstance(node.op, ast.And) else pc.or_kleene
            return functools.reduce(combine, [self.condition(n) for n in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return pc.invert(self.condition(node.operand))
        if isinstance(node, ast.Compare):
            lefts = [node.left, *node.comparators[:-1]]
            parts = map(self.compare, lefts, node.ops, node.comparators)
            return functools.reduce(pc.and_kleene, list(parts))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in _MATCH:
            text, part = self.arguments(node, 2)
            if not (isinstance(part, ast.Constant) and isinstance(part.value, str)):
                self.fail(f"found {self.text_of(part)} in {self.text_of(node)}, expected a string")
            pattern = self.value(part).data.as_py()
            return _MATCH[node.func.id](self.text(text), pattern=pattern)  # type: ignore[attr-defined]
        value = self.value(node)
        if value.kind not in ("truth", "nothing"):
            self.fail(f"{value.name} is {value.kind}, expected a condition")
        return value.data.cast(_CONDITION)

    def compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(left, ast.Name) and getattr(right, "value", self) is None):
                self.fail("expected a column before and None after 'is' and 'is not'")
            null = pc.is_null(self.column(left).data)
            return null if isinstance(op, ast.Is) else pc.invert(null)
        if isinstance(op, ast.In | ast.NotIn):
            found = self.contained(self.value(left), right)
            return found if isinstance(op, ast.In) else pc.invert(found)
        return self.compare_values(self.value(left), op, self.value(right))

    def compare_values(self, left: _Value, op: ast.cmpop, right: _Value) -> Any:
        left, right = self.alike(left, right), self.alike(right, left)
        for value in (left, right):
            if value.kind not in ("text", "number", "truth", "time", "nothing"):
                self.fail(f"{value.name} is {value.kind}, expected text, number, truth or time")
        if "nothing" in (left.kind, right.kind):
            return pa.scalar(None, _CONDITION)
        if left.kind != right.kind:
            self.fail(
                f"{left.name} is {left.kind} and {right.name} is {right.kind}, expected one kind"
            )
        if left.kind == "truth" and type(op) in _ORDERED:
            self.fail(f"{left.name} is truth, expected == or != between truths")
        a, b = left.data, right.data
        if left.kind == "number" and a.type != b.type:
            # A literal is rounded as the column was: 9.99 equals the float32 of 9.99.
            literal = isinstance(a, pa.Scalar) or isinstance(b, pa.Scalar)
            narrow = literal and {a.type, b.type} == {pa.float32(), pa.float64()}
            kind = pa.float32() if narrow else pa.float64()
            if pa.types.is_decimal(a.type) or pa.types.is_decimal(b.type):
                whole = all(
                    pa.types.is_decimal(x.type) or pa.types.is_int64(x.type) for x in (a, b)
                )
                kind = pa.decimal128(20, 0) if whole else pa.float64()
            a, b = (pc.cast(x, kind, safe=False) for x in (a, b))
        return _COMPARE[type(op)](a, b)

    def alike(self, value: _Value, other: _Value) -> _Value:
        """Return a literal as what it is compared with: a date as text, a truth as 0, 1 or yes."""
        if not isinstance(value.data, pa.Scalar):
            return value
        literal = value.data.as_py()
        if other.kind == "time" and value.kind == "text":
            moment = read_times(pa.array([literal]), value.name)
            if moment[0] in (NO_TIME, BAD_TIME):
                self.fail(
                    f"found {value.name} beside {other.name}, expected a date like 2026-11-21"
                )
            return _Value("time", pa.scalar(int(moment[0]), pa.timestamp("us")), value.name)
        if other.kind == "truth" and value.kind in ("text", "number"):
            truth = _TRUTHS.get(literal.lower() if isinstance(literal, str) else literal)
            if truth is not None:
                return _Value("truth", pa.scalar(truth), value.name)
        return value

    def contained(self, value: _Value, among: ast.expr) -> Any:
        if isinstance(among, ast.List | ast.Tuple):
            for node in among.elts:
                if isinstance(node, ast.Name | ast.Call):
                    self.fail(f"found {self.text_of(node)} in a list, expected literals")
            each = [self.compare_values(value, ast.Eq(), self.value(n)) for n in among.elts]
            none = pc.if_else(pc.is_valid(value.data), False, pa.scalar(None, _CONDITION))
            return functools.reduce(pc.or_kleene, each, none)
        lists = self.value(among)
        if lists.kind == "nothing":
            return pa.scalar(None, _CONDITION)
        if not lists.kind.startswith("list of "):
            hint = "; of text use contains()" if lists.kind == "text" else ""
            self.fail(f"{lists.name} is {lists.kind}, expected a list after 'in'{hint}")
        kind = lists.kind.removeprefix("list of ")
        sizes = pc.fill_null(pc.list_value_length(lists.data), 0).to_numpy()
        rows = np.repeat(np.arange(len(sizes)), sizes)  # of each element
        flat = pc.list_flatten(lists.data)
        one = isinstance(value.data, pa.Scalar)
        repeated = (
            value if one else dataclasses.replace(value, data=value.data.take(pa.array(rows)))
        )
        equal = self.compare_values(repeated, ast.Eq(), _Value(kind, flat, f"in {lists.name}"))
        if isinstance(equal, pa.Scalar):
            equal = pa.nulls(len(rows), _CONDITION)
        found, unknown = np.zeros(len(sizes), bool), pc.is_null(lists.data).to_numpy().copy()
        found[rows[pc.fill_null(equal, False).to_numpy(zero_copy_only=False)]] = True
        unknown[rows[pc.is_null(equal).to_numpy(zero_copy_only=False)]] = True
        if not one:  # a null is in no list, not even in an empty one, for certain
            unknown |= pc.is_null(value.data).to_numpy()
        return pa.array(found, mask=unknown & ~found)

    def value(self, node: ast.expr) -> _Value:
        name = self.text_of(node)
        if isinstance(node, ast.Name):
            return self.column(node)
        if isinstance(node, ast.Call):
            if getattr(node.func, "id", None) != "lower":
                self.fail(f"found {name}, expected contains(), startswith() or lower()")
            return _Value("text", pc.utf8_lower(self.text(self.arguments(node, 1)[0])), name)
        negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        literal = getattr(node.operand if negative else node, "value", None)  # type: ignore[attr-defined]
        if isinstance(literal, bool | str) and not negative:
            try:
                kind = "text" if isinstance(literal, str) else "truth"
                return _Value(kind, pa.scalar(literal, _TYPES[kind]), name)
            except UnicodeEncodeError:
                self.fail(f"found {name}, which is no valid Unicode")
        if type(literal) is int and literal >= 2**63:
            self.fail(f"found {name}, expected an integer of less than 2**63")
        if type(literal) in (int, float):
            return _Value("number", pa.scalar(-literal if negative else literal), name)  # type: ignore[operator]
        hint = "; use 'is None' or 'is not None' after a column" if name == "None" else ""
        return self.fail(f"found {name}, expected a condition, a column or a literal{hint}")

    def column(self, node: ast.Name) -> _Value:
        name, names = self.quoted.get(node.id, node.id), self.table.column_names
        if names.count(name) != 1:
            close = difflib.get_close_matches(name, names, 3)
            hint = f"did you mean {' or '.join(map(repr, close))}?"
            if not close:
                hint = f"expected one of {listed(names)}"
            times = "twice or more" if name in names else "no"
            self.fail(f"has {times} column {name!r}; {hint}")
        data = self.table[name]
        kind, target = _kind(data.type)
        return _Value(kind, data if kind == "other" else _cast(data, target), f"column {name!r}")

    def text(self, node: ast.expr) -> Any:
        """Return an operand that must be text."""
        value = self.value(node)
        if value.kind not in ("text", "nothing"):
            self.fail(f"{value.name} is {value.kind}, expected text")
        return value.data.cast(_TYPES["text"])

    def arguments(self, node: ast.Call, count: int) -> list[ast.expr]:
        if len(node.args) != count or node.keywords:
            self.fail(f"found {self.text_of(node)}, expected {count} arguments")
        return node.args


def _kind(kind: pa.DataType) -> tuple[str, pa.DataType]:
    """Return the kind of a column's type, and the type that its values are read as."""
    types = pa.types
    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if hasattr(kind, "value_type"):  # the lists of every layout
        name, inner = _kind(kind.value_type)
        return ("other" if name == "other" else f"list of {name}"), pa.large_list(inner)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text", pa.large_string()
    if types.is_uint64(kind):
        return "number", pa.decimal128(20, 0)  # what int64 cannot hold stays exact
    if types.is_integer(kind):
        return "number", pa.int64()
    if types.is_date(kind) or types.is_timestamp(kind):
        return "time", pa.timestamp("us")  # in UTC
    if types.is_floating(kind) or types.is_decimal(kind):
        return "number", pa.float32() if kind == pa.float32() else pa.float64()
    name = {pa.bool_(): "truth", pa.null(): "nothing"}.get(kind, "other")
    return name, kind


def _cast(data: Any, kind: pa.DataType) -> Any:
    if pa.types.is_dictionary(data.type):
        data = data.cast(data.type.value_type)
    if pa.types.is_timestamp(data.type):
        if data.type.tz is not None:
            data = data.cast(pa.timestamp(data.type.unit, "UTC"))
        data = data.cast(options=pc.CastOptions(pa.timestamp("us"), allow_time_truncate=True))
    return data if data.type == kind else data.cast(kind)


def _named(expression: str) -> str:
    return f"condition {_short(repr(expression), 80)}"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"
