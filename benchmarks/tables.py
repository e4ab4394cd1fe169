"""Tables of figures, for a terminal, a page of docs/ and a page of HTML, which needs no network."""

import dataclasses
import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import rich.table
from rich.console import Console

from genret.errors import GenretError

Columns = Mapping[str, tuple[str, str | Callable[[Any], str]]]
"""Title of each column of a table, the name of its figure (``outer.inner``), and the figure's form."""

STYLE = """:root{color-scheme:light dark;--page:#fff;--ink:#1f2328;--soft:#444;--even:#f6f6f6}
@media (prefers-color-scheme:dark){:root{--page:#0d1117;--ink:#e6edf3;--soft:#a0aab5;--even:#161b22}}
body{background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
header p{margin:.2rem 0;color:var(--soft)}.wide{overflow-x:auto}svg{max-width:100%;height:auto}
table{border-collapse:collapse;margin:.5rem 0 2rem}td,th{padding:.2rem .8rem;text-align:right}
td:first-child,th:first-child,.said{text-align:left}th{border-bottom:1px solid #999}
tr:nth-child(even){background:var(--even)}code{font-size:.9em}
figure{margin:1.5rem 0;padding:.5rem;border-radius:.4rem;background:#fff;color:#1f2328}"""


def _said(own: Mapping[str, Any], figure: str, form: str | Callable[[Any], str]) -> str:
    value: Any = own
    for name in figure.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return "" if value is None else form.format(value) if isinstance(form, str) else form(value)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of strings. The last cell of a row that is too short says why there are no figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(
        cls,
        title: str,
        columns: Columns,
        rows: Mapping[str, Mapping[str, Any]],
        first: str = "method",
    ) -> "Table":
        """Make a table of figures: by the first cell of their row, under the title ``first``.

        A column without figures is left out; of a row with an ``error`` that is the only other cell.

        >>> Table.of("", {"ms": ("ms", "{:.1f}"), "B": ("b.c", "{}")}, {"a": {"ms": 2}}).rows
        [['a', '2.0']]
        """
        cells = {name: [_said(own, *how) for how in columns.values()] for name, own in rows.items()}
        shown = [n for n in range(len(columns)) if any(own[n] for own in cells.values())]
        lines = [
            [name, re.sub(r"^\w+: ", "", own["error"]).removeprefix(f"{name}: ")]  # not its type
            if isinstance(own.get("error"), str)
            else [name, *(cells[name][n] for n in shown)]
            for name, own in rows.items()
        ]
        return cls(title, [first, *([*columns][n] for n in shown)], lines)

    def show(self, console: Console) -> None:
        """Print it; all columns but the first are of numbers. What has no figures stands below."""
        table = rich.table.Table(title=self.title, title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left", no_wrap=not number)
        for row in self.rows:
            if len(row) == len(self.columns):
                table.add_row(*row)
        console.print(table)
        for row in self.rows:
            if len(row) != len(self.columns):
                console.print(f"  {': '.join(row)}")

    def markdown(self) -> str:
        """Return its lines, without the title."""
        width = len(self.columns)
        rows = [[*row, *[""] * (width - len(row))] for row in self.rows]
        lines = [self.columns, ["---"] * width, *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def html(self) -> str:
        """Return it with its title as a heading."""

        def row(values: Sequence[str], tag: str) -> str:
            cells = [f"<{tag}>{html.escape(value)}</{tag}>" for value in values]
            if len(values) < len(self.columns):
                span = f" colspan={1 + len(self.columns) - len(values)} class=said>"
                cells[-1] = cells[-1].replace(">", span, 1)
            return f"<tr>{''.join(cells)}</tr>"

        body = row(self.columns, "th") + "".join(row(each, "td") for each in self.rows)
        return f"<h3>{html.escape(self.title)}</h3><div class=wide><table>{body}</table></div>"


def replace_block(page: str, new: str, begin: str, end: str, name: str) -> str:
    """Return a page with what stands between two marks, and the marks, replaced.

    Raises:
      GenretError: the marks are not there once each.
    """
    if page.count(begin) != 1 or page.count(end) != 1:
        raise GenretError(f"{name}: expected {begin} and {end} once each")
    before, rest = page.split(begin)
    return before + new + rest.split(end)[1]


def bars_table(document: Mapping[str, Any]) -> Table:
    """Return the figures of bars, what is asked for and whether it is met."""
    rows: dict[str, dict[str, Any]] = {}
    for name, value in document["bars"].items():
        row = rows[name] = {"value": f"{value:.4g}" if isinstance(value, float) else str(value)}
        judged = document["verdicts"].get(name, {})
        if judged.get("bar") is not None:
            row["asked"] = f"{'at most' if judged['at_most'] else 'at least'} {judged['bar']:.4g}"
            row["met"] = "met" if judged["met"] else "MISSED"
    rows |= {name: {"error": "not measured"} for name in document.get("not_measured", ())}
    columns = {"measured": ("value", "{}"), "asked for": ("asked", "{}"), "": ("met", "{}")}
    return Table.of("Bars", columns, rows, "bar")


def page_of(
    title: str, about: Mapping[str, Any], tables: Sequence[Table], how: str, parts: Sequence = ()
) -> str:
    """Return a page: its heading, where the figures are from and how they came about, HTML, and tables."""
    body = "\n".join([*parts, *(table.html() for table in tables)])
    lines = "".join(f"<p>{html.escape(text)}</p>" for text in (*where(about), how) if text)
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
