"""Which types a field of JSON takes over a whole file, and the one type that can hold them all."""

import dataclasses
import json
import math
from typing import Any

import pyarrow as pa

_INT64 = 2**63


@dataclasses.dataclass
class Kind:
    """The types of a field's values.

    Attributes:
      atoms: of "truth", "whole", "number", "text", "list", "object"; a null is none of them.
      inner: the types of the elements of its lists.
      fields: the types of the fields of its objects, in the order in which they were first found.

    >>> kind = Kind()
    >>> for value in (5, None, 5.5):
    ...     kind.add(value)
    >>> kind.type()
    DataType(double)
    """

    atoms: set[str] = dataclasses.field(default_factory=set)
    inner: "Kind | None" = None
    fields: "dict[str, Kind]" = dataclasses.field(default_factory=dict)

    def add(self, value: Any) -> None:
        """Take a value that Python's parser gave."""
        if value is None:
            return
        if isinstance(value, bool):
            self.atoms.add("truth")
        elif isinstance(value, int):
            self.atoms.add("whole" if -_INT64 <= value < _INT64 else "number")
        elif isinstance(value, float):
            self.atoms.add("number")
        elif isinstance(value, str):
            self.atoms.add("text")
        elif isinstance(value, list):
            self.atoms.add("list")
            self.inner = self.inner or Kind()
            for element in value:
                self.inner.add(element)
        else:
            self.atoms.add("object")
            for name, part in value.items():
                self.fields.setdefault(name, Kind()).add(part)

    def add_type(self, kind: pa.DataType) -> None:
        """Take the type that Arrow inferred for some values."""
        types = pa.types
        if types.is_null(kind):
            return
        if types.is_boolean(kind):
            self.atoms.add("truth")
        elif types.is_integer(kind):
            self.atoms.add("whole")
        elif types.is_floating(kind):
            self.atoms.add("number")
        elif types.is_list(kind):
            self.atoms.add("list")
            self.inner = self.inner or Kind()
            self.inner.add_type(kind.value_type)
        elif types.is_struct(kind):
            self.atoms.add("object")
            for field in kind:
                self.fields.setdefault(field.name, Kind()).add_type(field.type)
        else:  # text; Arrow takes what looks like dates for timestamps
            self.atoms.add("text")

    def type(self) -> pa.DataType:
        """Return the Arrow type that holds all the values."""
        match self.single():
            case "truth":
                return pa.bool_()
            case "whole":
                return pa.int64()
            case "number":
                return pa.float64()
            case "list":
                return pa.list_((self.inner or Kind()).type())
            case "object":
                return pa.struct([(name, kind.type()) for name, kind in self.fields.items()])
        return pa.string()

    def single(self) -> str:
        """Return the one atom that all values fit; "text" where they have nothing in common."""
        if self.atoms <= {"whole", "number"} and "number" in self.atoms:
            return "number"
        if len(self.atoms) == 1 and (self.atoms != {"object"} or self.fields):
            return next(iter(self.atoms))
        return "text"

    def is_plain(self) -> bool:
        """Say whether Arrow's parser reads the values as :meth:`type`, without conversion."""
        if self.atoms and self.single() == "text" and self.atoms != {"text"}:
            return False
        parts = [*self.fields.values(), *([self.inner] if self.inner else [])]
        return all(kind.is_plain() for kind in parts)

    def convert(self, value: Any) -> Any:
        """Return a value as :meth:`type` holds it."""
        if value is None:
            return None
        match self.single():
            case "number":
                try:
                    return float(value)
                except OverflowError:
                    return math.copysign(math.inf, value)
            case "list":
                assert self.inner is not None
                return [self.inner.convert(element) for element in value]
            case "object":
                return {name: kind.convert(value.get(name)) for name, kind in self.fields.items()}
            case "text":
                return as_text(value)
        return value


def as_text(value: Any) -> str:
    """Return a value of JSON as text.

    >>> as_text(5.0), as_text("5"), as_text(["a", 1])
    ('5', '5', '["a", 1]')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        value = int(value)
    return json.dumps(value, ensure_ascii=False)
