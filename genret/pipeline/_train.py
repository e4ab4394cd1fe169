"""Stage 5 in one process, or in one of several that have joined: histories and semantic IDs into ``model/``."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genret.artifacts import Run, read_manifest, write_folder
from genret.config import (
    NO_MESH,
    EvaluateConfig,
    FeaturesConfig,
    ItemDecoderConfig,
    ModelConfig,
    TrainConfig,
    require,
)
from genret.data import load_run_data
from genret.embed import load_vectors
from genret.evaluation import chosen_users, evaluate_model
from genret.evaluation.model_card import write_model_card
from genret.index import TrieIndex
from genret.models import (
    Model,
    Transitions,
    build_model,
    load_model,
    num_parameters,
    save_model,
    save_transitions,
)
from genret.pipeline._progress import SILENT, Progress
from genret.pipeline._shares import ndcg_by_share
from genret.pipeline._trackers import TrackerName, tracker
from genret.pipeline._writing import first_writes_run
from genret.tokenizers import load_codes
from genret.training import TrainResult, is_first, shrink_and_perturb, wait_for_all
from genret.training import train as fit
from genret.typing import PathLike

VALIDATION_BEAMS = 20
"""Beams of the search that validates: enough for NDCG@10, and quick."""


@first_writes_run
def train(
    run: PathLike,
    config: TrainConfig | None = None,
    *,
    model: ModelConfig | None = None,
    recipe: str | None = None,
    warm_start: PathLike | None = None,
    shrink: float = 0.5,
    perturb: float = 0.1,
    devices: int = 1,
    seed: int = 0,
    on_metrics: Callable[[dict[str, Any]], object] | None = None,
    log_to: TrackerName | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Train a model on the histories of a run, in this process; see :func:`genret.pipeline.train`."""
    config, asked = config or TrainConfig(), model or ItemDecoderConfig()
    require(
        config.mesh == NO_MESH or devices == 1,
        f"--mesh: found {config.mesh} with --devices {devices}, expected one of them",
    )
    opened = Run.open(run)
    kinds = ["catalog", "codes", *(["vectors"] if _reads_vectors(asked) else [])]
    inputs = {kind: opened.require(kind).fingerprint for kind in kinds}
    catalog, histories = load_run_data(opened.folder("catalog"))
    semantic_ids = load_codes(opened.folder("codes"))
    asked = dataclasses.replace(
        asked,
        codes_per_level=semantic_ids.codes_per_level,
        normalize="catalog" if config.loss == "legal" else "level",
    )
    fresh = _fresh_model(opened, asked, catalog.num_items, seed)
    start: dict[str, Any] = {}
    if warm_start is not None:
        folder = _model_folder(Path(warm_start))
        fingerprint = read_manifest(folder, "model").fingerprint
        start = {"warm_start": fingerprint, "shrink": shrink, "perturb": perturb}
        fresh = shrink_and_perturb(load_model(folder), fresh, shrink=shrink, perturb=perturb)
    architecture = fresh.config
    events = histories.training()
    full = 1 if fresh.capabilities.one_target_a_row else architecture.max_items + 1
    config = config.for_events(events.num_events, full)
    fresh.forget(np.flatnonzero(events.item_counts(catalog.num_items) == 0))
    require(
        not fresh.capabilities.scores_codes or (config.loss != "legal" and config.apao == "none"),
        f"train: found loss {config.loss!r} and apao {config.apao!r} for kind {asked.kind!r}, expected "
        "none that depends on prefixes: its codes have no order",
    )
    require(
        not fresh.capabilities.time_buckets or events.times is not None,
        "--time-buckets: found a catalog whose interactions have no times",
    )
    trie = TrieIndex.from_codes(semantic_ids)
    held_out = histories.held_out("valid")
    validation = EvaluateConfig(
        split="valid",
        k=(10,),
        beams=VALIDATION_BEAMS,
        exclude_seen=config.exclude_seen,
        users=config.eval_users,
        bootstrap=1,
    )

    def validate(model: Any) -> dict[str, float]:
        found = evaluate_model(
            model,
            semantic_ids.codes,
            trie,
            held_out,
            validation,
            max_items=architecture.max_items,
            seed=seed,
        )
        return {name: found[name] for name in ("ndcg@10", "recall@10", "valid")}

    if not is_first():
        progress, log_to = SILENT, None
    checkpoints = opened.path / "checkpoints"
    made_with = {
        "model": architecture.to_dict(),
        "train": config.to_dict(),
        "recipe": recipe,
        **start,
    }
    with (
        progress.stage("train"),
        tracker(log_to, opened.path, made_with) as track,
        progress.progress("steps", config.steps) as advance,
    ):
        progress.say(
            f"{architecture.kind}: {num_parameters(fresh):,} parameters; "
            f"{events.num_events:,} training events of {histories.num_users:,} users"
        )
        advance(0, "compiling the program of a step")
        shown = 0

        def log(record: dict[str, Any]) -> None:
            nonlocal shown
            track(record)
            if on_metrics is not None:
                on_metrics(record)
            advance(record["step"] - shown, "")
            shown = record["step"]
            if "valid" in record:
                progress.say(
                    f"step {shown:>6}  validation NDCG@10 {record['valid']['ndcg@10']:.4f}"
                )
            else:
                progress.say(f"step {shown:>6}  loss {record['loss']:.4f}")

        result = fit(
            fresh,
            semantic_ids,
            events,
            config,
            seed=seed,
            max_items=architecture.max_items,
            checkpoint_dir=checkpoints,
            identity={"model": architecture.to_dict(), **start, **inputs},
            validate=validate if len(held_out) else None,
            log=log,
            devices=_local_devices(devices) if config.mesh == NO_MESH else None,
        )
        summary = {
            "parameters": num_parameters(fresh),
            "steps": result.steps,
            "best_step": result.best_step,
            "valid_ndcg@10": result.best,
            "loss": result.losses[-1],
        }
        counts = Transitions.fit(events, catalog.num_items) if config.transitions else None
        if len(held_out) and (counts is not None or fresh.capabilities.dense_share is not None):
            asked_of = held_out.take(chosen_users(held_out, validation, seed))
            tried = ndcg_by_share(
                result.model, counts, semantic_ids, trie, asked_of, validation,
                max_items=architecture.max_items,
            )  # fmt: skip
            dense, counted = best = max(tried, key=tried.__getitem__)
            summary["valid_ndcg@10"] = tried[best]
            progress.say(f"{_weights(dense, counted)}: validation NDCG@10 {tried[best]:.4f}")
            if dense is not None:
                values = result.model.config.to_dict() | {"dense_share": dense}
                result.model.config = ModelConfig.from_dict(values)
                summary["dense_share"] = dense
            if counts is not None:
                counts = dataclasses.replace(counts, share=counted) if counted else None
        if config.transitions:
            summary["transitions_share"] = 0.0 if counts is None else counts.share
        facts = {"config": made_with, "seed": seed, "inputs": inputs, "summary": summary}
        if is_first():
            _write(opened, result, counts, facts)
            shutil.rmtree(checkpoints, ignore_errors=True)
        wait_for_all("model")
    busy = int(np.count_nonzero(events.offsets[1:] > events.offsets[:-1]))
    mean_events = events.num_events / max(1, busy)
    return summary | {
        "users_per_second": result.items_per_second / mean_events,
        "tokens_per_second": result.items_per_second * semantic_ids.depth,
        "fingerprint": read_manifest(opened.folder("model"), "model").fingerprint,
    }


def _weights(dense: float | None, counted: float | None) -> str:
    """Say which weights were chosen."""
    said = [] if dense is None else [f"weight of the dense head {dense}"]
    return ", ".join(said if counted is None else [*said, f"weight of the transitions {counted}"])


def _write(
    run: Run, result: TrainResult[Any], counts: Transitions | None, facts: dict[str, Any]
) -> None:
    """Write ``model/`` and its card."""
    with write_folder(run.folder("model"), "model", **facts) as scratch:
        save_model(scratch, result.model)
        if counts is not None:
            save_transitions(scratch, counts)
        lines = [json.dumps(record) + "\n" for record in result.records]
        (scratch / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    write_model_card(run)


def _fresh_model(run: Run, asked: ModelConfig, num_items: int, seed: int) -> Model:
    """Return a model with initial parameters, and with the vectors of the items where it reads them."""
    if not isinstance(asked, FeaturesConfig):
        return build_model(asked, seed)
    vectors = load_vectors(run.folder("vectors")) if asked.item_vectors else None
    own_items = isinstance(asked, ItemDecoderConfig) and asked.dense_items
    asked = dataclasses.replace(
        asked,
        num_items=num_items if asked.item_ids or asked.item_vectors or own_items else 0,
        vector_dim=0 if vectors is None else vectors.shape[1],
    )
    model = build_model(asked, seed)
    if vectors is not None:
        model.features.set_vectors(vectors)
    return model


def _reads_vectors(asked: ModelConfig) -> bool:
    return isinstance(asked, FeaturesConfig) and asked.item_vectors


def _local_devices(count: int) -> list[jax.Device]:
    """Return the first local devices; 0 takes all."""
    local = jax.local_devices()
    require(
        0 <= count <= len(local),
        f"--devices: found {count}, expected 0 to {len(local)}, the local {local[0].platform} "
        "devices",
    )
    return local[: count or len(local)]


def _model_folder(path: Path) -> Path:
    """Return the model of a run, or the model itself."""
    return path / "model" if (path / "model").is_dir() else path
