"""What the verbs print: the tables and lines for the results of the stages and for artifacts."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genret.artifacts import RUN_KINDS
from genret.cli.base import Reporter

if TYPE_CHECKING:
    from genret.data import IngestReport
    from genret.recommend import Recommendation
    from genret.scoring import ScoreResult

_RECENT = 10
"""Items of a history that are shown."""


def show_ingest(reporter: Reporter, result: "tuple[IngestReport, str]") -> None:
    """Print what the readers assumed, and what every rule dropped or changed."""
    report, _ = result
    for line in report.said():
        reporter.say(line)
    reporter.table("Ingested", ("rule", "count", "what was done"), report.rows())


def show_embed(reporter: Reporter, result: Mapping[str, Any]) -> None:
    """Print the width of each part of the vectors, and how many items have nothing there."""
    reporter.table(
        f"Vectors of {result['items']:,} items, width {result['width']}",
        ("part", "width", "items without (zeros)"),
        [(name, part["width"], part["items_without"]) for name, part in result["parts"].items()],
    )


def show_tokenize(reporter: Reporter, result: Mapping[str, Any]) -> None:
    """Print how the codes are used, how many items collide, and items with similar codes."""
    report, examples = result["report"], result["neighbors"]
    rows = [
        (
            "suffix" if level >= report["levels_before_suffix"] else str(level),
            figures["codes"],
            figures["used"],
            f"{figures['used_share']:.1%}",
            f"{figures['perplexity']:.1f}",
            figures["prefixes"],
            "" if figures["error"] is None else f"{figures['error']:.1%}",
        )
        for level, figures in enumerate(report["levels"])
    ]
    reporter.table(
        f"Codes of {report['items']:,} items",
        ("level", "codes", "used", "share", "perplexity", "prefixes", "variance not explained"),
        rows,
    )
    before, after = report["collisions_before"], report["collisions_after"]
    reporter.say(
        f"collisions: {before['items']:,} items share their codes with another item (the largest "
        f"group has {before['largest']:,}); after resolving: {after['items']:,}"
    )
    reporter.table(
        "Items with similar codes (number of codes shared)",
        ("item", "codes", "neighbors"),
        [
            (
                _shortened(example["title"]),
                " ".join(map(str, example["codes"])),
                "; ".join(
                    f"{_shortened(n['title'])} ({n['shared']})" for n in example["neighbors"]
                ),
            )
            for example in examples
        ],
    )


def show_index(reporter: Reporter, result: Mapping[str, Any]) -> None:
    """Print the nodes and the branching of the trie by depth, and its size."""
    nodes = result["nodes"]
    by_depth = zip(nodes[:-1], nodes[1:], result["stored_as"], strict=True)
    rows = [
        (depth, above, below / above, kind) for depth, (above, below, kind) in enumerate(by_depth)
    ]
    reporter.table("Trie", ("depth", "nodes", "mean children", "stored as"), rows)
    reporter.say(
        f"{result['items']:,} items, {nodes[-1]:,} distinct semantic IDs, {result['bytes']:,} bytes "
        f"({result['bytes_per_item']:.1f} per item)"
    )


def show_train(reporter: Reporter, result: Mapping[str, Any]) -> None:
    """Print which step was the best, and how fast training was."""
    reporter.say(
        f"best at step {result['best_step']:,} of {result['steps']:,}; "
        f"{result['users_per_second']:,.0f} users/s, {result['tokens_per_second']:,.0f} codes/s"
    )


def show_evaluate(reporter: Reporter, document: Mapping[str, Any]) -> None:
    """Print the metrics, and what the beams miss where that was measured."""
    from genret.evaluation.report import headline_table, metrics_table, verdict

    protocol = document["protocol"]
    title = f"{protocol['split']} split, {document['model']['users']:,} users"
    if "sasrec" in document or "exact" in document:
        reporter.table(f"{title} (all metrics: report.md)", *headline_table(document))
    else:
        reporter.table(title, *metrics_table(document))
    for name, found in document.get("beams", {}).items():
        reporter.say(
            f"{name}: {found['beams']:.4f} with {protocol['beams']} beams, {found['exact']:.4f} when "
            f"every item is scored ({found['relative_difference']:+.2%})"
        )
    reporter.say(verdict(document))


SHOW: dict[str, Callable[[Reporter, Any], None]] = {
    "ingest": show_ingest,
    "embed": show_embed,
    "tokenize": show_tokenize,
    "index": show_index,
    "train": show_train,
    "evaluate": show_evaluate,
}
"""Stage of the pipeline -> what prints its result."""


def show_coldstart(
    reporter: Reporter, shares: list[dict[str, Any]], cutoffs: tuple[int, ...]
) -> None:
    """Print the recall of new items for each share of them and each way of searching."""
    rows = [
        (
            f"{share['fraction']:.1%} ({share['items']:,})",
            share["users"],
            way,
            *(_interval(share[way][f"recall@{k}"]) for k in cutoffs),
        )
        for share in shares
        for way in ("unconstrained", "random", "constrained", "ratio")
    ]
    columns = ("newest items", "users", "search", *(f"recall@{k}" for k in cutoffs))
    reporter.table(f"New items, chosen {shares[0]['rule']}", columns, rows)


def show_recommended(reporter: Reporter, shown: Mapping[str, Any]) -> None:
    """Print the history of a user beside what the model recommends."""
    past, ranked = shown["history"], shown["recommendations"]
    recent = past[-_RECENT:]
    rows = [
        (
            recent[i] if i < len(recent) else "",
            str(ranked[i]["rank"]) if i < len(ranked) else "",
            ranked[i]["title"] if i < len(ranked) else "",
            f"{ranked[i]['score']:.2f}" if i < len(ranked) else "",
        )
        for i in range(max(len(recent), len(ranked)))
    ]
    title = (
        f"User {shown['user']}: the last {len(recent)} of {len(past)} items, and what comes next"
    )
    reporter.table(title, ("history, oldest first", "rank", "recommended", "log p"), rows)


def show_ranked(
    reporter: Reporter,
    history: Sequence[Mapping[str, Any]],
    ranked: "Sequence[Recommendation]",
    wanted: int,
) -> None:
    """Print the items of a history and the items that are recommended for it."""
    if history:
        taken = [(one["title"], str(one["item_id"])) for one in history]
        reporter.table("History", ("title", "item"), taken)
    else:
        reporter.say("no history: these are the recommendations for a new user")
    rows = [(one.rank, one.title, str(one.id), one.score) for one in ranked]
    reporter.table("Recommended", ("rank", "title", "item", "score"), rows)
    if len(ranked) < wanted:
        reporter.say(f"only {len(ranked)} of {wanted} items: no other item is allowed")


def show_score(reporter: Reporter, result: "ScoreResult", out: str) -> None:
    """Print the figures of a scoring job, and where its results are."""
    reporter.table("Scored", ("what", "found"), result.lines())
    reporter.say(f"answers: {out}")
    if result.rejected:
        reporter.say(f"{result.rejected} rows were rejected: see rejected.parquet")


def show_semantic_ids(reporter: Reporter, described: Mapping[str, Any]) -> None:
    """Print how the codes of a file of semantic IDs are used and what trie they make."""
    levels = zip(described["levels"], described["trie"]["levels"], strict=True)
    reporter.table(
        f"{described['path']}: {described['items']:,} items",
        ("level", "codes", "used", "perplexity", "nodes", "children", "most", "one child"),
        [
            (
                level, own["codes"], own["used"], f"{own['perplexity']:.1f}", trie["nodes"],
                f"{trie['children']:.1f}", trie["most_children"], f"{trie['one_child']:.1%}",
            )
            for level, (own, trie) in enumerate(levels)
        ],
    )  # fmt: skip
    collisions = described["collisions_after"]
    reporter.say(
        f"collisions: {collisions['items']:,} items share their codes with another item, in "
        f"{collisions['groups']:,} groups (the largest has {collisions['largest']:,})"
    )
    sizes = ", ".join(f"{n}: {count:,}" for n, count in described["trie"]["leaf_sizes"].items())
    reporter.say(f"leaves by number of items: {sizes}")


def show_artifact(reporter: Reporter, described: Mapping[str, Any]) -> None:
    """Print everything that is known about one artifact."""
    rows = [
        (name.replace("_", " "), _text(described[name]))
        for name in ("kind", "state", "format_version", "genret_version", "fingerprint", "seed")
    ]
    rows.append(("size", _size(described["bytes"])))
    for part in ("inputs", "config", "summary", "shapes"):
        rows += [(f"{part}: {name}", text) for name, text in _flat(described[part])]
    reporter.table(f"{described['path']} (checksums verified)", ("what", "value"), rows)


def show_live(reporter: Reporter, result: Mapping[str, Any]) -> None:
    """Print how many items a run has, after some came or went."""
    room = result["insert_capacity"] - result["inserted"]
    rows = [
        (name, result[key])
        for name, key in (
            ("items added now", "added"),
            ("of them with the codes of another item", "share_codes"),
            ("items that may be recommended", "items"),
            ("added since the index was built", "inserted"),
            ("removed since the index was built", "removed"),
        )
        if key in result
    ]
    reporter.table("items", ("what", "count"), [*rows, ("room for more before compact", room)])


def show_run(reporter: Reporter, described: Mapping[str, Any]) -> None:
    """Print a line for each artifact of a run."""
    artifacts, rows = described["artifacts"], []
    for kind in RUN_KINDS:
        if kind not in artifacts:
            if kind != "live":  # which a run has once items were added or removed
                rows.append((kind, "missing", "", "", ""))
            continue
        a = artifacts[kind]
        figures = ", ".join(
            f"{name} {_figure(name, value)}"
            for name, value in a["summary"].items()
            if _is_figure(value)
        )
        rows.append((kind, a["state"], _size(a["bytes"]), a["fingerprint"][:12], figures))
    columns = ("artifact", "state", "size", "fingerprint", "figures")
    reporter.table(f"{described['path']}: a run (checksums verified)", columns, rows)


def _shortened(title: str, width: int = 48) -> str:
    return title if len(title) <= width else title[: width - 1] + "…"


def _interval(found: Mapping[str, float]) -> str:
    """Spell a mean with its interval, where it has one."""
    if found["low"] == found["high"]:
        return f"{found['mean']:.4f}"
    return f"{found['mean']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested figures as dotted names and texts; a list of records gives a line for each."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for i, record in enumerate(value, 1):
                text = ", ".join(f"{key} {_text(v)}" for key, v in record.items())
                yield f"{prefix}{name} {i}", text
        else:
            yield prefix + name, _figure(name, value)


def _is_figure(value: Any) -> bool:
    """Tell figures from records and lists of words, which are printed for single artifacts only."""
    if isinstance(value, list):
        return all(isinstance(v, int | float) for v in value)
    return not isinstance(value, dict)


def _figure(name: str, value: Any) -> str:
    """Spell a figure of a manifest; the first and the last time of a catalog are dates."""
    if name in ("first_time", "last_time") and isinstance(value, int):
        from genret.data import date_text

        return f"{date_text(value)} (UTC)"
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
