"""The tables of a report, as column names and rows of text."""

from collections.abc import Mapping, Sequence
from typing import Any

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Names of the columns, and rows of text."""

METHODS = ("model", "exact", "sasrec", "item_knn", "popularity", "random")
"""Methods that a document may hold, in the order of the report; "exact" is the model without beams."""
RIVALS = ("popularity", "sasrec")
"""Baselines that the model's values are divided by."""
NAMES = {
    "model": "the model",
    "exact": "the model, every item scored",
    "sasrec": "SASRec",
    "item_knn": "item-kNN",
    "popularity": "popularity",
    "random": "an untrained model",
}
"""Method -> how a sentence calls it."""
SLICES = {
    "popularity": "training events of the wanted item",
    "history": "items of the history",
}
"""What the users are divided by -> what it says."""


def metrics_table(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the metrics of all methods as a table: column names, and rows of text.

    A mean is followed by its 95 % interval. The last columns divide the model's value by that of a
    baseline.
    """
    model, methods = document["model"], methods_of(document)
    rivals = [name for name in RIVALS if name in methods]
    rows = []
    for name in model:
        if name in ("intervals", "slices"):
            continue
        row = [name, *(cell(document[method], name) for method in methods)]
        for rival in rivals:
            baseline = document[rival][name]
            comparable = name.startswith(("ndcg@", "recall@", "mrr@")) and baseline > 0
            row.append(f"{model[name] / baseline:.2f}" if comparable else "")
        rows.append(row)
    return ["metric", *methods, *(f"model / {rival}" for rival in rivals)], rows


def headline_table(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the main metrics as a table with one row for each method, which fits a terminal."""
    k = headline_k(document["model"])
    names = [f"ndcg@{k}", f"recall@{k}", f"coverage@{k}"]
    rows = [[m, *(cell(document[m], name) for name in names)] for m in methods_of(document)]
    return ["method", *names], rows


def slices_table(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return Recall in each group of users as a table: column names, and rows of text."""
    methods = methods_of(document)
    name = f"recall@{headline_k(document['model'])}"
    rows = []
    for by, what in SLICES.items():
        for i, part in enumerate(document["model"]["slices"][by]):
            parts = [document[method]["slices"][by][i] for method in methods]
            span = f"{part['from']:,}" + (
                f" to {part['to']:,}" if part["to"] > part["from"] else ""
            )
            rows.append(
                [f"{what}: {span}", f"{part['users']:,}", *(cell(own, name) for own in parts)]
            )
    return ["group", "users", *(f"{method} {name}" for method in methods)], rows


def methods_of(document: Mapping[str, Any]) -> list[str]:
    """Return the methods that a document holds, in the order of the report."""
    return [name for name in METHODS if name in document]


def headline_k(result: Mapping[str, Any]) -> int:
    """Return the cut-off to show first: 10 where it was measured, else the largest."""
    cutoffs = [int(name.partition("@")[2]) for name in result if name.startswith("ndcg@")]
    return 10 if 10 in cutoffs else max(cutoffs)


def cell(result: Mapping[str, Any], name: str) -> str:
    """Return a value as text, with its 95 % interval where there is one."""
    value = result[name]
    if isinstance(value, int):
        return f"{value:,}"
    digits = 1 if name.startswith("popularity@") else 4
    text = f"{value:.{digits}f}"
    if name in result["intervals"]:
        low, high = result["intervals"][name]
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return text


def shown(value: Any) -> str:
    """Return a fact or a setting as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(v)}" for name, v in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
