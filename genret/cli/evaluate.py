"""``genret evaluate``: metrics of the model beside baselines and a random model."""

import dataclasses
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from genret.artifacts import Run, write_folder
from genret.cli.base import Reporter, RunFolder, Verb
from genret.config import EvaluateConfig, SASRecConfig, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(Verb):
    """Measure the model of a run on held-out items, ranking the whole catalog.

    A popularity baseline and a model that was never trained stand beside it, and with --baselines
    also item-kNN and SASRec: same users, same exclusions, all items. Writes reports/: metrics.json,
    pictures, report.html and report.md.

    Example: genret evaluate runs/shop --split test --k 10 20 --beams 50 --baselines
    """

    writes_run: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run, with its model."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """What is measured."""
    baselines: bool = False
    """Also item-kNN and SASRec, which is trained once and kept in RUN/baselines."""
    sasrec_epochs: int = SASRecConfig.epochs
    """With --baselines: passes of SASRec over the training events, at most."""
    check_beams: bool = False
    """Also score every item, and say what the beams miss."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Evaluate; return the contents of metrics.json."""
        from genret.cli.baselines import BASELINES, evaluate_baseline, training_use
        from genret.data import load_run_data
        from genret.evaluation import compare_lists, evaluate_model
        from genret.evaluation.model_card import write_model_card
        from genret.evaluation.report import (
            METHODS,
            headline_k,
            headline_table,
            metrics_table,
            samples_of,
            verdict,
            write_report,
        )
        from genret.index import TrieIndex
        from genret.models import build_model, load_model
        from genret.tokenizers import load_codes

        config = self.evaluate
        require(
            not (self.check_beams and config.exact),
            "--check-beams: compares beams with --exact scoring; leave --exact out",
        )
        sasrec = SASRecConfig(epochs=self.sasrec_epochs)
        run = Run.open(self.run_folder)
        manifests = {kind: run.require(kind) for kind in ("catalog", "codes", "index", "model")}
        catalog, histories = load_run_data(run.folder("catalog"))
        semantic_ids = load_codes(run.folder("codes"))
        codes, codes_per_level = semantic_ids.codes, semantic_ids.codes_per_level
        index = TrieIndex.load(run.folder("index"))
        trained = load_model(run.folder("model"))
        held_out = histories.held_out(config.split)
        models = {"model": trained, "random": build_model(trained.config, self.seed)}
        users = len(held_out)
        train = training_use(histories, catalog.num_items)
        results = {}
        with reporter.stage("evaluate"):
            plan = {name: (model, config) for name, model in models.items()}
            if self.check_beams:
                plan["exact"] = (trained, dataclasses.replace(config, exact=True))
            for name, (model, how) in plan.items():
                with reporter.progress(name, min(config.users or users, users)) as advance:
                    results[name] = evaluate_model(
                        model,
                        codes,
                        index,
                        held_out,
                        how,
                        max_items=trained.config.max_items,
                        seed=self.seed,
                        progress=advance,
                        keep_lists=True,
                        **train,
                    )
            for name in BASELINES if self.baselines else BASELINES[:1]:
                results[name] = evaluate_baseline(
                    name,
                    run,
                    histories,
                    catalog.num_items,
                    config,
                    sasrec,
                    seed=self.seed,
                    reporter=reporter,
                    keep_lists=True,
                )
        lists = {name: result.pop("lists") for name, result in results.items()}
        asked = results["model"]["asked"]
        metrics = {
            name: {what: value for what, value in results[name].items() if what != "asked"}
            for name in METHODS
            if name in results
        }
        protocol = dict(_protocol(config, histories.split, trained.config.max_items, self.seed))
        if self.baselines:
            protocol["sasrec"] = sasrec.to_dict()
        document: dict[str, Any] = metrics | {
            "comparisons": compare_lists(
                lists, held_out.targets[asked], headline_k(metrics["model"]),
                resamples=config.bootstrap, seed=self.seed,
            ),
            "protocol": protocol,
        }  # fmt: skip
        if self.check_beams:
            document["beams"] = missed_by_beams(metrics["model"], metrics["exact"])
        summary = {f"{method}/{name}": value for method, values in metrics.items()
                   for name, value in values.items() if name.startswith(("ndcg", "recall"))}  # fmt: skip
        with write_folder(
            run.folder("reports"),
            "reports",
            config=config.to_dict(),
            seed=self.seed,
            inputs={kind: manifest.fingerprint for kind, manifest in manifests.items()},
            summary=summary,
        ) as folder:
            text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
            (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
            write_report(
                folder,
                document,
                run_name=run.path.resolve().name,
                facts={
                    "items": catalog.num_items,
                    "users": histories.num_users,
                    "events": histories.events.num_events,
                    "codes per level": ", ".join(map(str, codes_per_level)),
                    "trie nodes": sum(index.num_nodes),
                    "model": f"{trained.config.kind}, width {trained.config.width}",
                },
                training=read_training_log(run.folder("model")),
                codes=codes,
                codes_per_level=codes_per_level,
                num_nodes=index.num_nodes,
                samples=samples_of(
                    catalog, histories.user_ids, held_out, asked, lists["model"], seed=self.seed
                ),
            )
        write_model_card(run)
        title = f"{config.split} split, {users:,} users"
        if self.baselines or self.check_beams:
            reporter.table(f"{title} (all metrics: report.md)", *headline_table(document))
        else:
            reporter.table(title, *metrics_table(document))
        for name, found in document.get("beams", {}).items():
            reporter.say(
                f"{name}: {config.beams} beams {found['beams']:.4f}, all items scored "
                f"{found['exact']:.4f}: {found['relative_difference']:+.2%}"
            )
        reporter.say(verdict(document))
        reporter.say(f"report: {run.folder('reports') / 'report.html'}")
        return document


def missed_by_beams(beams: Mapping[str, Any], exact: Mapping[str, Any]) -> dict[str, Any]:
    """Compare a search with beams and the exact ranking of the same model.

    Returns:
      For NDCG and Recall at each cut-off, the values ``beams`` and ``exact`` and the
      ``relative_difference`` beams / exact - 1 (0 where both are 0).
    """
    found = {}
    for name, value in beams.items():
        if name.startswith(("ndcg@", "recall@")):
            best = exact[name]
            difference = value / best - 1 if best else 0.0
            found[name] = {"beams": value, "exact": best, "relative_difference": difference}
    return found


def read_training_log(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a model's ``metrics.jsonl``; none where it was trained without a log."""
    file = folder / "metrics.jsonl"
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _protocol(
    config: EvaluateConfig, split_rule: str, max_items: int, seed: int
) -> Mapping[str, Any]:
    """Return everything that the figures depend on beside the run's artifacts."""
    import flax
    import jax
    import numpy as np

    from genret import __version__

    versions = {
        "genret": __version__,
        "jax": jax.__version__,
        "flax": flax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    protocol = {
        "split": config.split,
        "split_rule": split_rule,
        "ranking": "all items of the catalog; items are counted, not semantic IDs",
        "exclusions": "items of the user's history, inside the beam"
        if config.exclude_seen
        else "none",
        "beams": "none: every item is scored" if config.exact else config.beams,
        "history_items": max_items,
        "users": config.users or "all",
        "intervals": f"95 % percentile bootstrap over users, {config.bootstrap} resamples",
        "popularity": "ARP: training events of a recommended item, on average",
        "slices": "users cut at quartiles; popularity: training events of the wanted item",
        "seed": seed,
        "device": jax.devices()[0].device_kind,
        "versions": versions,
    }
    commit = _commit()
    return protocol | ({"commit": commit} if commit else {})


def _commit() -> str | None:
    """Return the commit of genret's checkout (``-dirty`` when edited); None when installed."""
    root = Path(__file__).resolve().parents[2]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    done = subprocess.run(
        [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None
