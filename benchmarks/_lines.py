"""A run as JSON lines: the environment, then a line for each point as soon as it is measured."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genret.errors import GenretError

Line = dict[str, Any]


def pairs(own: Mapping[str, Any], base: Mapping[str, Any]) -> list[list[tuple[float, float]]]:
    """Return, by process, the times of two methods in each round that both have, in milliseconds.

    Both times of a pair are of one round: whatever else the machine did then slowed both.
    """
    return [
        list(zip(mine, other, strict=False))
        for mine, other in zip(own["rounds_ms"], base["rounds_ms"], strict=True)
    ]


def times_of(own: Mapping[str, Any], base: Mapping[str, Any]) -> float:
    """Return how many times another method's time a method takes.

    The median over the rounds of a process, and of these the median over the processes.

    >>> times_of({"rounds_ms": [[2.0, 9.0, 4.0]]}, {"rounds_ms": [[1.0, 3.0, 2.0, 2.0]]})
    2.0
    """
    return statistics.median(
        statistics.median(mine / other for mine, other in rounds) for rounds in pairs(own, base)
    )


class Lines:
    """The lines of a run, on disk if there is a path.

    Attributes:
      environment: the first line.
      points: the others, by key.
    """

    def __init__(self, path: Path | None, environment: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        self.environment: Line = {"kind": "environment", **environment}
        self.points: dict[str, Line] = {}
        if resume:
            if path is None:
                raise GenretError("resume: found no file to go on with, expected --json FILE")
            if path.is_file():
                before, self.points = read(path)
                if before.get("preset") != environment["preset"]:
                    raise GenretError(
                        f"{path}: is of preset {before.get('preset')!r}, "
                        f"expected {environment['preset']!r}"
                    )
                self.environment["resumed"] = before.get("resumed", 0) + 1
        if path is not None:
            # Whole lines only: the last one of a run that was killed may be half a line.
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = path.with_name(f".{path.name}.partial")
            lines = [self.environment, *self.points.values()]
            scratch.write_text("".join(json.dumps(x) + "\n" for x in lines), encoding="utf-8")
            scratch.replace(path)

    def add(self, key: str, figures: Mapping[str, Any]) -> Line:
        """Append a point."""
        line: Line = {"kind": "point", "key": key, **figures}
        self.points[key] = line
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        return line


def read(path: Path) -> tuple[Line, dict[str, Line]]:
    """Read a run: its environment and its points by key.

    Raises:
      GenretError: no such file, or something else in it.
    """
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
    return lines[0], {line["key"]: line for line in lines[1:]}
