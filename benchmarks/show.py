"""A run as tables in the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Column, Table

from benchmarks._lines import Line

_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def show(line: Line, console: Console) -> None:
    """Print a point: a row for each method."""
    base = next(iter(line["methods"]))
    table = Table(
        Column("method", no_wrap=True), "ms a step", f"over {base}", "bytes", "build s", "compile s", "exact", "valid",
        title=line["key"],
    )  # fmt: skip
    for name, own in line["methods"].items():
        if "error" in own:
            table.add_row(name, own["error"].split(": ", 1)[-1])
            continue
        table.add_row(
            name,
            f"{own['step_ms']:.3f}",
            f"{own['over_first_ms']:+.3f}" if "over_first_ms" in own else "",
            size(own["bytes"]),
            f"{own['build_s']:.2f}",
            f"{own['compile_s']:.1f}",
            f"{own['of_exact']:.0%}" if "of_exact" in own else "",
            f"{own['valid']:.0%}",
        )
    if "floors" in line:
        depth = line["sizes"]["depth"]
        least = line["floors"]["logsumexp_ms"] / depth
        once = line["floors"]["read_once_ms"] / depth
        table.caption = (
            f"floors: {least:.3f} ms a step for the logsumexps alone, "
            f"{once:.3f} ms to read the logits once"
        )
    console.print(table)


def size(count: Any) -> str:
    """Say a number of bytes.

    >>> size(0), size(2048), size(3 << 20)
    ('0', '2.0 KiB', '3.0 MiB')
    """
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return str(count)
