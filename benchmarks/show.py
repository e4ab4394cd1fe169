"""A run as tables in the terminal."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from benchmarks.program import Table

Line = Mapping[str, Any]
"""The figures of a point."""

COLUMNS: list[tuple[str, str, Callable[[Any], str]]] = [
    ("ms a step", "step_ms", "{:.3f}".format),
    ("over first", "over_first_ms", "{:+.3f}".format),
    ("x first", "times_first", "{:.2f}".format),
    ("queued", "queued_step_ms", "{:.3f}".format),
    ("bytes", "bytes", lambda count: size(count)),
    ("build s", "build_s", "{:.2f}".format),
    ("refresh s", "refresh_s", "{:.3f}".format),
    ("update s", "update_s", "{:.3f}".format),
    ("compile s", "compile_s", "{:.1f}".format),
    ("false +", "false_positive_rate", "{:.2%}".format),
    ("exact", "of_exact", "{:.0%}".format),
    ("valid", "valid", "{:.0%}".format),
]
"""Title, figure and form of each column; one without figures is left out. First: the first method."""


def cells(line: Line) -> tuple[list[str], list[list[str]]]:
    """Return the table of a point: titles, and a row for each method; an error is its only cell."""
    depth = line["sizes"]["depth"]
    methods: dict[str, dict[str, Any]] = {name: {**own} for name, own in line["methods"].items()}
    for own in methods.values():
        if "queued_ms" in own:
            own["queued_step_ms"] = own["queued_ms"] / depth
    shown = [c for c in COLUMNS if any(c[1] in own for own in methods.values())]
    missing = errors(line)
    rows = [
        [name, missing[name]]
        if name in missing
        else [name, *(form(own[key]) if key in own else "" for _, key, form in shown)]
        for name, own in methods.items()
    ]
    return ["method", *(title for title, _, _ in shown)], rows


def show(key: str, line: Line, console: Console) -> None:
    """Print a point: a row for each method, and below the table why one has no figures."""
    titles, rows = cells(line)
    missing = errors(line)
    Table(key, titles, [row for row in rows if row[0] not in missing]).show(console)
    for name, error in missing.items():
        console.print(f"  {name}: {error}")
    if "floors" in line:
        least, once = (ms / line["sizes"]["depth"] for ms in line["floors"].values())
        console.print(
            f"  floors: {least:.3f} ms a step for the logsumexps alone, "
            f"{once:.3f} ms to read the logits once"
        )


def errors(line: Line) -> dict[str, str]:
    """Return why there are no figures, of each method that has none."""
    return {
        name: own["error"].split(": ", 1)[-1].removeprefix(f"{name}: ")
        for name, own in line["methods"].items()
        if "error" in own
    }


def size(count: Any) -> str:
    """Say a number of bytes.

    >>> size(0), size(2048), size(3 << 20)
    ('0', '2.0 KiB', '3.0 MiB')
    """
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return str(count)
