"""Stage 6: metrics of the model beside baselines and a random model, into ``reports/``."""

import dataclasses
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np

from genret import __version__
from genret.artifacts import Run, write_folder
from genret.config import EvaluateConfig, SASRecConfig, require
from genret.data import load_run_data
from genret.evaluation import compare_lists, evaluate_model
from genret.evaluation.model_card import write_model_card
from genret.evaluation.report import METHODS, headline_k, samples_of, write_report
from genret.index import TrieIndex
from genret.models import build_model, load_model, load_transitions
from genret.pipeline._baselines import BASELINES, evaluate_baseline, training_use
from genret.pipeline._progress import SILENT, Progress
from genret.pipeline._writing import writes_run
from genret.tokenizers import load_codes
from genret.typing import PathLike


@writes_run
def evaluate(
    run: PathLike,
    config: EvaluateConfig | None = None,
    *,
    baselines: bool = False,
    sasrec: SASRecConfig | None = None,
    check_beams: bool = False,
    seed: int = 0,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Measure the model of a run on held-out items, beside baselines and a model never trained.

    Every method ranks the whole catalog for the same users with the same exclusions. Writes
    ``reports/``: metrics.json, pictures, report.html and report.md.

    Args:
      run: the run folder, with its model.
      config: what is measured.
      baselines: also item-kNN and SASRec, which is trained once and kept in ``baselines/``;
        popularity is always there.
      sasrec: configuration of SASRec.
      check_beams: also score every item, and say what the beams miss.
      seed: of the choice of users, of the intervals and of the untrained model.
      progress: receives what the stage reports while it runs.

    Returns:
      The contents of metrics.json: method -> metrics, ``comparisons``, ``protocol``, and ``beams``
      with check_beams.

    Raises:
      GenretError: an artifact that is missing or stale.
    """
    config, sasrec = config or EvaluateConfig(), sasrec or SASRecConfig()
    require(
        not (check_beams and config.exact),
        "--check-beams: compares beams with --exact scoring; leave --exact out",
    )
    opened = Run.open(run)
    manifests = {kind: opened.require(kind) for kind in ("catalog", "codes", "index", "model")}
    catalog, histories = load_run_data(opened.folder("catalog"))
    semantic_ids = load_codes(opened.folder("codes"))
    index = TrieIndex.load(opened.folder("index"))
    trained, counts = load_model(opened.folder("model")), load_transitions(opened.folder("model"))
    held_out = histories.held_out(config.split)
    use = training_use(histories, catalog.num_items)
    results = {}
    with progress.stage("evaluate"):
        plan = {
            "model": (trained, counts, config),
            "random": (build_model(trained.config, seed), None, config),
        }
        if check_beams:
            plan["exact"] = (trained, counts, dataclasses.replace(config, exact=True))
        for name, (model, transitions, how) in plan.items():
            users = len(held_out)
            with progress.progress(name, min(config.users or users, users)) as advance:
                results[name] = evaluate_model(
                    model,
                    semantic_ids.codes,
                    index,
                    held_out,
                    how,
                    max_items=trained.config.max_items,
                    transitions=transitions,
                    seed=seed,
                    progress=advance,
                    keep_lists=True,
                    **use,
                )
        for baseline in BASELINES if baselines else BASELINES[:1]:
            results[baseline] = evaluate_baseline(
                baseline,
                opened,
                histories,
                catalog.num_items,
                config,
                sasrec,
                seed=seed,
                progress=progress,
                keep_lists=True,
            )
    lists = {name: result.pop("lists") for name, result in results.items()}
    asked = results["model"]["asked"]
    metrics = {
        name: {what: value for what, value in results[name].items() if what != "asked"}
        for name in METHODS
        if name in results
    }
    protocol = dict(_protocol(config, histories.split, trained.config.max_items, seed))
    if baselines:
        protocol["sasrec"] = sasrec.to_dict()
    comparisons = compare_lists(
        lists,
        held_out.targets[asked],
        headline_k(metrics["model"]),
        resamples=config.bootstrap,
        seed=seed,
    )
    document: dict[str, Any] = metrics | {"comparisons": comparisons, "protocol": protocol}
    if check_beams:
        document["beams"] = missed_by_beams(metrics["model"], metrics["exact"])
    summary = {
        f"{method}/{name}": value
        for method, values in metrics.items()
        for name, value in values.items()
        if name.startswith(("ndcg", "recall"))
    }
    with write_folder(
        opened.folder("reports"),
        "reports",
        config=config.to_dict(),
        seed=seed,
        inputs={kind: manifest.fingerprint for kind, manifest in manifests.items()},
        summary=summary,
    ) as folder:
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
        write_report(
            folder,
            document,
            run_name=opened.path.resolve().name,
            facts={
                "items": catalog.num_items,
                "users": histories.num_users,
                "events": histories.events.num_events,
                "codes per level": ", ".join(map(str, semantic_ids.codes_per_level)),
                "trie nodes": sum(index.num_nodes),
                "model": f"{trained.config.kind}, width {trained.config.width}",
                **({"counted transitions": f"weight {counts.share}"} if counts else {}),
            },
            training=read_training_log(opened.folder("model")),
            codes=semantic_ids.codes,
            codes_per_level=semantic_ids.codes_per_level,
            num_nodes=index.num_nodes,
            samples=samples_of(
                catalog, histories.user_ids, held_out, asked, lists["model"], seed=seed
            ),
        )
    write_model_card(opened)
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
    if config.explore:
        protocol["explore"] = f"Thompson sampling of the beams' items, strength {config.explore:g}"
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
