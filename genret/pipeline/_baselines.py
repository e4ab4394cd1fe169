"""Baselines of an evaluation; SASRec is trained, and kept in the run folder."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genret.artifacts import MANIFEST, Run, read_manifest, write_folder
from genret.config import EvaluateConfig, SASRecConfig
from genret.pipeline._progress import SILENT, Progress

if TYPE_CHECKING:
    from genret.data import SplitHistories
    from genret.index import TrieIndex
    from genret.models import SASRec
    from genret.semantic_ids import SemanticIds


Baseline = Literal["popularity", "item_knn", "sasrec"]
BASELINES: tuple[Baseline, ...] = ("popularity", "item_knn", "sasrec")
"""The baselines, the cheap ones first."""


def training_use(histories: "SplitHistories", num_items: int) -> dict[str, Any]:
    """Return how the training events use each item: what popularity and novelty are measured by."""
    from genret.evaluation.metrics import seen_shares
    from genret.evaluation.popularity import item_counts

    events = histories.training()
    return {
        "train_counts": item_counts(events.items, num_items),
        "seen_share": seen_shares(events, num_items),
    }


def evaluate_baseline(
    name: Baseline,
    run: Run,
    histories: "SplitHistories",
    num_items: int,
    config: EvaluateConfig,
    sasrec: SASRecConfig,
    *,
    seed: int,
    progress: Progress = SILENT,
    keep_lists: bool = False,
) -> dict[str, Any]:
    """Evaluate a baseline on the users and by the rules of the model.

    Args:
      name: which.
      run: the run; SASRec is trained into it.
      histories: its histories.
      num_items: items of its catalog.
      config: what is measured.
      sasrec: configuration of SASRec.
      seed: seed of SASRec, of the choice of users and of the intervals.
      progress: receives what the stage reports while it runs.
      keep_lists: also return the lists, see :func:`genret.evaluation.evaluate_lists`.

    Returns:
      What :func:`genret.evaluation.measure` returns.
    """
    from genret.evaluation import ItemKNN, evaluate_lists, evaluate_model, evaluate_popularity

    held_out = histories.held_out(config.split)
    common: dict[str, Any] = {
        **training_use(histories, num_items),
        "seed": seed,
        "keep_lists": keep_lists,
    }
    if name == "popularity":
        return evaluate_popularity(held_out=held_out, config=config, **common)
    if name == "item_knn":
        knn = ItemKNN.fit(histories.training(), num_items)
        answer = functools.partial(knn.recommend, k=max(config.k), exclude_seen=config.exclude_seen)
        return evaluate_lists(answer, held_out, config, num_items=num_items, **common)
    model = train_sasrec(run, histories, num_items, sasrec, seed=seed, progress=progress)
    # One level: the search misses nothing. As many beams as places are enough.
    search = dataclasses.replace(config, exact=False, beams=max(config.k))
    semantic_ids, index = item_codes(num_items)
    return evaluate_model(
        model,
        semantic_ids.codes,
        index,
        held_out,
        search,
        max_items=sasrec.max_items,
        **common,
    )


def train_sasrec(
    run: Run,
    histories: "SplitHistories",
    num_items: int,
    config: SASRecConfig,
    *,
    seed: int,
    progress: Progress = SILENT,
) -> "SASRec":
    """Return the SASRec of a run: the one in ``baselines/sasrec``, or a newly trained one.

    It is trained anew when the catalog, the configuration or the seed differ from those it was
    trained with. A training that was killed is continued.

    Args:
      run: the run.
      histories: its histories.
      num_items: items of its catalog.
      config: the baseline's configuration.
      seed: seed of parameters, batches and dropout.
      progress: receives what the stage reports while it runs.

    Returns:
      The model with the parameters of the best validation NDCG@10.

    Raises:
      GenretError: no training events, or the folder holds something else.
    """
    import shutil

    from genret.evaluation import evaluate_model
    from genret.models import SASRec, build_model, load_model, save_model
    from genret.training import train

    folder = run.path / "baselines" / "sasrec"
    inputs = {"catalog": run.require("catalog").fingerprint}
    if _is_current(folder, config, inputs, seed):
        model = load_model(folder)
        assert isinstance(model, SASRec)
        return model
    events = histories.training()
    held_out = histories.held_out("valid")
    semantic_ids, index = item_codes(num_items)
    training = config.training(events.num_events)
    validation = EvaluateConfig(
        split="valid", k=(10,), beams=10, users=training.eval_users, bootstrap=0
    )

    def validate(model: Any) -> dict[str, float]:
        found = evaluate_model(
            model,
            semantic_ids.codes,
            index,
            held_out,
            validation,
            max_items=config.max_items,
            seed=seed,
        )
        return {name: found[name] for name in ("ndcg@10", "recall@10")}

    checkpoints = folder.parent / "sasrec-checkpoints"
    with progress.stage("train sasrec"), progress.progress("steps", training.steps) as advance:
        shown = 0

        def log(record: dict[str, Any]) -> None:
            nonlocal shown
            advance(record["step"] - shown)
            shown = record["step"]
            if "valid" in record:
                progress.say(
                    f"step {shown:>6}  validation NDCG@10 {record['valid']['ndcg@10']:.4f}"
                )

        result = train(
            build_model(config.model(num_items), seed),
            semantic_ids,
            events,
            training,
            seed=seed,
            max_items=config.max_items,
            checkpoint_dir=checkpoints,
            identity={"model": config.model(num_items).to_dict(), **inputs},
            validate=validate if len(held_out) else None,
            log=log,
        )
        with write_folder(
            folder,
            "model",
            config=config.to_dict(),
            seed=seed,
            inputs=inputs,
            summary={"best_step": result.best_step, "valid_ndcg@10": result.best},
        ) as scratch:
            save_model(scratch, result.model)
        shutil.rmtree(checkpoints, ignore_errors=True)
    model = result.model
    assert isinstance(model, SASRec)
    return model


def item_codes(num_items: int) -> "tuple[SemanticIds, TrieIndex]":
    """Return semantic IDs and trie of a catalog whose items are their own codes."""
    import numpy as np

    from genret.index import TrieIndex
    from genret.semantic_ids import SemanticIds

    codes = np.arange(num_items, dtype=np.int32)[:, None]
    semantic_ids = SemanticIds(codes=codes, codes_per_level=(num_items,))
    return semantic_ids, TrieIndex.from_codes(semantic_ids)


def _is_current(folder: Path, config: SASRecConfig, inputs: dict[str, str], seed: int) -> bool:
    if not (folder / MANIFEST).is_file():
        return False
    found = read_manifest(folder, "model")
    return (found.config, found.inputs, found.seed) == (config.to_dict(), inputs, seed)
