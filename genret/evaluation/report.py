"""The report of an evaluation: pictures, ``report.md`` and a page that needs nothing beside it."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genret.typing import Int

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Names of the columns, and rows of text."""

METHODS = ("model", "exact", "sasrec", "item_knn", "popularity", "random")
"""Methods that a document may hold, in the order of the report; "exact" is the model without beams."""
_RIVALS = ("popularity", "sasrec")
SLICES = {"popularity": "training events of the wanted item", "history": "items of the history"}
"""By what the users are cut into parts -> what it says."""
_PICTURES = {
    "metrics.png": "NDCG, Recall and MRR of the methods with 95 % intervals",
    "slices.png": "Recall by popularity of the wanted item and by length of the history",
    "training.png": "Training loss and validation NDCG by optimizer step",
    "code_usage.png": "Number of items of each code, level by level",
    "trie_width.png": "Nodes of the trie by depth",
}
"""File -> what it shows, in the order of the report."""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1, h2 { line-height: 1.2; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid #ddd;
         vertical-align: top; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; }
figure { margin: 1.5rem 0; }
figcaption { color: #555; font-size: .92rem; }
"""


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
) -> None:
    """Draw the pictures and write ``report.html`` and ``report.md``.

    Args:
      folder: where to.
      document: metrics of each method and the protocol, as in ``metrics.json``.
      run_name: title of the report.
      facts: sizes of the run, name -> value.
      training: lines of the training log; empty leaves out its picture.
      codes: semantic ID of each item.
      codes_per_level: codes of each level.
      num_nodes: nodes of the trie at each depth.
    """
    from genret.evaluation import plots

    k = headline_k(document["model"])
    results = {name: document[name] for name in _methods(document)}
    plots.plot_metrics(results, folder / "metrics.png", k=k)
    plots.plot_slices(
        {name: result["slices"] for name, result in results.items()}, folder / "slices.png", k=k
    )
    plots.plot_code_usage(codes, codes_per_level, folder / "code_usage.png")
    plots.plot_trie_width(num_nodes, codes_per_level, folder / "trie_width.png")
    if training:
        plots.plot_training(training, folder / "training.png", metric="ndcg@10")
    pictures = {name: text for name, text in _PICTURES.items() if (folder / name).is_file()}
    sections: dict[str, Table] = {
        "Metrics": metrics_table(document),
        "Parts of the users": slices_table(document),
        "Run": (("what", "value"), [(name, _shown(value)) for name, value in facts.items()]),
        "Protocol": (("what", "value"), [(n, _shown(v)) for n, v in document["protocol"].items()]),
    }
    title = f"genret report: {run_name}"
    page = _html(title, sections, {n: (t, folder / n) for n, t in pictures.items()})
    (folder / "report.html").write_text(page, encoding="utf-8")
    (folder / "report.md").write_text(_markdown(title, sections, pictures), encoding="utf-8")


def metrics_table(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the metrics of all methods as a table: column names, and rows of text.

    Means have their 95 % interval behind them; the last columns say how many times the value of a
    baseline the model's is.
    """
    model, methods = document["model"], _methods(document)
    rivals = [name for name in _RIVALS if name in methods]
    rows = []
    for name in model:
        if name in ("intervals", "slices"):
            continue
        row = [name, *(_cell(document[method], name) for method in methods)]
        for rival in rivals:
            baseline = document[rival][name]
            comparable = name.startswith(("ndcg@", "recall@", "mrr@")) and baseline > 0
            row.append(f"{model[name] / baseline:.2f}" if comparable else "")
        rows.append(row)
    return ["metric", *methods, *(f"model / {rival}" for rival in rivals)], rows


def headline_table(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the first metrics as a table with a row a method: many methods fit a terminal so."""
    k = headline_k(document["model"])
    names = [f"ndcg@{k}", f"recall@{k}", f"coverage@{k}"]
    rows = [[m, *(_cell(document[m], name) for name in names)] for m in _methods(document)]
    return ["method", *names], rows


def slices_table(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return Recall of each part of the users as a table: column names, and rows of text."""
    methods = _methods(document)
    name = f"recall@{headline_k(document['model'])}"
    rows = []
    for by, what in SLICES.items():
        for i, part in enumerate(document["model"]["slices"][by]):
            parts = [document[method]["slices"][by][i] for method in methods]
            span = f"{part['from']:,}" + (
                f" to {part['to']:,}" if part["to"] > part["from"] else ""
            )
            rows.append(
                [f"{what}: {span}", f"{part['users']:,}", *(_cell(own, name) for own in parts)]
            )
    return ["part", "users", *(f"{method} {name}" for method in methods)], rows


def _methods(document: Mapping[str, Any]) -> list[str]:
    return [name for name in METHODS if name in document]


def headline_k(result: Mapping[str, Any]) -> int:
    """Return the cut-off to show first: 10 where it was measured, else the largest."""
    cutoffs = [int(name.partition("@")[2]) for name in result if name.startswith("ndcg@")]
    return 10 if 10 in cutoffs else max(cutoffs)


def _cell(result: Mapping[str, Any], name: str) -> str:
    value = result[name]
    if isinstance(value, int):
        return f"{value:,}"
    digits = 1 if name.startswith("popularity@") else 4
    text = f"{value:.{digits}f}"
    if name in result["intervals"]:
        low, high = result["intervals"][name]
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return text


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(v)}" for name, v in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _html(
    title: str,
    sections: Mapping[str, Table],
    pictures: Mapping[str, tuple[str, Path]],
) -> str:
    """Return the page; its pictures are part of it, and it fetches nothing."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
    ]
    for heading, (columns, rows) in sections.items():
        head = "".join(f"<th>{html.escape(c)}</th>" for c in columns)
        parts.append(f"<h2>{html.escape(heading)}</h2><table><thead><tr>{head}</tr></thead><tbody>")
        for row in rows:
            parts.append("<tr>" + "".join(f"<td>{html.escape(v)}</td>" for v in row) + "</tr>")
        parts.append("</tbody></table>")
    parts.append("<h2>Pictures</h2>")
    for text, file in pictures.values():
        data = base64.b64encode(file.read_bytes()).decode()
        alt = html.escape(text)
        parts.append(
            f'<figure><img alt="{alt}" src="data:image/png;base64,{data}">'
            f"<figcaption>{alt}</figcaption></figure>"
        )
    parts.append("</body></html>")
    return "\n".join(parts) + "\n"


def _markdown(
    title: str,
    sections: Mapping[str, Table],
    pictures: Mapping[str, str],
) -> str:
    lines = [f"# {title}", ""]
    for heading, (columns, rows) in sections.items():
        lines += [f"## {heading}", "", _md_row(columns), _md_row(["---"] * len(columns))]
        lines += [_md_row(row) for row in rows]
        lines.append("")
    lines += ["## Pictures", ""]
    for name, text in pictures.items():
        lines += [f"![{text}]({name})", ""]
    return "\n".join(lines)


def _md_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
