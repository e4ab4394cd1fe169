"""Quality: recall of generative models beside baselines, over seeds, by the product's own verbs.

Each (data, method, seed) is a record of its own, written when it is measured: a run that was killed
goes on where it was, also in the middle of a training. Every method sees the same histories and
ranks all items; items of the history are kept in the ranking, as the peers do ("test"), and, beside
it, forbidden ("test_unseen"). Whatever was chosen was chosen on the validation split.

What is compared is in `quality.json`: the data with the Recall@10 that others publish (APAO,
arXiv:2603.02730, and PreferredAI/cornac) and the bars; and each method as a recipe of ``genret train``
for each data set, the options of ``tokenize`` (none: the data's ready codes) and of ``embed``, and
whether it is also asked for the newest items.
"""

import dataclasses
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.process import Figures, verb
from benchmarks.program import make_main
from benchmarks.quality_pairs import RIVALS, with_ranks
from benchmarks.quality_results import (
    BASELINES,
    DATA,
    METHODS,
    Records,
    summarize,
    summarize_cold,
    table,
    tokenize_options,
)
from benchmarks.record import ROOT, environment, write_json
from benchmarks.tables import bars_table
from genret.artifacts import Run, read_manifest
from genret.config import BSAREC, EvaluateConfig, FeaturesConfig, SASRecConfig, recipe
from genret.data import SplitHistories, load_run_data
from genret.errors import GenretError
from genret.evaluation import chosen_users, evaluate_model
from genret.index import TrieIndex
from genret.json_files import read_json
from genret.models import Transitions, capabilities_of, load_model, load_transitions
from genret.pipeline import (
    evaluate_baseline,
    item_codes,
    missed_by_beams,
    ndcg_by_share,
    train_sasrec,
    training_use,
)
from genret.semantic_ids import SemanticIds
from genret.tokenizers import load_codes

RULES = {
    rule: EvaluateConfig(k=(1, 5, 10, 20), beams=20, exclude_seen=exclude_seen)
    for rule, exclude_seen in (("test", False), ("test_unseen", True))
}
"""Beams as the peers have them; 1,000 resamples."""

EXACT_USERS = 5000
"""Users of whom every item is scored: seconds on Office, half an hour for all of Beauty's."""

VALIDATION = EvaluateConfig(
    split="valid", k=(10,), beams=20, users=5000, exclude_seen=False, bootstrap=1
)
"""By what weights of fused parts are chosen for the rivals: as the recipe of both heads does."""

SHOWN = ("recall@5", "ndcg@5", "recall@10", "ndcg@10")

SMOKE_TOKENIZE = ("--levels", "2")
SMOKE_TRAIN = (
    "--width 16 --layers 1 --heads 2 --kv-heads 2 --head-dim 8 --mlp-dim 32 --max-items 8 --steps 6 "
    "--batch-size 8 --eval-every 3 --eval-users 20 --checkpoint-every 3"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Measure quality; see the module's docstring."""

    data: tuple[str, ...] = ("office", "beauty")
    """Data sets, in this order."""
    methods: tuple[str, ...] = ()
    """Methods and baselines; empty takes all that a data set has."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of tokenizer, parameters, batches and dropout."""
    folder: Path = ROOT.parent / "shared" / "data"
    """Folder of the real data: office/inter.json and so on."""
    work: Path = Path("runs/quality")
    """Folder of the run folders."""
    records: Path | None = None
    """Folder of the records; None takes WORK/records, which is empty at first. With
    benchmarks/results/quality, seeds and methods are added to those that the repository holds."""
    out: Path = ROOT / "benchmarks" / "results"
    """Folder of quality-DATA.json and quality-coldstart.json."""
    smoke: bool = False
    """Invented data and token trainings: shows that it works."""

    def main(self, console: Console) -> None:
        """Measure what is missing, a seed of all methods after the other, and write the results of all."""
        records = Records(self.records or self.work / "records")
        for data in ("synthetic",) if self.smoke else self.data:
            if data not in DATA:
                raise GenretError(f"--data: found {data!r}, expected {', '.join(DATA)}")
            known = [*BASELINES, *(n for n, m in METHODS.items() if data in m["recipes"])]
            for name in self.methods:
                if name not in known:
                    has = ", ".join(known)
                    raise GenretError(f"--methods: {data} has no {name!r}; it has {has}")
            for seed in self.seeds:
                for name in self.methods or known:
                    said = self._record(records, data, name, seed)
                    console.print(f"{data}, {name}, seed {seed}: {said}")
            self._write(records, data, console)

    def sasrec(self, name: str = "sasrec") -> SASRecConfig:
        """Return the configuration of SASRec, or of BSARec."""
        config = BSAREC if name == "bsarec" else SASRecConfig()
        return dataclasses.replace(config, epochs=2, max_items=8) if self.smoke else config

    def _record(self, records: Records, data: str, name: str, seed: int) -> str:
        settings = self._settings(data, name)
        found = records.get(data, name, seed, settings)
        # Older records of the rivals hold no ranks, and nothing of a fusion.
        if found is not None and (name not in RIVALS or "with_transitions" in found):
            return "there"
        here, start = environment(), time.perf_counter()
        figures = (self._baseline if name in BASELINES else self._method)(data, name, seed)
        figures |= {"seconds": time.perf_counter() - start}
        figures |= {fact: here[fact] for fact in ("commit", "device")}
        records.put(data, name, seed, settings, figures)
        shown = ", ".join(f"{m} {figures['test'][m]:.4f}" for m in SHOWN)
        return f"{shown}; {figures['seconds']:.0f} s"

    def _settings(self, data: str, name: str) -> Any:
        """Return what a record depends on, beside data and seed."""
        if name in BASELINES:
            return self.sasrec(name).to_dict() if name in ("sasrec", "bsarec") else {}
        method, chosen = METHODS[name], recipe(METHODS[name]["recipes"][data])
        settings = {option: method[option] for option in ("embed", "coldstart")}
        settings["tokenize"] = tokenize_options(name, data)
        return settings | {"model": chosen.model.to_dict(), "train": chosen.train.to_dict()}

    def _run_folder(self, data: str, name: str, seed: int) -> Path:
        folder, source = self.work / f"{data}-{name}-{seed}", self.folder / data
        files = DATA[data]["files"]
        if (folder / "catalog" / "manifest.json").is_file():
            return folder
        missing = [file for file in files if not (source / file).is_file()]
        if missing:
            raise GenretError(f"{source / missing[0]}: no such file; name the folder by --folder")
        options: list[object] = ["--synthetic", "--synthetic-users", 300, "--synthetic-items", 120]
        if files:
            options = ["--interactions", source / "inter.json"]
            options += ["--items", source / "item.json"] if "item.json" in files else []
        verb("ingest", folder, *options, "--seed", 0 if name in BASELINES else seed)
        return folder

    def _baseline(self, data: str, name: str, seed: int) -> Figures:
        run = Run.open(self._run_folder(data, name, seed))
        catalog, histories = load_run_data(run.folder("catalog"))
        own = run, histories, catalog.num_items
        if name == "transitions":
            counts = Transitions.fit(histories.training(), own[2])
            return Asked(counts, *item_codes(own[2]), histories, counts.max_items, seed).evaluated()
        kind, config = "sasrec" if name == "bsarec" else name, self.sasrec(name)
        figures: Figures = {
            rule: with_ranks(
                evaluate_baseline(kind, *own, how, config, seed=seed, keep_lists=True),  # type: ignore[arg-type]
                histories.held_out("test"),
            )
            for rule, how in RULES.items()
        }
        if kind == "sasrec":
            trained = read_manifest(run.path / "baselines" / "sasrec").summary
            figures["valid_ndcg@10"] = trained["valid_ndcg@10"]
            model = train_sasrec(*own, config, seed=seed)  # the one that is there
            # It is fused with counts as a run's training does it.
            counts = Transitions.fit(histories.training(), own[2])
            asked = Asked(model, *item_codes(own[2]), histories, model.config.max_items, seed)
            (_, share), reached = asked.best_shares(counts)
            assert share is not None
            fused = asked.evaluated(transitions=dataclasses.replace(counts, share=share))
            about = {"transitions_share": share, "valid_ndcg@10": reached}
            figures["with_transitions"] = fused | about
        return figures

    def _method(self, data: str, name: str, seed: int) -> Figures:
        """Make the run of a generative method by its verbs, as far as it is not made; measure it."""
        method, chosen = METHODS[name], METHODS[name]["recipes"][data]
        folder = self._run_folder(data, name, seed)
        files, model = DATA[data]["files"], recipe(chosen).model
        options = tokenize_options(name, data)
        codes = SMOKE_TOKENIZE if self.smoke else options
        ready = options is None and files
        if ready:
            codes = ("--codes", self.folder / data / "index.json", "--collisions", "keep")
        if not ready or (isinstance(model, FeaturesConfig) and model.item_vectors):
            verb("embed", folder, *method["embed"], "--seed", seed)
        train: tuple[str, ...] = ("--recipe", chosen)
        if self.smoke:
            train = ("--kind", model.kind, *SMOKE_TRAIN.split())
            if name == "hybrid":
                train += ("--dense-head", "--transitions")
        verb("tokenize", folder, *(codes or ()), "--seed", seed)
        verb("index", folder, "--seed", seed)
        figures = {"train": verb("train", folder, *train, "--seed", seed)}
        figures["codes"] = read_manifest(folder / "codes").summary["report"]
        figures["valid_ndcg@10"] = read_manifest(folder / "model").summary["valid_ndcg@10"]
        figures |= self._evaluate(folder, seed)
        if method["coldstart"]:
            figures["coldstart"] = verb("coldstart", folder, "--seed", seed)["shares"]
        return figures

    def _evaluate(self, folder: Path, seed: int) -> Figures:
        """Evaluate a run by both rules, and the search with 50 beams against exact scores."""
        _, histories = load_run_data(folder)
        codes, index = load_codes(folder / "codes"), TrieIndex.load(folder / "index")
        model, counts = load_model(folder / "model"), load_transitions(folder / "model")
        asked = Asked(model, codes, index, histories, model.config.max_items, seed)
        figures: Figures = asked.evaluated(transitions=counts)
        if counts is not None:
            figures["transitions_share"] = counts.share
        if capabilities_of(model).dense_share is not None:
            (share, _), _ = asked.best_shares(None)
            if counts is not None:
                figures["without_transitions"] = asked.evaluated(dense_share=share)
            figures["heads"] = {
                head: {
                    rule: {metric: found[metric] for metric in SHOWN}
                    for rule, found in asked.evaluated(dense_share=alone).items()
                }
                for head, alone in (("codes", 0.0), ("dense", 1.0))
            }
        wide = dataclasses.replace(RULES["test"], beams=50, users=EXACT_USERS)
        both = {"beams": wide, "exact": dataclasses.replace(wide, exact=True)}
        found = asked.evaluated(both, transitions=counts)
        figures["beams_50_against_exact"] = missed_by_beams(found["beams"], found["exact"])
        return figures

    def _write(self, records: Records, data: str, console: Console) -> None:
        """Write and print the results of a data set, from all records that are there."""
        found = {name: records.all(data, name) for name in (*METHODS, *BASELINES)}
        found = {name: own for name, own in found.items() if own}
        if not found:
            return
        about = {"program": "benchmarks.quality", "environment": environment()}
        document = about | summarize(data, found)
        write_json(self.out / f"quality-{data}.json", document)
        table(document).show(console)
        judged = document["bars"]
        cold = [r for own in found.values() for r in own if r.get("coldstart")]
        if cold:
            file = self.out / "quality-coldstart.json"
            before = read_json(file) if file.is_file() else {}
            summary = summarize_cold(cold)
            write_json(file, before | about | {data: summary})
            judged = judged | summary["bars"]
        values = {name: verdict["value"] for name, verdict in judged.items()}
        bars_table({"bars": values, "verdicts": judged}).show(console)


@dataclasses.dataclass(frozen=True)
class Asked:
    """A model and what it is asked: the users of a split, for items by their codes."""

    model: Any
    codes: SemanticIds
    index: TrieIndex
    histories: SplitHistories
    max_items: int
    seed: int

    def evaluated(
        self, rules: Mapping[str, EvaluateConfig] = RULES, **fused: Any
    ) -> dict[str, Figures]:
        """Evaluate on the test split by each rule; ``fused`` says what the model is fused with."""
        test = self.histories.held_out("test")
        fused |= training_use(self.histories, self.index.num_items)
        asked = self.model, self.codes.codes, self.index, test
        known = {"max_items": self.max_items, "seed": self.seed, "keep_lists": True, **fused}
        return {
            r: with_ranks(evaluate_model(*asked, how, **known), test) for r, how in rules.items()
        }

    def best_shares(
        self, counts: Transitions | None
    ) -> tuple[tuple[float | None, float | None], float]:
        """Return the weights of what is fused that are the best on validation, and their NDCG@10."""
        valid = self.histories.held_out("valid")
        few = valid.take(chosen_users(valid, VALIDATION, self.seed))
        of = self.model, counts, self.codes, self.index, few, VALIDATION
        tried = ndcg_by_share(*of, max_items=self.max_items)
        best = max(tried, key=tried.__getitem__)
        return best, tried[best]


main = make_main(Options, "benchmarks.quality")

if __name__ == "__main__":
    sys.exit(main())
