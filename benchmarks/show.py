"""A run as tables: in the terminal, or as one HTML page with pictures, without a network."""

import dataclasses
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from benchmarks import plots
from benchmarks.program import Table
from benchmarks.record import read, write_text

Line = Mapping[str, Any]
"""The figures of a point."""

COLUMNS = {
    "ms a step": ("step_ms", "{:.3f}"),
    "over first": ("over_first_ms", "{:+.3f}"),
    "x first": ("times_first", "{:.2f}"),
    "queued": ("queued_step_ms", "{:.3f}"),
    "bytes": ("bytes", lambda count: size(count)),
    "build s": ("build_s", "{:.2f}"),
    "refresh s": ("refresh_s", "{:.3f}"),
    "update s": ("update_s", "{:.3f}"),
    "compile s": ("compile_s", "{:.1f}"),
    "false +": ("false_positive_rate", "{:.2%}"),
    "exact": ("of_exact", "{:.0%}"),
    "valid": ("valid", "{:.0%}"),
}
"""Figure and form of each column. First: the first method."""

STYLE = """:root{color-scheme:light dark;--page:#fff;--ink:#1f2328;--soft:#444;--even:#f6f6f6}
@media (prefers-color-scheme:dark){:root{--page:#0d1117;--ink:#e6edf3;--soft:#a0aab5;--even:#161b22}}
body{background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
header p{margin:.2rem 0;color:var(--soft)}.wide{overflow-x:auto}svg{max-width:100%;height:auto}
table{border-collapse:collapse;margin:.5rem 0 2rem}td,th{padding:.2rem .8rem;text-align:right}
td:first-child,th:first-child,.said{text-align:left}th{border-bottom:1px solid #999}
tr:nth-child(even){background:var(--even)}code{font-size:.9em}
figure{margin:1.5rem 0;padding:.5rem;border-radius:.4rem;background:#fff;color:#1f2328}"""

HOW = (
    "Times are medians of interleaved rounds, and ratios are taken over all pairs of rounds. The "
    "answers of every exact method equalled brute force before it was timed."
)

MAP = "Which method wins where, and by how much. The fastest exact method is framed."


def table(key: str, line: Line) -> Table:
    """Return the table of a point: a row for each method."""
    depth = line["sizes"]["depth"]
    rows = {
        name: own | ({"queued_step_ms": own["queued_ms"] / depth} if "queued_ms" in own else {})
        for name, own in line["methods"].items()
    }
    return Table.of(key, COLUMNS, rows)


def show(key: str, line: Line, console: Console) -> None:
    """Print a point: a row for each method, and below the table why one has no figures."""
    found = table(key, line)
    failed = [row for row in found.rows if "error" in line["methods"][row[0]]]
    rows = [row for row in found.rows if row not in failed]
    dataclasses.replace(found, rows=rows).show(console)
    for name, error in failed:
        console.print(f"  {name}: {error}")
    if line.get("floors"):
        least = line["floors"]["logsumexp_ms"] / line["sizes"]["depth"]
        console.print(f"  floor: {least:.3f} ms a step for the logsumexps alone")


@dataclasses.dataclass(frozen=True)
class Page:
    """Make the page of a run: tables and pictures, without a network."""

    file: tyro.conf.Positional[Path]  # JSON of the run.
    out: Path | None = None  # HTML file to write; None: beside the run, with its name.

    def main(self, console: Console) -> None:
        """Write the page."""
        write_page(self.out or self.file.with_suffix(".html"), read(self.file), console)


def write_page(path: Path, document: Mapping[str, Any], console: Console) -> None:
    """Write the page of a run: its tables, and of the suite the map of who wins where."""
    if document.get("program") == "benchmarks.accelerators":
        from benchmarks import accelerators

        page = accelerators.page(document)
    else:
        points, parts = document["points"], []
        figure = plots.who_wins(list(points.values()))
        if figure is not None:
            parts = [f"<figure>{plots.svg(figure)}<figcaption>{MAP}</figcaption></figure>"]
        tables = [table(*point) for point in points.items()]
        title = "Constrained decoding, measured"
        page = page_of(title, document["environment"], tables, HOW, parts)
    write_text(path, page)
    console.print(f"page: {path}")


def page_of(
    title: str, about: Mapping[str, Any], tables: Sequence[Table], how: str, parts: Sequence = ()
) -> str:
    """Return a page: its heading, where the figures are from and how they came about, and tables.

    Args:
      title: its heading.
      about: as :func:`benchmarks.record.environment` returns it.
      tables: the tables.
      how: a sentence on how the figures came about.
      parts: HTML that stands before the tables.
    """
    body = "\n".join([*parts, *(table.html() for table in tables)])
    lines = "".join(f"<p>{html.escape(text)}</p>" for text in (*where(about), how))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
        f"<header><h1>{html.escape(title)}</h1>{lines}</header>\n{body}\n</html>\n"
    )


def where(environment: Mapping[str, Any]) -> list[str]:
    """Say in sentences where the figures of a run are from."""
    said = []
    if environment.get("processor"):
        machine = f"Measured on {environment['processor']}, {environment.get('cores')} cores"
        if environment.get("device") not in (None, "cpu"):
            machine += f", with {environment.get('devices', 1)} x {environment['device']}"
        said.append(f"{machine}; load at the start {environment.get('load', 'unknown')}.")
    versions = ", ".join(f"{k} {v}" for k, v in environment.get("versions", {}).items())
    if versions:
        said.append(f"Commit {environment.get('commit') or 'unknown'}; {versions}.")
    return said


def size(count: Any) -> str:
    """Say a number of bytes.

    >>> size(0), size(2048), size(3 << 20)
    ('0', '2.0 KiB', '3.0 MiB')
    """
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return str(count)
