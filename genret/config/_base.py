"""How frozen configurations become JSON and come back."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from genret.errors import GenretError

C = TypeVar("C", bound="Config")


class Config:
    """Base of the frozen configuration dataclasses: strict conversion from and to JSON values."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values (tuples become lists, at every depth)."""
        found: dict[str, Any] = _listed(dataclasses.asdict(self))  # type: ignore[call-overload]
        return found

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any], *, where: str = "config") -> C:
        """Build the configuration from JSON values.

        Args:
          values: field name -> value.
          where: what to name in errors.

        Returns:
          The configuration.

        Raises:
          GenretError: an unknown key, a missing one, or a value of the wrong type.

        >>> from genret.config import TrainConfig
        >>> TrainConfig.from_dict({"step": 3})
        Traceback (most recent call last):
        ...
        genret.errors.GenretError: config: unknown key 'step' of TrainConfig; did you mean 'steps'?
        """
        import difflib

        hints = typing.get_type_hints(cls)
        fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        checked = {}
        for key, value in values.items():
            if key not in fields:
                close = difflib.get_close_matches(key, fields, 1)
                hint = f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(fields)}"
                raise GenretError(f"{where}: unknown key {key!r} of {cls.__name__}{hint}")
            checked[key] = _checked(value, hints[key], f"{where}: {cls.__name__}.{key}")
        try:
            return cls(**checked)
        except TypeError as e:
            raise GenretError(f"{where}: {cls.__name__}: {e}") from e


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _listed(v) for name, v in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _checked(value: Any, hint: Any, where: str) -> Any:
    """Return ``value`` as the hinted type (a list as a tuple, an int as a float) or refuse it."""
    origin = typing.get_origin(hint)
    args = typing.get_args(hint)
    if origin is Literal:
        if value not in args:
            raise GenretError(
                f"{where}: found {value!r}, expected one of {', '.join(map(repr, args))}"
            )
        return value
    if origin in (typing.Union, types.UnionType):
        for option in args:
            try:
                return _checked(value, option, where)
            except GenretError:
                continue
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(_checked(v, args[0], where) for v in value)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif hint is type(None):
        if value is None:
            return None
    elif isinstance(hint, type) and type(value) is hint:
        return value
    elif isinstance(hint, type) and issubclass(hint, Config) and isinstance(value, Mapping):
        return hint.from_dict(value, where=where)
    name = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise GenretError(f"{where}: found {value!r}, expected {name}")


def require(condition: bool, message: str) -> None:
    """Raise :class:`~genret.errors.GenretError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise GenretError(message)


MOST = 2**31 - 1
"""The largest count: indices are 32-bit integers."""


def require_counts(config: Config, *names: str, least: int = 1) -> None:
    """Refuse integer fields that are below ``least`` or above :data:`MOST`."""
    for name in names:
        value = getattr(config, name)
        require(value >= least, f"{name}: found {value}, expected at least {least}")
        require(value <= MOST, f"{name}: found {value}, expected at most {MOST}")


def require_finite(config: Config, *names: str, positive: bool = False) -> None:
    """Refuse numbers that are negative, infinite or none at all; ``positive`` refuses 0 as well."""
    bound = " above 0" if positive else ", 0 or more"
    for name in names:
        value = getattr(config, name)
        usable = math.isfinite(value) and (value > 0 if positive else value >= 0)
        require(usable, f"{name}: found {value}, expected a finite number{bound}")
