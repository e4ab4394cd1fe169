"""Results of `benchmarks.quality`: records on disk, what all seeds say together, and the page of it."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import judge
from benchmarks.quality_pairs import HEADS, PARTS, hybrid_block, with_parts
from benchmarks.record import write_json
from benchmarks.tables import Columns, Table
from genret.config import ModelConfig, SASRecConfig, TrainConfig
from genret.errors import GenretError
from genret.json_files import read_json
from genret.pipeline import BASELINES as RUN_BASELINES

Record = dict[str, Any]
DATA, _METHODS, TITLES = read_json(Path(__file__).with_name("quality.json")).values()
METHODS = {
    name: {"tokenize": None, "embed": [], "coldstart": False, **method}
    for name, method in _METHODS.items()
}
"""Generative methods by name; the first is the one whose figures a result file holds as "test"."""
BASELINES = (*RUN_BASELINES, "bsarec", "transitions")
"""The baselines of an evaluation; BSARec, SASRec with a filter beside its attention; and counts."""
MAIN, DISTINCT = "shipped", "own_distinct_codes"
RULE = (
    'leave-one-out; all items ranked, items counted and not semantic IDs; "test": items of the '
    'history are kept, as the peers do; "test_unseen": they are forbidden'
)

RIVALS = {
    "over_sasrec": "SASRec",
    "over_bsarec": "BSARec",
    "over_sasrec_transitions": "SASRec with transitions",
    "over_bsarec_transitions": "BSARec with transitions",
}
"""What both heads are compared with, by the name of the comparison."""

COLD_RATIO = 3.0
"""Recall@1 among the newest items, over that of chance."""


class Records:
    """One JSON file in a folder for each (data, method, seed), written when it is whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, data: str, method: str, seed: int, settings: Any) -> Record | None:
        """Return a record that was made with these settings; None where there is none."""
        file = self._file(data, method, seed)
        if not file.is_file():
            return None
        found: Record = read_json(file)
        # Through JSON: what was a tuple comes back as a list.
        return found if complete(found["settings"]) == json.loads(json.dumps(settings)) else None

    def put(self, data: str, method: str, seed: int, settings: Any, figures: Record) -> Record:
        """Write a record."""
        record = {"data": data, "method": method, "seed": seed, "settings": settings, **figures}
        write_json(self._file(data, method, seed), record)
        return record

    def all(self, data: str, method: str) -> list[Record]:
        """Return the records of all seeds, in their order."""
        files = self.folder.glob(f"{data}-{method}-[0-9]*.json")
        records = [read_json(file) for file in files]
        records = [one | {"settings": complete(one["settings"])} for one in records]
        return sorted(records, key=lambda record: record["seed"])

    def _file(self, data: str, method: str, seed: int) -> Path:
        return self.folder / f"{data}-{method}-{seed}.json"


def tokenize_options(method: str, data: str) -> list[str] | None:
    """Return what a method asks ``genret tokenize`` for; None: the data's ready codes.

    >>> tokenize_options("hybrid", "office") is None, tokenize_options("hybrid", "sports")[:2]
    (True, ['--levels', '2'])
    """
    options = METHODS[method]["tokenize"]
    return options.get(data) if isinstance(options, dict) else options


def complete(settings: Any) -> Any:
    """Return the settings of a record with the fields that configurations have got since then.

    Those are at their defaults, under which nothing changed. Settings that a configuration does not
    know are returned as they are.

    >>> complete({"width": 64, "epochs": 3})["loss"]
    'full'
    """
    kinds = {"model": ModelConfig, "train": TrainConfig}
    try:
        if "model" in settings:
            found = settings | {
                n: kind.from_dict(settings[n]).to_dict() for n, kind in kinds.items()
            }
        else:
            found = SASRecConfig.from_dict(settings).to_dict() if settings else {}
    except GenretError:
        return settings
    return json.loads(json.dumps(found))


def over_seeds(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Put the figures of several seeds together.

    The interval has two parts: the users are a sample, which the bootstrap interval of a seed says
    (they are the same for all seeds, so more seeds do not narrow it), and so are the seeds. With h
    the mean half-width of the seeds' intervals and d the standard deviation between seeds,

        mean ± sqrt(h² + (1.96 d)² / S).

    >>> one = {"recall@10": 0.5, "intervals": {"recall@10": [0.4, 0.6]}}
    >>> {name: round(v, 2) for name, v in over_seeds([one])["recall@10"].items() if name != "by_seed"}
    {'mean': 0.5, 'low': 0.4, 'high': 0.6}
    """
    found = {}
    for name in results[0]["intervals"]:
        values = [result[name] for result in results]
        mean = statistics.fmean(values)
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        halves = np.mean([np.subtract(r["intervals"][name], r[name]) for r in results], axis=0)
        low, high = np.sqrt(halves**2 + (1.96 * spread) ** 2 / len(values)).tolist()
        found[name] = {"mean": mean, "low": mean - low, "high": mean + high, "by_seed": values}
    return found


def summarize(data: str, found: Mapping[str, Sequence[Record]]) -> Record:
    """Put the records of a data set, by method or baseline, together; hold them against its bars."""
    found = with_parts(found)
    summary = {name: _summary(records) for name, records in found.items()}
    block = hybrid_block(found)
    rivals = [name for name in PARTS if name != HEADS]
    over = {
        f"both heads with transitions against {RIVALS[name]}, {metric}, same seeds": verdict
        for name, entry in block.items()
        for metric, verdict in entry.get("bars", {}).items()
    }
    return {
        "data": data,
        "seeds": sorted({record["seed"] for records in found.values() for record in records}),
        "rule": RULE,
        "test": summary.get(MAIN, {}).get("test", {}),
        "baselines": {n: summary[n] for n in (*BASELINES, *rivals) if n in summary},
        "methods": {n: summary[n] for n in (*METHODS, HEADS) if n in summary},
        "peers": {"recall@10": DATA[data]["peers"]},
        "published": [
            {"method": who, "recall@10": recall, "ndcg@10": ndcg, "seen_items": rule or "not said"}
            for who, recall, ndcg, rule in DATA[data].get("published", [])
        ],
        "bars": _judge(data, summary) | over,
        "hybrid": block,
    }


def summarize_cold(records: Sequence[Record]) -> Record:
    """Return the figures of each share of newest items over the seeds, and the bar."""
    shares = []
    for of_seeds in zip(*(record["coldstart"] for record in records), strict=True):
        share = {name: of_seeds[0][name] for name in ("fraction", "rule", "items", "users")}
        for search in ("unconstrained", "random", "constrained", "ratio"):
            results = [
                {metric: figure["mean"] for metric, figure in seed[search].items()}
                | {"intervals": {m: [x["low"], x["high"]] for m, x in seed[search].items()}}
                for seed in of_seeds
            ]
            share[search] = over_seeds(results)
        shares.append(share)
    judged = {
        f"newest {share['fraction']:.0%}, Recall@1 over chance": judge(
            share["ratio"]["recall@1"]["mean"], COLD_RATIO
        )
        for share in shares
    }
    commits = [record["commit"] for record in records]
    return {"seeds": len(records), "commits": commits, "shares": shares, "bars": judged}


def markdown(folder: Path) -> str:
    """Return the tables of docs/results.md, from the results that are in a folder."""
    files = [folder / f"quality-{data}.json" for data in DATA]
    parts = [_section(read_json(file)) for file in files if file.is_file()]
    file = folder / "quality-coldstart.json"
    if file.is_file():
        document = read_json(file)
        parts.append(_cold_table({data: document[data] for data in DATA if data in document}))
    return "\n\n".join(parts)


def _summary(records: Sequence[Record]) -> Record:
    """Return the figures of a method over its seeds."""
    for record in records:
        if record["settings"] != records[0]["settings"]:
            raise GenretError(
                f"records of {record['method']}: seeds {records[0]['seed']} and {record['seed']} have "
                "other settings; measure the older one again"
            )
    summary: Record = {
        "seeds": [record["seed"] for record in records],
        "settings": records[0]["settings"],
        "seconds": [record["seconds"] for record in records],
        "commits": [record["commit"] for record in records],
    }
    for rule in ("test", "test_unseen"):
        summary[rule] = over_seeds([record[rule] for record in records])
    for name in (
        "train", "codes", "valid_ndcg@10", "transitions_share", "beams_50_against_exact", "heads",
    ):  # fmt: skip
        if all(name in record for record in records):
            summary[name] = [record[name] for record in records]
    return summary


def _judge(data: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Hold the figures of a data set against its bars, by Recall@10."""
    recall = {method: own["test"]["recall@10"]["mean"] for method, own in summary.items()}
    judged = {}
    for bar, (method, least) in DATA[data]["bars"].items():
        rival, share = least if isinstance(least, list) else (None, least)
        if method in recall and (rival is None or rival in recall):
            judged[bar] = judge(recall[method], share * recall.get(rival, 1.0))
    apart = [
        abs(seed["recall@10"]["relative_difference"])
        for figures in summary.values()
        for seed in figures.get("beams_50_against_exact", [])
    ]
    if apart:
        name = "Recall@10 of 50 beams against exact scores, relative, any model and seed"
        judged[name] = judge(max(apart), 0.005, at_most=True)
    codes = summary.get(DISTINCT, {}).get("codes", [])
    if codes:
        collide = max(seed["collisions_before"]["items"] / seed["items"] for seed in codes)
        used = min(
            level["used_share"]
            for seed in codes
            for level in seed["levels"][: seed["levels_before_suffix"]]
        )
        name = "share of items that collide, our distinct codes"
        judged[name] = judge(collide, 0.02, at_most=True)
        judged["share of codes used at a level, our distinct codes"] = judge(used, 0.9)
    return judged


def table(document: Record) -> Table:
    """Return the figures of a data set, the best method first."""
    figures = document["methods"] | document["baselines"]
    rows = {}
    for name in sorted(figures, key=lambda name: -figures[name]["test"]["recall@10"]["mean"]):
        own = figures[name]
        minutes = statistics.fmean(own["seconds"]) / 60
        rows[TITLES.get(name, name)] = own | {
            "seeds": ", ".join(map(str, own["seeds"])),
            "minutes": f"{minutes:.0f}" if minutes >= 1 else "< 1",
        }
    columns: Columns = {
        "Recall@10": ("test.recall@10", _of_seeds),
        "NDCG@10": ("test.ndcg@10", _of_seeds),
        "Recall@10, seen items forbidden": ("test_unseen.recall@10", _of_seeds),
        "seeds": ("seeds", "{}"),
        "minutes a seed": ("minutes", "{}"),
    }
    return Table.of(f"{document['data'].capitalize()}, test", columns, rows, "")


def _section(document: Record) -> str:
    data, shown = document["data"], table(document)
    figures = document["methods"] | document["baselines"]
    commits = {commit for own in figures.values() for commit in own["commits"]}
    peers = ", ".join(f"{who} {_short(it)}" for who, it in document["peers"]["recall@10"].items())
    missed = [bar for bar, said in document["bars"].items() if not said["met"]]
    return (
        f"**{data.capitalize()}**, test:\n\n{shown.markdown()}\n\n"
        f"{_ratios(document.get('hybrid', {}))}Others publish: {peers}. "
        + (f"Missed of what we asked of ourselves: {'; '.join(missed)}. " if missed else "")
        + f"[quality-{data}.json](../benchmarks/results/quality-{data}.json), "
        + _measured_at(commits)
    )


def _ratios(block: Mapping[str, Any]) -> str:
    """Say how both heads stand to each baseline; nothing where they were not compared."""
    said = []
    pairs = [("Both heads with transitions", *pair) for pair in block.items() if pair[0] in RIVALS]
    pairs += [("Both heads alone", *pair) for pair in block.get("without_transitions", {}).items()]
    for who, name, entry in pairs:
        rival = RIVALS[name]
        parts = []
        for metric, shown in (("ndcg@10", "NDCG@10"), ("recall@10", "Recall@10")):
            parts.append(f"{shown} {entry[metric]:.2f} times")
            if entry["interval"][metric] is not None:
                low, high = entry["interval"][metric]
                apart = f"{entry['difference'][metric]:+.4f} [{low:+.4f}, {high:+.4f}]"
                parts[-1] += f" (difference {apart})"
        seeds = ", ".join(map(str, entry["seeds"]))
        said.append(f"{who} against {rival}, seed {seeds}: {'; '.join(parts)}. ")
    return "".join(said)


def _cold_table(found: Mapping[str, Record]) -> str:
    rows = []
    for data, summary in found.items():
        for share in summary["shares"]:
            cells = [data.capitalize(), f"{share['fraction']:.0%}"]
            cells += [str(share["items"]), str(share["users"])]
            for metric in ("recall@1", "recall@10"):
                cells += [
                    _short(share["unconstrained"][metric]["mean"]),
                    _short(share["constrained"][metric]["mean"]),
                    "{mean:.2f} [{low:.2f}, {high:.2f}]".format(**share["ratio"][metric]),
                ]
            rows.append([*cells, str(summary["seeds"])])
    each = ("all items allowed", "new items only", "new only, over chance")
    columns = ["", "newest", "items", "users"]
    columns += [f"Recall@{k}, {search}" for k in (1, 10) for search in each] + ["seeds"]
    return (
        f"**New items**:\n\n{Table('', columns, rows).markdown()}\n\n"
        "[quality-coldstart.json](../benchmarks/results/quality-coldstart.json), "
        + _measured_at({commit for summary in found.values() for commit in summary["commits"]})
    )


def _measured_at(commits: Iterable[str]) -> str:
    """Say which commits the records are of."""
    found = sorted(commits)
    return f"measured at commit{'s' * (len(found) > 1)} {', '.join(found)}."


def _of_seeds(found: Record) -> str:
    return f"{_short(found['mean'])} [{_short(found['low'])}, {_short(found['high'])}]"


def _short(value: float) -> str:
    """Write a share with four digits and without the zero before its point."""
    return f"{value:.4f}".removeprefix("0")
