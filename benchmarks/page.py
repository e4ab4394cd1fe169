"""A run as one HTML page: tables and pictures, without a network."""

import dataclasses
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro
from matplotlib import rc_context
from matplotlib.figure import Figure
from rich.console import Console

from benchmarks.plots import all_figures
from benchmarks.record import read
from benchmarks.show import cells

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
header p{margin:.2rem 0;color:#444}.wide{overflow-x:auto}svg{max-width:100%;height:auto}
table{border-collapse:collapse;margin:.5rem 0 2rem}td,th{padding:.2rem .8rem;text-align:right}
td:first-child,th:first-child,.said{text-align:left}th{border-bottom:1px solid #999}
tr:nth-child(even){background:#f6f6f6}code{font-size:.9em}figure{margin:1.5rem 0}"""

CAPTIONS = {
    "who_wins": "Which method wins where, and by how much. The fastest exact method is framed.",
    "slower_than_genret": "The same over all points.",
    "latency_over_items": "Time of a step against the number of items.",
    "latency_over_codes": "Time of a step against the number of codes of a level.",
    "bytes_over_items": "Memory of the index.",
    "by_level": "Where the time goes: each step alone.",
    "with_models": "A whole search with a transformer; grey is the time without a constraint.",
}

HOW = (
    "Times are medians of interleaved rounds, and ratios are taken over all pairs of rounds. The "
    "answers of every exact method equalled brute force before it was timed."
)


@dataclasses.dataclass(frozen=True)
class Page:
    """Make the page of a run: tables and pictures, without a network."""

    file: tyro.conf.Positional[Path]
    """JSON of the run."""
    out: Path | None = None
    """HTML file to write; None: beside the run, with its name."""

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
    points = document["points"]
    parts = []
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, figure in all_figures(list(points.values())).items():
        figure.savefig(path.with_name(f"{path.stem}-{name}.png"), dpi=144)
        drawn = svg(figure)
        path.with_name(f"{path.stem}-{name}.svg").write_text(drawn, encoding="utf-8")
        parts.append(f"<figure>{drawn}<figcaption>{CAPTIONS[name]}</figcaption></figure>")
    tables = {key: cells(point) for key, point in points.items()}
    title = "Constrained decoding, measured"
    write_tables(path, title, document["environment"], tables, HOW, parts)


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
      tables: titles of the columns and rows, by the heading of each table. A row of two cells of
        which the second is an error stretches over the table.
      how: a sentence on how the figures came about.
      parts: HTML that stands before the tables.
    """
    body = "\n".join([*parts, *(_table(name, *table) for name, table in tables.items())])
    lines = "".join(f"<p>{html.escape(text)}</p>" for text in (*about(environment), how) if text)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.partial")
    scratch.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
        f"<header><h1>{html.escape(title)}</h1>{lines}</header>\n{body}\n</html>\n",
        encoding="utf-8",
    )
    scratch.replace(path)


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


def svg(figure: Figure) -> str:
    """Return a figure as an SVG element; equal figures give equal text."""
    text = io.StringIO()
    # Names of parts of a picture are hashed with a salt; they are unique in a page by the title.
    with rc_context({"svg.hashsalt": figure.axes[0].get_title(), "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]


def _table(name: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def row(values: Sequence[str], tag: str) -> str:
        parts = []
        for place, value in enumerate(values):
            # The last cell of a row without figures says why, in the room of the others.
            short = place == len(values) - 1 and len(values) < len(titles)
            span = f" colspan={len(titles) - place} class=said" if short else ""
            parts.append(f"<{tag}{span}>{html.escape(value)}</{tag}>")
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(row(each, "td") for each in rows)
    head = row(titles, "th")
    return f"<h3>{html.escape(name)}</h3><div class=wide><table>{head}{body}</table></div>"
