"""A report as one HTML page that fetches nothing and reads on a phone, in the dark and without color."""

import base64
import dataclasses
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genret.evaluation.report_tables import NAMES, Table, headline_k, methods_of
from genret.evaluation.report_words import basis, meaning, number, repeats, verdict

_STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1f2328; --soft: #57606a; --line: #d0d7de;
  --card: #f6f8fa; --model: #0b57a4; --other: #8c959f; --track: #eaeef2; }
@media (prefers-color-scheme: dark) { :root { --page: #0d1117; --ink: #e6edf3; --soft: #a0aab5;
  --line: #3d444d; --card: #161b22; --model: #58a6ff; --other: #6e7681; --track: #21262d; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; overflow-wrap: anywhere; }
h1 { font-size: 1.1rem; font-weight: 600; color: var(--soft); margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
.verdict { font-size: 1.45rem; line-height: 1.35; font-weight: 600; margin: .2rem 0 .6rem; }
.soft { color: var(--soft); }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: .45rem .8rem;
  align-items: center; margin: 1rem 0 .3rem; }
.bars .name, .bars .value { font-variant-numeric: tabular-nums; }
.bars .own { font-weight: 700; }
.track { position: relative; height: 1.3rem; background: var(--track); border-radius: 3px; }
.bar { position: absolute; inset: 0 auto 0 0; background: var(--other); border-radius: 3px; }
.own .bar { background: var(--model); }
.whisker { position: absolute; top: .35rem; height: .6rem; border: solid var(--ink);
  border-width: 0 2px; }
.whisker::after { content: ""; position: absolute; left: 0; right: 0; top: calc(50% - 1px);
  border-top: 2px solid var(--ink); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .8rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 6px;
  padding: .8rem 1rem; }
.card b { display: block; font-size: 1.6rem; line-height: 1.3; }
.card p { margin: .3rem 0 0; font-size: .9rem; color: var(--soft); }
.scroll { overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .9rem; }
th, td { text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; font-variant-numeric: tabular-nums; }
.wide th, .wide td { white-space: nowrap; }
abbr { text-decoration: underline dotted; cursor: help; }
details { border-top: 1px solid var(--line); padding: .7rem 0; }
summary { cursor: pointer; font-weight: 600; }
figure { margin: 1rem 0; }
img { display: block; min-width: 34rem; max-width: 100%; height: auto; background: #fff;
  border-radius: 6px; padding: .4rem; }
figcaption, dd { color: var(--soft); font-size: .92rem; }
dt { font-weight: 600; } dd { margin: 0 0 .6rem; }
.users { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: .8rem; }
.users ol, .users ul { margin: .2rem 0 .6rem; padding-left: 1.4rem; font-size: .92rem; }
.users h3 { font-size: 1rem; margin: 0 0 .3rem; } .hit { font-weight: 700; }
@media (max-width: 30rem) { .bars { grid-template-columns: 1fr max-content; gap: .1rem .8rem; }
  .track { grid-column: 1 / -1; margin-bottom: .5rem; order: 0; } .verdict { font-size: 1.2rem; }
  .bars { grid-auto-flow: dense; } .row { display: contents; } }
.row { display: contents; }
"""
_CARDS = ("ndcg", "recall", "mrr", "coverage")


@dataclasses.dataclass(frozen=True)
class Sample:
    """What one user chose, was to choose, and was recommended.

    Attributes:
      user: id of the user.
      history: titles of the newest items of the history, oldest first.
      earlier: items of the history before those.
      wanted: title of the held-out item.
      recommended: titles, best first.
      hit: place of the held-out item among them, from 0; -1: it is not there.
    """

    user: str
    history: Sequence[str]
    earlier: int
    wanted: str
    recommended: Sequence[str]
    hit: int


def page(
    title: str,
    document: Mapping[str, Any],
    folded: Mapping[str, Table],
    pictures: Mapping[str, tuple[str, Path]],
    samples: Sequence[Sample],
) -> str:
    """Return the page.

    Args:
      title: name of the report.
      document: metrics of each method and the protocol, as in ``metrics.json``.
      folded: heading -> table, for the part that a reader opens.
      pictures: name -> what a picture shows, and its PNG; they become part of the page.
      samples: users to show.

    Returns:
      HTML.
    """
    k = headline_k(document["model"])
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{_text(title)}</h1>",
        f'<p class="verdict">{_text(verdict(document))}</p>',
        f'<p class="soft">{_text(basis(document))}</p>',
        *_bars(document, f"ndcg@{k}"),
        "<h2>Four figures</h2>",
        *_cards(document, k),
        *_users(samples),
        "<h2>Items that users already have</h2>",
        f"<p>{_text(repeats(document))}</p>",
        "<h2>Details</h2>",
    ]
    for heading, table in folded.items():
        parts += [_details(heading, _table(table))]
    parts.append(_details("What the metrics mean", _meanings(document)))
    for text, file in pictures.values():
        data = base64.b64encode(file.read_bytes()).decode()
        image = f'<img alt="{_text(text)}" src="data:image/png;base64,{data}">'
        figure = f'<figure><div class="scroll" tabindex="0">{image}</div></figure>'
        parts.append(_details(text, figure))
    parts.append("</main></body></html>")
    return "\n".join(parts) + "\n"


def _bars(document: Mapping[str, Any], name: str) -> list[str]:
    """Return the one picture: a bar for each method with its interval, and the value in words."""
    methods = methods_of(document)
    results = {m: document[m] for m in methods}
    bounds = {m: r["intervals"].get(name, (r[name], r[name])) for m, r in results.items()}
    top = max([high for _, high in bounds.values()] + [r[name] for r in results.values()]) or 1.0
    lines = [f"<h2>{_text(_label(name))}</h2>", '<div class="bars">']
    for method in sorted(methods, key=lambda m: -results[m][name]):
        value, (low, high) = results[method][name], bounds[method]
        own = " own" if method == "model" else ""
        whisker = (
            f'<span class="whisker" style="left:{low / top:.2%};width:{(high - low) / top:.2%}">'
            "</span>"
            if high > low
            else ""
        )
        lines.append(
            f'<div class="row{own}"><span class="name{own}">{_text(_capital(NAMES[method]))}</span>'
            f'<span class="track"><span class="bar" style="width:{value / top:.2%}"></span>'
            f'{whisker}</span><span class="value{own}">{number(value)}</span></div>'
        )
    lines.append("</div>")
    lines.append(f'<p class="soft">{_text(meaning(name))} Whiskers: 95 % intervals over users.</p>')
    return lines


def _cards(document: Mapping[str, Any], k: int) -> list[str]:
    lines = ['<div class="cards">']
    for family in _CARDS:
        name = f"{family}@{k}"
        value = document["model"][name]
        low, high = document["model"]["intervals"].get(name, (None, None))
        interval = "" if low is None else f"95 % interval {number(low)} to {number(high)}. "
        beside = (
            f"Popularity: {number(document['popularity'][name])}. "
            if "popularity" in document
            else ""
        )
        lines.append(
            f'<div class="card" title="{_text(meaning(name))}">{_text(_label(name))}'
            f"<b>{number(value)}</b><p>{interval}{beside}{_text(meaning(name))}</p></div>"
        )
    return [*lines, "</div>"]


def _users(samples: Sequence[Sample]) -> list[str]:
    if not samples:
        return []
    lines = ["<h2>A few users</h2>", '<div class="users">']
    for sample in samples:
        history = "".join(f"<li>{_text(title)}</li>" for title in sample.history)
        ranked = "".join(
            f'<li class="hit">{_text(title)} (the item chosen next)</li>'
            if place == sample.hit
            else f"<li>{_text(title)}</li>"
            for place, title in enumerate(sample.recommended)
        )
        earlier = f" (after {sample.earlier:,} earlier ones)" if sample.earlier else ""
        found = f"place {sample.hit + 1} below" if sample.hit >= 0 else "not in the list below"
        lines.append(
            f'<div class="card"><h3>User {_text(sample.user)}</h3>'
            f"History{earlier}, newest last<ul>{history}</ul>"
            f'Chose next: <b style="display:inline;font-size:1em">{_text(sample.wanted)}</b>, '
            f"{found}<br>Recommended<ol>{ranked}</ol></div>"
        )
    return [*lines, "</div>"]


def _meanings(document: Mapping[str, Any]) -> str:
    families = dict.fromkeys(name.partition("@")[0] for name in document["model"])
    known = [family for family in families if meaning(family)]
    return (
        "<dl>"
        + "".join(f"<dt>{_text(_label(f))}</dt><dd>{_text(meaning(f))}</dd>" for f in known)
        + "</dl>"
    )


def _table(table: Table) -> str:
    columns, rows = table
    head = "".join(f"<th>{_text(c)}</th>" for c in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{_explained(v) if i == 0 else _text(v)}</td>" for i, v in enumerate(row))
        + "</tr>"
        for row in rows
    )  # fmt: skip
    wide = ' class="wide"' if len(columns) > 2 else ""
    return (
        f'<div class="scroll" tabindex="0"><table{wide}><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _explained(name: str) -> str:
    says = meaning(name) if name.partition("@")[0] in name else ""
    return f'<abbr title="{_text(says)}">{_text(name)}</abbr>' if says else _text(name)


def _details(heading: str, inside: str) -> str:
    return f"<details><summary>{_text(heading)}</summary>{inside}</details>"


def _label(name: str) -> str:
    """Return the printed form of a metric: ``ndcg@10`` -> ``NDCG@10``."""
    family, at, k = name.partition("@")
    known = {"ndcg": "NDCG", "mrr": "MRR", "epc": "EPC", "gini": "Gini index"}
    return known.get(family, _capital(family.replace("_", " "))) + at + k


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _text(value: str) -> str:
    return html.escape(value)
