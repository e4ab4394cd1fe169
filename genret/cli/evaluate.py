"""``genret evaluate``: metrics of the model beside popularity and a random model."""

import dataclasses
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genret.artifacts import Run, write_folder
from genret.cli.base import Reporter, RunFolder, Verb
from genret.config import EvaluateConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(Verb):
    """Measure the model of a run on held-out items, ranking the whole catalogue.

    A popularity baseline and a model that was never trained stand beside it: same users, same
    index, same exclusions. Writes reports/: metrics.json, pictures, report.html and report.md.

    Example: genret evaluate runs/shop --split test --k 10 20 --beams 50
    """

    run_folder: RunFolder
    """Folder of the run, with its model."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """What is measured."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Evaluate; return the contents of metrics.json."""
        from genret.cli.report import metrics_table, write_report
        from genret.data import load_run_data
        from genret.evaluation import evaluate_model, evaluate_popularity, item_counts
        from genret.index import TrieIndex
        from genret.models import build_model, load_model
        from genret.tokenizers import load_codes

        run = Run.open(self.run_folder)
        manifests = {kind: run.require(kind) for kind in ("catalog", "codes", "index", "model")}
        catalog, histories = load_run_data(run.folder("catalog"))
        codes, codes_per_level = load_codes(run.folder("codes"))
        index = TrieIndex.load(run.folder("index"))
        trained = load_model(run.folder("model"))
        held_out = histories.held_out(self.evaluate.split)
        counts = item_counts(histories.training()[1], catalog.num_items)
        models = {"model": trained, "random": build_model(trained.config, self.seed)}
        users = len(held_out.users)
        results = {}
        with reporter.stage("evaluate"):
            for name, model in models.items():
                with reporter.progress(name, min(self.evaluate.users or users, users)) as advance:
                    results[name] = evaluate_model(
                        model,
                        codes,
                        index,
                        held_out,
                        self.evaluate,
                        max_items=trained.config.max_items,
                        train_counts=counts,
                        seed=self.seed,
                        progress=advance,
                    )
            results["popularity"] = evaluate_popularity(
                counts, held_out, self.evaluate, seed=self.seed
            )
        metrics = {name: results[name] for name in ("model", "popularity", "random")}
        protocol = _protocol(self.evaluate, histories.split, trained.config.max_items, self.seed)
        document = metrics | {"protocol": protocol}
        summary = {f"{method}/{name}": value for method, values in metrics.items()
                   for name, value in values.items() if name.startswith(("ndcg", "recall"))}  # fmt: skip
        with write_folder(
            run.folder("reports"),
            "reports",
            config=self.evaluate.to_dict(),
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
                    "events": len(histories.items),
                    "codes per level": ", ".join(map(str, codes_per_level)),
                    "trie nodes": sum(index.num_nodes),
                    "model": f"{trained.config.kind}, width {trained.config.width}",
                },
                training=read_training_log(run.folder("model")),
                codes=codes,
                codes_per_level=codes_per_level,
                num_nodes=index.num_nodes,
            )
        reporter.table(f"{self.evaluate.split} split, {users:,} users", *metrics_table(document))
        reporter.say(f"report: {run.folder('reports') / 'report.html'}")
        return document


def read_training_log(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a model's ``metrics.jsonl``; none where it was trained without a log."""
    file = folder / "metrics.jsonl"
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _protocol(
    config: EvaluateConfig, split_rule: str, max_items: int, seed: int
) -> Mapping[str, Any]:
    """Return everything that the figures depend on beside the run's artefacts."""
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
        "ranking": "all items of the catalogue; items are counted, not semantic IDs",
        "exclusions": "items of the user's history, inside the beam"
        if config.exclude_seen
        else "none",
        "beams": "none: every item is scored" if config.exact else config.beams,
        "history_items": max_items,
        "users": config.users or "all",
        "intervals": f"95 % percentile bootstrap over users, {config.bootstrap} resamples",
        "popularity_bias": "ARP: training events of a recommended item, on average",
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
