"""The table of a point of the suite."""

from collections.abc import Mapping
from typing import Any

from benchmarks.tables import Table

Line = Mapping[str, Any]
"""The figures of a point."""

COLUMNS = {
    "ms a step": ("step_ms", "{:.3f}"),
    "over first": ("over_first_ms", "{:+.3f}"),
    "x first": ("times_first", "{:.2f}"),
    "queued": ("queued_step_ms", "{:.3f}"),
    "MiB": ("bytes", lambda count: f"{count / 2**20:,.1f}"),
    "build s": ("build_s", "{:.2f}"),
    "refresh s": ("refresh_s", "{:.3f}"),
    "update s": ("update_s", "{:.3f}"),
    "compile s": ("compile_s", "{:.1f}"),
    "false +": ("false_positive_rate", "{:.2%}"),
    "exact": ("of_exact", "{:.0%}"),
    "valid": ("valid", "{:.0%}"),
}
"""Figure and form of each column. First: the first method."""


def table(key: str, line: Line) -> Table:
    """Return the table of a point: a row for each method, and one for the logsumexps alone."""
    depth = line["sizes"]["depth"]
    rows = {
        name: own | {"queued_step_ms": own["queued_ms"] / depth} if "queued_ms" in own else own
        for name, own in line["methods"].items()
    }
    if line.get("floors"):
        rows["logsumexps alone"] = {"step_ms": line["floors"]["logsumexp_ms"] / depth}
    return Table.of(key, COLUMNS, rows)
