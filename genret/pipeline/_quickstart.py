"""All stages one after the other, then recommendations to a few users."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from genret.config import (
    ColumnsConfig,
    EvaluateConfig,
    IngestConfig,
    ItemDecoderConfig,
    ModelConfig,
    TokenizeConfig,
    TrainConfig,
)
from genret.data import load_run_data
from genret.pipeline._embed import embed
from genret.pipeline._evaluate import evaluate
from genret.pipeline._index import index
from genret.pipeline._ingest import ingest
from genret.pipeline._progress import SILENT, Progress
from genret.pipeline._tokenize import tokenize
from genret.pipeline._train import train
from genret.pipeline._writing import makes_run
from genret.recommend import Recommender, known_histories
from genret.typing import PathLike

MODEL = ItemDecoderConfig(
    width=64, code_width=64, heads=2, kv_heads=2, mlp_dim=192, max_items=50, dropout=0.2
)
TRAIN = TrainConfig(
    steps=600, learning_rate=3e-3, eval_every=150, eval_users=300, checkpoint_every=150, patience=0
)
_SMOKE_TRAIN = TrainConfig(steps=20, eval_every=20, eval_users=64, log_every=10)
_SMOKE_EVALUATE = EvaluateConfig(users=200, beams=20)


def quick_configs(steps: int = TRAIN.steps, *, smoke: bool = False) -> dict[str, Any]:
    """Return how :func:`quickstart` trains and evaluates, as its arguments.

    Args:
      steps: training steps.
      smoke: train for a few steps and evaluate few users instead, to see that all parts work.

    >>> quick_configs(50)["optimization"].steps, quick_configs(smoke=True)["evaluation"].users
    (50, 200)
    """
    if smoke:
        return {"optimization": _SMOKE_TRAIN, "evaluation": _SMOKE_EVALUATE}
    return {
        "optimization": dataclasses.replace(TRAIN, steps=steps),
        "evaluation": EvaluateConfig(),
    }


@makes_run
def quickstart(
    run: PathLike,
    interactions: Any,
    items: Any = None,
    *,
    codes: PathLike | None = None,
    columns: ColumnsConfig | None = None,
    rules: IngestConfig | None = None,
    model: ModelConfig = MODEL,
    optimization: TrainConfig = TRAIN,
    evaluation: EvaluateConfig | None = None,
    users: int = 3,
    invented: bool = False,
    seed: int = 0,
    progress: Progress = SILENT,
    done: Callable[[str, Any], object] = lambda stage, result: None,
) -> dict[str, Any]:
    """Ingest, embed, tokenize, index, train, evaluate and recommend.

    Args:
      run: the run folder; made where there is none.
      interactions: files or tables, see :func:`genret.data.ingest`.
      items: files or tables of the items; None: the items are those seen.
      codes: a file of ready semantic IDs instead of vectors and residual k-means.
      columns: which columns mean what; None finds the usual names.
      rules: the rules of ingestion.
      model: the architecture.
      optimization: the training.
      evaluation: what is measured.
      users: to how many users to recommend.
      invented: whether the data were generated from the seed.
      seed: of everything random.
      progress: receives what the stage reports while it runs.
      done: called with the name of each stage and what it returned.

    Returns:
      ``metrics``, see :func:`evaluate`, and ``recommendations``, see :func:`recommend_to_some`.

    Raises:
      GenretError: as the stages do.
    """
    told: dict[str, Any] = {"seed": seed, "progress": progress}
    report, fingerprint = ingest(
        run, interactions, items,
        columns=columns, config=rules, seed=seed if invented else None, progress=progress,
    )  # fmt: skip
    done("ingest", (report, fingerprint))
    if codes is None:
        done("embed", embed(run, **told))
        done("tokenize", tokenize(run, TokenizeConfig(levels=2), **told))
    else:
        done("tokenize", tokenize(run, codes=codes, **told))
    done("index", index(run, progress=progress))
    done("train", train(run, optimization, model=model, **told))
    metrics = evaluate(run, evaluation, **told)
    done("evaluate", metrics)
    with progress.stage("recommend"):
        shown = recommend_to_some(run, users, seed=seed)
    return {"metrics": metrics, "recommendations": shown}


def recommend_to_some(
    run: PathLike, users: int, *, k: int = 10, beams: int = 50, seed: int = 0
) -> list[dict[str, Any]]:
    """Recommend to a few users of a run, drawn by the seed.

    Args:
      run: the run folder, with its model.
      users: how many.
      k: items for each.
      beams: beams of the search.
      seed: of the choice.

    Returns:
      For each user ``user`` (the id), ``history`` (titles, oldest first) and ``recommendations``
      (rank, item_id, title and score).
    """
    shop = Recommender.load(run)
    catalog, histories = load_run_data(run)
    chosen = np.random.default_rng(seed).choice(
        histories.num_users, min(users, histories.num_users), replace=False
    )
    seen = histories.whole(chosen)
    assert shop.catalog is not None
    known = known_histories(seen, catalog, shop.catalog)
    # One by one: that is the program which `genret recommend` then finds compiled.
    each = [
        shop.recommend_many(known.slice(i, i + 1), k=k, beams=beams)[0] for i in range(len(known))
    ]
    return [
        {
            "user": str(histories.user_ids[int(user)].as_py()),
            "history": [catalog.titles[row] for row in seen[i]],
            "recommendations": [one.to_dict() for one in each[i]],
        }
        for i, user in enumerate(chosen)
    ]
