"""Quality: recall of generative models beside baselines, over seeds, by the product's own verbs.

Each (data, method, seed) is a record of its own, written when it is measured: a run that was killed
goes on where it was, also in the middle of a training. Every method sees the same histories and
ranks all items; items of the history are kept in the ranking, as the peers do ("test"), and, beside
it, forbidden ("test_unseen"). Whatever was chosen was chosen on the validation split.
"""

import contextlib
import dataclasses
import io
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.program import run_program, show_table
from benchmarks.quality_methods import (
    BEAMS,
    DATA,
    METHODS,
    SMOKE_TOKENIZE,
    SMOKE_TRAIN,
)
from benchmarks.quality_results import Record, Records, summarize, summarize_cold
from benchmarks.record import ROOT, environment, sentence, write_json
from genret.config import EvaluateConfig, SASRecConfig, recipe
from genret.errors import GenretError
from genret.pipeline import BASELINES

EXACT_USERS = 5000
"""Users of whom every item is scored: seconds on Office, half an hour for all of Beauty's."""

SHOWN = ("recall@5", "ndcg@5", "recall@10", "ndcg@10")


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


class Program:
    """Makes the records that are missing, and the results of all.

    Args:
      options: what was asked for.
      console: where to print.
    """

    def __init__(self, options: Options, console: Console) -> None:
        self.options = options
        self.console = console
        self.records = Records(options.records or options.work / "records")
        here = environment()
        self.where = {name: here[name] for name in ("commit", "device")}
        # Seen items are kept or forbidden; 1,000 resamples.
        k = (1, 5, 10, 20)
        self.rules = {
            "test": EvaluateConfig(k=k, beams=BEAMS, exclude_seen=False),
            "test_unseen": EvaluateConfig(k=k, beams=BEAMS, exclude_seen=True),
        }
        self.sasrec = SASRecConfig(epochs=2, max_items=8) if options.smoke else SASRecConfig()

    def run(self) -> None:
        """Measure everything that was asked for, a seed of all methods after the other."""
        for data in self.options.data:
            if data not in DATA:
                raise GenretError(f"--data: found {data!r}, expected {', '.join(DATA)}")
            known = [*BASELINES, *(n for n, m in METHODS.items() if data in m.recipes)]
            for name in self.options.methods:
                if name not in known:
                    raise GenretError(
                        f"--methods: {data} has no {name!r}; it has {', '.join(known)}"
                    )
            for seed in self.options.seeds:
                for name in self.options.methods or known:
                    self._record(data, name, seed)
                self.write(data)

    def write(self, data: str) -> None:
        """Write and print the results of a data set, from all records that are there."""
        found = {name: self.records.all(data, name) for name in (*METHODS, *BASELINES)}
        found = {name: records for name, records in found.items() if records}
        if not found:
            return
        document = {"program": "benchmarks.quality", **summarize(data, found)}
        write_json(
            self.options.out / f"quality-{data}.json", document | {"environment": environment()}
        )
        self._show(data, document)
        cold = [r for records in found.values() for r in records if r.get("coldstart")]
        if cold:
            self._write_cold(data, summarize_cold(cold))

    def _record(self, data: str, name: str, seed: int) -> None:
        settings = self._settings(data, name)
        if self.records.get(data, name, seed, settings) is not None:
            self.console.print(f"{data}, {name}, seed {seed}: there")
            return
        start = time.perf_counter()
        measure = self._baseline if name in BASELINES else self._method
        figures = measure(data, name, seed)
        figures |= {"seconds": time.perf_counter() - start, **self.where}
        self.records.put(data, name, seed, settings, figures)
        shown = ", ".join(f"{m} {figures['test'][m]:.4f}" for m in SHOWN)
        self.console.print(f"{data}, {name}, seed {seed}: {shown}; {figures['seconds']:.0f} s")

    def _settings(self, data: str, name: str) -> Any:
        """Return what a record depends on, beside data and seed."""
        if name == "sasrec":
            return self.sasrec.to_dict()
        if name in BASELINES:
            return {}
        method, chosen = METHODS[name], recipe(METHODS[name].recipes[data])
        settings = {
            "tokenize": method.tokenize,
            "embed": method.embed,
            "coldstart": method.coldstart,
        }
        return {**settings, "model": chosen.model.to_dict(), "train": chosen.train.to_dict()}

    def _train_options(self, data: str, name: str) -> list[str]:
        chosen = METHODS[name].recipes[data]
        if self.options.smoke:
            return ["--kind", recipe(chosen).model.kind, *SMOKE_TRAIN]
        return ["--recipe", chosen]

    def _run_folder(self, data: str, name: str, seed: int) -> Path:
        """Return a run folder that holds the data."""
        folder = self.options.work / f"{data}-{name}-{seed}"
        if not (folder / "catalog" / "manifest.json").is_file():
            ingest = DATA[data].ingest(self.options.folder / data)
            _genret("ingest", folder, 0 if name in BASELINES else seed, ingest)
        return folder

    def _baseline(self, data: str, name: str, seed: int) -> Record:
        """Evaluate a baseline."""
        from genret.artifacts import Run
        from genret.data import load_run_data
        from genret.pipeline import evaluate_baseline

        run = Run.open(self._run_folder(data, name, seed))
        catalog, histories = load_run_data(run.folder("catalog"))
        return {
            rule: evaluate_baseline(
                name,
                run,
                histories,
                catalog.num_items,
                config,
                self.sasrec,
                seed=seed,
            )
            for rule, config in self.rules.items()
        }

    def _method(self, data: str, name: str, seed: int) -> Record:
        """Make the run of a generative method by its verbs, as far as it is not made; measure it."""
        from genret.artifacts import read_manifest

        method = METHODS[name]
        folder = self._run_folder(data, name, seed)
        ready = method.tokenize is None and bool(DATA[data].files)
        if ready:
            codes = ["--codes", str(self.options.folder / data / "index.json")]
            codes += ["--collisions", "keep"]
        else:
            _genret("embed", folder, seed, list(method.embed))
            codes = list(SMOKE_TOKENIZE if self.options.smoke else method.tokenize or ())
        _genret("tokenize", folder, seed, codes)
        _genret("index", folder, seed, [])
        trained = _genret("train", folder, seed, self._train_options(data, name))
        figures: Record = {"train": trained}
        figures["codes"] = read_manifest(folder / "codes").summary["report"]
        figures["valid_ndcg@10"] = read_manifest(folder / "model").summary["valid_ndcg@10"]
        figures |= self._evaluate(folder, seed)
        if method.coldstart:
            figures["coldstart"] = _genret("coldstart", folder, seed, [])["shares"]
        return figures

    def _evaluate(self, folder: Path, seed: int) -> Record:
        """Evaluate a run by both rules, and the search with 50 beams against exact scores."""
        from genret.data import load_run_data
        from genret.evaluation import evaluate_model
        from genret.index import TrieIndex
        from genret.models import load_model
        from genret.pipeline import missed_by_beams, training_use
        from genret.tokenizers import load_codes

        catalog, histories = load_run_data(folder)
        codes = load_codes(folder / "codes").codes
        index = TrieIndex.load(folder / "index")
        model = load_model(folder / "model")
        train = training_use(histories, catalog.num_items)

        def evaluate(config: EvaluateConfig) -> Record:
            return evaluate_model(
                model,
                codes,
                index,
                histories.held_out("test"),
                config,
                max_items=model.config.max_items,
                seed=seed,
                **train,
            )

        figures = {rule: evaluate(config) for rule, config in self.rules.items()}
        wide = dataclasses.replace(self.rules["test"], beams=50, users=EXACT_USERS)
        exact = dataclasses.replace(wide, exact=True)
        figures["beams_50_against_exact"] = missed_by_beams(evaluate(wide), evaluate(exact))
        return figures

    def _write_cold(self, data: str, summary: Record) -> None:
        file = self.options.out / "quality-coldstart.json"
        document: Record = json.loads(file.read_text()) if file.is_file() else {}
        document = {"program": "benchmarks.quality", **document, "environment": environment()}
        document[data] = summary
        write_json(file, document)
        for name, said in summary["bars"].items():
            self.console.print(sentence(f"{data}, {name}", said))

    def _show(self, data: str, document: Record) -> None:
        rows = []
        for name, figures in (document["methods"] | document["baselines"]).items():
            cells = [_cell(figures["test"][metric]) for metric in SHOWN]
            cells.append(_cell(figures["test_unseen"]["recall@10"]))
            rows.append((name, str(len(figures["seeds"])), *cells))
        columns = ("method", "seeds", *SHOWN, "recall@10, seen forbidden")
        show_table(self.console, f"{data}, test, seen items kept", columns, rows)
        for name, said in document["bars"].items():
            self.console.print(sentence(f"{data}, {name}", said))


def _cell(found: Record) -> str:
    return f"{found['mean']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


def _genret(verb: str, folder: Path, seed: int, options: Sequence[str]) -> Record:
    """Run a verb in this process and return the JSON that it prints."""
    from genret.cli.main import main as genret

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = genret([verb, str(folder), "--seed", str(seed), "--json", *options])
    if status:
        raise GenretError(f"genret {verb} {folder}: ended with status {status}")
    found: Record = json.loads(printed.getvalue())
    return found


def run(options: Options, console: Console) -> None:
    """Measure what is missing, and write the results of all."""
    if options.smoke:
        options = dataclasses.replace(options, data=("synthetic",))
    Program(options, console).run()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    return run_program("benchmarks.quality", Options, run, argv)


if __name__ == "__main__":
    sys.exit(main())
