"""A run as JSON lines: the environment, then a line for each point as soon as it is measured.

A point that several processes measure has a line for each of them, a part, until it is whole.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genret.errors import GenretError

Line = dict[str, Any]


def rounds_of(own: Mapping[str, Any]) -> list[np.ndarray]:
    """Return the milliseconds of each round of a method, by process."""
    return [np.asarray(rounds, np.float64) for rounds in own["rounds_ms"]]


def times_of(own: Mapping[str, Any], base: Mapping[str, Any]) -> float:
    """Return how many times another method's time a method takes: a Hodges-Lehmann estimate.

    The median of x / y over every round x of the one and every round y of the other, of all
    processes. What disturbs a third of the rounds hardly moves it, and it moves less between two
    runs than the ratio of the medians. Source: Hodges and Lehmann, 1963.

    >>> times_of({"rounds_ms": [[2.0, 9.0], [2.0]]}, {"rounds_ms": [[1.0, 1.0, 1.0], [5.0]]})
    2.0
    """
    mine, other = (np.concatenate(rounds_of(each)) for each in (own, base))
    return float(np.median(np.divide.outer(mine, other)))


def more_than(own: Mapping[str, Any], base: Mapping[str, Any]) -> float:
    """Return how many milliseconds more than another method a method takes, alike."""
    mine, other = (np.concatenate(rounds_of(each)) for each in (own, base))
    return float(np.median(np.subtract.outer(mine, other)))


class Lines:
    """The lines of a run, on disk if there is a path.

    Attributes:
      environment: the first line.
      points: the others, by key.
      parts: figures of the processes that measured a point so far, by its key.
    """

    def __init__(self, path: Path | None, environment: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        self.environment: Line = {"kind": "environment", **environment}
        self.points: dict[str, Line] = {}
        self.parts: dict[str, list[Line]] = {}
        if resume:
            if path is None:
                raise GenretError("resume: found no file to go on with, expected --json FILE")
            if path.is_file():
                before, *rest = _read(path)
                for line in rest:
                    self._hold(line)
                if before.get("preset") != environment["preset"]:
                    raise GenretError(
                        f"{path}: is of preset {before.get('preset')!r}, "
                        f"expected {environment['preset']!r}"
                    )
                self.environment["resumed"] = before.get("resumed", 0) + 1
        # Whole lines only: the last one of a run that was killed may be half a line.
        self._write()

    def add(self, key: str, figures: Mapping[str, Any]) -> Line:
        """Append a point; its parts go."""
        own = {name: value for name, value in figures.items() if name != "kind"}
        line: Line = {"kind": "point", "key": key, **own}
        had_parts = bool(self.parts.get(key))
        self._hold(line)
        if had_parts:
            self._write()
        else:
            self._append(line)
        return line

    def add_part(self, key: str, figures: Mapping[str, Any]) -> list[Line]:
        """Append what one more process measured of a point; return all that is known of it."""
        line: Line = {"kind": "part", "key": key, **figures}
        self._hold(line)
        self._append(line)
        return self.parts[key]

    def _hold(self, line: Line) -> None:
        if line.get("kind") == "part":
            self.parts.setdefault(line["key"], []).append(line)
        else:
            self.points[line["key"]] = line
            self.parts.pop(line["key"], None)

    def _append(self, line: Line) -> None:
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _write(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_name(f".{self.path.name}.partial")
        parts = [line for lines in self.parts.values() for line in lines]
        lines = [self.environment, *self.points.values(), *parts]
        scratch.write_text("".join(json.dumps(x) + "\n" for x in lines), encoding="utf-8")
        scratch.replace(self.path)


def read(path: Path) -> tuple[Line, dict[str, Line]]:
    """Read a run: its environment and its whole points by key.

    Raises:
      GenretError: no such file, or something else in it.
    """
    environment, *rest = _read(path)
    return environment, {line["key"]: line for line in rest if line.get("kind") != "part"}


def _read(path: Path) -> list[Line]:
    try:
        rows = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as e:
        raise GenretError(f"{path}: cannot be read: {e}") from e
    lines: list[Line] = []
    for number, row in enumerate(rows[:-1], 1):  # behind the last newline a run was cut off
        try:
            lines.append(json.loads(row))
        except json.JSONDecodeError as e:
            raise GenretError(f"{path}: line {number} is no JSON: {e}") from None
    if not lines or not isinstance(lines[0], dict) or lines[0].get("kind") != "environment":
        raise GenretError(f"{path}: does not begin with the environment of a run")
    for number, line in enumerate(lines[1:], 2):
        if not isinstance(line, dict) or not isinstance(line.get("key"), str):
            raise GenretError(f"{path}: line {number} is no point: it has no key")
        for name, own in line.get("methods", {}).items():
            if not all(isinstance(rounds, list) for rounds in own.get("rounds_ms", [])):
                raise GenretError(
                    f"{path}: line {number}: rounds_ms of {name!r} is of an older version, "
                    "expected a list for each process: measure again"
                )
    return lines
