"""The report of an evaluation: ``report.html``, which needs nothing beside it, ``report.md`` and pictures."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genret.evaluation.report_page import Sample, page
from genret.evaluation.report_samples import samples_of
from genret.evaluation.report_tables import (
    METHODS,
    Table,
    headline_k,
    headline_table,
    methods_of,
    metrics_table,
    shown,
    slices_table,
)
from genret.evaluation.report_words import basis, meaning, repeats, verdict
from genret.typing import Int

__all__ = [
    "METHODS",
    "Sample",
    "headline_k",
    "headline_table",
    "metrics_table",
    "samples_of",
    "slices_table",
    "verdict",
    "write_report",
]

_PICTURES = {
    "metrics.png": "NDCG, Recall and MRR of the methods with 95 % intervals",
    "slices.png": "Recall by popularity of the wanted item and by length of the history",
    "training.png": "Training loss and validation NDCG by optimizer step",
    "code_usage.png": "Number of items of each code, level by level",
    "trie_width.png": "Nodes of the trie by depth",
}
"""File -> what it shows, in the order of the report."""


def write_report(
    folder: Path,
    document: Mapping[str, Any],
    *,
    run_name: str,
    facts: Mapping[str, Any],
    training: Sequence[Mapping[str, Any]],
    codes: Int[np.ndarray, "N L"],
    codes_per_level: Sequence[int],
    num_nodes: Sequence[int],
    samples: Sequence[Sample] = (),
) -> None:
    """Draw the pictures and write ``report.html`` and ``report.md``.

    Args:
      folder: where the files go.
      document: metrics of each method, their ``comparisons`` and the protocol, as in
        ``metrics.json``.
      run_name: title of the report.
      facts: sizes of the run, name -> value.
      training: lines of the training log; without any, its picture is left out.
      codes: semantic ID of each item.
      codes_per_level: codes of each level.
      num_nodes: nodes of the trie at each depth.
      samples: users to show with their titles.
    """
    from genret.evaluation import plots

    k = headline_k(document["model"])
    results = {name: document[name] for name in methods_of(document)}
    plots.plot_metrics(results, folder / "metrics.png", k=k)
    plots.plot_slices(
        {name: result["slices"] for name, result in results.items()}, folder / "slices.png", k=k
    )
    plots.plot_code_usage(codes, codes_per_level, folder / "code_usage.png")
    plots.plot_trie_width(num_nodes, codes_per_level, folder / "trie_width.png")
    if training:
        plots.plot_training(training, folder / "training.png", metric="ndcg@10")
    pictures = {name: text for name, text in _PICTURES.items() if (folder / name).is_file()}
    tables: dict[str, Table] = {
        "All metrics": metrics_table(document),
        "Groups of users": slices_table(document),
        "The run": (("what", "value"), [(name, shown(value)) for name, value in facts.items()]),
        "How it was measured": (
            ("what", "value"),
            [(name, shown(value)) for name, value in document["protocol"].items()],
        ),
    }
    title = f"genret report: {run_name}"
    web_page = page(
        title, document, tables, {n: (t, folder / n) for n, t in pictures.items()}, samples
    )
    (folder / "report.html").write_text(web_page, encoding="utf-8")
    markdown = _markdown(title, document, tables, pictures)
    (folder / "report.md").write_text(markdown, encoding="utf-8")


def _markdown(
    title: str,
    document: Mapping[str, Any],
    tables: Mapping[str, Table],
    pictures: Mapping[str, str],
) -> str:
    """Return the report for a reader of text; the pictures lie beside it."""
    lines = [
        f"# {_text(title)}",
        "",
        verdict(document),
        "",
        basis(document),
        "",
        repeats(document),
        "",
    ]
    for heading, (columns, rows) in tables.items():
        lines += [f"## {heading}", "", _row(columns), _row(["---"] * len(columns))]
        lines += [_row(row) for row in rows]
        lines.append("")
    lines += ["## What the metrics mean", ""]
    for family in dict.fromkeys(name.partition("@")[0] for name in document["model"]):
        if meaning(family):
            lines.append(f"- `{family}`: {meaning(family)}")
    lines += ["", "## Pictures", ""]
    for name, text in pictures.items():
        lines += [f"![{text}]({name})", ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_text(cell) for cell in cells) + " |"


def _text(value: str) -> str:
    r"""Return a text that is neither HTML nor a column, link or picture of Markdown, on one line.

    >>> print(_text("<b>|[x](y)"))
    &lt;b&gt;\|[x]\(y)
    """
    escaped = html.escape(" ".join(value.split()), quote=False)
    return escaped.replace("|", "\\|").replace("](", "]\\(")
