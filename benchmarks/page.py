"""A run as one HTML page: tables and pictures, without a network."""

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks._lines import Line
from benchmarks.plots import all_figures
from benchmarks.show import cells

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:.5rem 0 2rem}td,th{padding:.2rem .8rem;text-align:right}
td:first-child,th:first-child,.said{text-align:left}th{border-bottom:1px solid #999}
tr:nth-child(even){background:#f6f6f6}svg{max-width:100%;height:auto}code{font-size:.9em}"""

CAPTIONS = {
    "who_wins": "Which method wins where, and by how much; framed: the fastest exact one.",
    "slower_than_genret": "The same over all points.",
    "latency_over_items": "A step against the number of items.",
    "latency_over_codes": "A step against the codes of a level.",
    "bytes_over_items": "Memory of the index.",
    "by_level": "Where the time goes: each step alone.",
    "with_models": "A whole search with a transformer; grey is what it takes without a constraint.",
}


def write_page(path: Path, environment: Mapping[str, Any], points: Sequence[Line]) -> None:
    """Write the page, and each picture beside it as PNG and SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = []
    for name, figure in all_figures(points).items():
        figure.savefig(path.with_name(f"{path.stem}-{name}.png"), dpi=144)
        drawn = svg(figure)
        path.with_name(f"{path.stem}-{name}.svg").write_text(drawn, encoding="utf-8")
        parts.append(f"<figure>{drawn}<figcaption>{CAPTIONS[name]}</figcaption></figure>")
    facts = ", ".join(
        f"{k} {v}" for k, v in environment.items() if isinstance(v, str | int | float)
    )
    versions = ", ".join(f"{k} {v}" for k, v in environment.get("versions", {}).items())
    body = "\n".join([*parts, *map(table, points)])
    scratch = path.with_name(f".{path.name}.partial")
    scratch.write_text(
        f"<!doctype html><meta charset=utf-8><title>genret benchmarks</title>"
        f"<style>{STYLE}</style><h1>Constrained decoding, measured</h1>"
        f"<p>{html.escape(facts)}; {html.escape(versions)}</p>"
        f"<p>Times are medians of interleaved rounds, ratios over all pairs of rounds. "
        f"Every exact method's answers "
        f"equalled brute force before it was timed.</p>\n{body}\n",
        encoding="utf-8",
    )
    scratch.replace(path)


def svg(figure: Figure) -> str:
    """Return a figure as an SVG element; equal figures give equal text."""
    text = io.StringIO()
    # Names of parts of a picture are hashed with a salt; they are unique in a page by the title.
    from matplotlib import rc_context

    title = figure.axes[0].get_title()
    with rc_context({"svg.hashsalt": title, "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]


def table(line: Line) -> str:
    """Return the table of a point."""
    titles, rows = cells(line)

    def row(values: Sequence[str], tag: str) -> str:
        # The one cell of a method without figures says why, in the room of all.
        span = "" if len(values) == len(titles) else f" colspan={len(titles) - 1} class=said"
        first, *others = (html.escape(x) for x in values)
        cells_ = "".join(f"<{tag}{span}>{x}</{tag}>" for x in others)
        return f"<tr><{tag}>{first}</{tag}>{cells_}</tr>"

    body = "".join(row(each, "td") for each in rows)
    return f"<h3>{html.escape(line['key'])}</h3><table>{row(titles, 'th')}{body}</table>"
