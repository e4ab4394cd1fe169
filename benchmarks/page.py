"""A run as one HTML page: tables and pictures, without a network."""

import dataclasses
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from benchmarks.plots import all_figures, svg
from benchmarks.program import Table
from benchmarks.record import read, write_text
from benchmarks.show import cells

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
header p{margin:.2rem 0;color:#444}.wide{overflow-x:auto}svg{max-width:100%;height:auto}
table{border-collapse:collapse;margin:.5rem 0 2rem}td,th{padding:.2rem .8rem;text-align:right}
td:first-child,th:first-child,.said{text-align:left}th{border-bottom:1px solid #999}
tr:nth-child(even){background:#f6f6f6}code{font-size:.9em}figure{margin:1.5rem 0}"""

HOW = (
    "Times are medians of interleaved rounds, and ratios are taken over all pairs of rounds. The "
    "answers of every exact method equalled brute force before it was timed."
)


@dataclasses.dataclass(frozen=True)
class Page:
    """Make the page of a run: tables and pictures, without a network."""

    file: tyro.conf.Positional[Path]  # JSON of the run.
    out: Path | None = None  # HTML file to write; None: beside the run, with its name.

    def main(self, console: Console) -> int:
        """Write the page."""
        out = self.out or self.file.with_suffix(".html")
        document = read(self.file)
        if document.get("program") == "benchmarks.accelerators":
            from benchmarks import accelerators

            accelerators.write_page(out, document)
        else:
            write_page(out, document)
        console.print(f"page: {out}")
        return 0


def write_page(path: Path, document: Mapping[str, Any]) -> None:
    """Write the page of a suite run, and each picture beside it as PNG and SVG."""
    points, parts = document["points"], []
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, (caption, figure) in all_figures(list(points.values())).items():
        figure.savefig(path.with_name(f"{path.stem}-{name}.png"), dpi=144)
        drawn = svg(figure)
        path.with_name(f"{path.stem}-{name}.svg").write_text(drawn, encoding="utf-8")
        parts.append(f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>")
    tables = {key: cells(point) for key, point in points.items()}
    write_tables(
        path, "Constrained decoding, measured", document["environment"], tables, HOW, parts
    )


def write_tables(
    path: Path,
    title: str,
    environment: Mapping[str, Any],
    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[str]]]],
    how: str = "",
    parts: Sequence[str] = (),
) -> None:
    """Write a page of tables.

    Args:
      path: the HTML file; it is there when it is whole.
      title: its heading.
      environment: where the figures are from, as :func:`benchmarks.record.environment` returns it.
      tables: titles of the columns and rows, by the heading of each table.
      how: a sentence on how the figures came about.
      parts: HTML that stands before the tables.
    """
    body = "\n".join([*parts, *(Table(name, *table).html() for name, table in tables.items())])
    lines = "".join(f"<p>{html.escape(text)}</p>" for text in (*about(environment), how) if text)
    write_text(
        path,
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
        f"<header><h1>{html.escape(title)}</h1>{lines}</header>\n{body}\n</html>\n",
    )


def about(environment: Mapping[str, Any]) -> list[str]:
    """Say in sentences where the figures of a run are from."""
    said = []
    if environment.get("processor"):
        where = f"Measured on {environment['processor']}, {environment.get('cores')} cores"
        if environment.get("device") not in (None, "cpu"):
            where += f", with {environment.get('devices', 1)} x {environment['device']}"
        said.append(f"{where}; load at the start {environment.get('load', 'unknown')}.")
    versions = ", ".join(f"{k} {v}" for k, v in environment.get("versions", {}).items())
    if versions:
        said.append(f"Commit {environment.get('commit') or 'unknown'}; {versions}.")
    return said
