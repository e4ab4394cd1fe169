"""A run as tables in the terminal."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Column, Table

Line = Mapping[str, Any]
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


Figures = Mapping[str, Any]
"""What is known of a method at a point."""

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
    methods: dict[str, Figures] = {
        name: own | ({"queued_step_ms": own["queued_ms"] / depth} if "queued_ms" in own else {})
        for name, own in line["methods"].items()
    }
    shown = [c for c in COLUMNS if any(c[1] in own for own in methods.values())]
    titles = ["method", *(title for title, _, _ in shown)]
    missing = errors(line)
    rows = []
    for name, own in methods.items():
        if name in missing:
            rows.append([name, missing[name]])
        else:
            rows.append([name, *(form(own[key]) if key in own else "" for _, key, form in shown)])
    return titles, rows


def show(key: str, line: Line, console: Console) -> None:
    """Print a point: a row for each method, and below the table why one has no figures."""
    titles, rows = cells(line)
    table = Table(Column(titles[0], no_wrap=True), *titles[1:], title=key)
    missing = errors(line)
    for row in rows:
        if row[0] not in missing:
            table.add_row(*row)
    console.print(table)
    for name, error in missing.items():
        console.print(f"  {name}: {error}")
    if "floors" in line:
        least, once = (
            line["floors"][name] / line["sizes"]["depth"]
            for name in ("logsumexp_ms", "read_once_ms")
        )
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
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return str(count)
