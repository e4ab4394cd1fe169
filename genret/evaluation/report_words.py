"""What a report says in sentences: its verdict, what the metrics mean, and repeat purchases."""

from collections.abc import Mapping
from typing import Any

from genret.evaluation.report_tables import NAMES, headline_k, methods_of

MEANINGS = {
    "ndcg": "How near the top of its first k places the list has the item that the user chose next: "
    "1 when it is always first, 0 when it is never there. A place further down counts less.",
    "recall": "Share of users whose next item is among the first k recommended.",
    "mrr": "Mean of 1 / place of the wanted item, counted as 0 when it is not among the first k.",
    "clicks": "Pages of ten that a user turns before the wanted item appears.",
    "popularity": "Training events of a recommended item, on average. A high value means that the "
    "method recommends what is popular anyway.",
    "epc": "Expected popularity complement: how unusual the recommended items are. 1 means that no "
    "training user had them.",
    "coverage": "Share of the catalog that appears in at least one list.",
    "gini": "How unevenly the lists use the catalog: 0 when every item appears equally often, near 1 "
    "when a few items fill all lists.",
    "r_precision": "Share of users whose next item is recommended first.",
    "valid": "Share of answers that are items of the catalog and keep the rules.",
    "duplicates": "Share of answers that repeat an item within one list.",
    "users": "Number of users measured.",
    "seen_targets": "Users whose next item is already in their history.",
}
"""Family of a metric -> what it means."""


def meaning(metric: str) -> str:
    """Return what a metric means, "" for an unknown one.

    >>> meaning("recall@10")
    'Share of users whose next item is among the first 10 recommended.'
    """
    family, _, k = metric.partition("@")
    says = MEANINGS.get(family, "")
    return says.replace("first k", f"first {k}") if k else says


def verdict(document: Mapping[str, Any]) -> str:
    """Return in a sentence how the model compares with the baselines.

    The last clause is about the strongest baseline, by the 95 % interval of the difference over the
    same users where the document has one.

    Args:
      document: metrics of each method, as in ``metrics.json``.

    Returns:
      A sentence.
    """
    name = f"ndcg@{headline_k(document['model'])}"
    ours = document["model"][name]
    rivals = [m for m in ("popularity", "item_knn", "sasrec") if m in document]
    start = f"{name.upper()} of the model is {number(ours)}"
    ratios = [
        f"{ours / document[m][name]:.2f} times {NAMES[m]}" for m in rivals if document[m][name] > 0
    ]
    if not ratios:
        return f"{start}; no baseline found anything to compare it with."
    strongest = max(rivals, key=lambda m: document[m][name])
    compared = document.get("comparisons", {}).get(strongest, {}).get(name)
    sentence = f"{start}: {_listed(ratios)}"
    if compared is None:
        return sentence + "."
    difference = f"difference from {NAMES[strongest]} {signed(compared['difference'])}"
    if "interval" not in compared:
        return f"{sentence}; {difference}."
    low, high = compared["interval"]
    judged = "better" if low > 0 else "worse" if high < 0 else "no clear difference"
    return f"{sentence}; {difference}, 95 % interval [{signed(low)}, {signed(high)}]: {judged}."


def repeats(document: Mapping[str, Any]) -> str:
    """Return a paragraph about users whose next item is one that they already have."""
    model = document["model"]
    users, again = model["users"], model["seen_targets"]
    share = f"{again / users:.1%}" if users else "0 %"
    who = f"{share} of the users ({again:,} of {users:,}) chose an item that was already in their history."
    if again == 0:
        return f"{who} Whether repeats are allowed makes no difference here."
    if document["protocol"]["exclusions"] == "none":
        return f"{who} Items of the history may be recommended again in this evaluation."
    return (
        f"{who} Items of the history are not recommended by default, so these users count as misses "
        "for every method. If people buy the same thing again in your shop, evaluate with "
        "--no-exclude-seen and recommend with --include-seen."
    )


def basis(document: Mapping[str, Any]) -> str:
    """Return in a sentence what was measured, for the line below the verdict."""
    protocol, users = document["protocol"], document["model"]["users"]
    methods = len(methods_of(document))
    return (
        f"{users:,} users of the {protocol['split']} split; {methods} methods ranked the whole "
        "catalog for the same users under the same rules."
    )


def number(value: float) -> str:
    """Return a value with three significant digits, four decimals at most.

    >>> number(0.09051), number(0.5), number(12.34)
    ('0.0905', '0.500', '12.3')
    """
    if abs(value) < 0.1:
        return f"{value:.4f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def signed(value: float) -> str:
    """Return a difference with its sign.

    >>> signed(0.00213), signed(-0.001), signed(0.0)
    ('+0.0021', '-0.0010', '+0.0000')
    """
    return f"{value:+.4f}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
