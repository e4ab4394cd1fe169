"""How well a model finds items that are newer than its training data, measured on a run's newest items."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genret.artifacts import Run, read_manifest, write_folder
from genret.config import (
    EmbedConfig,
    EvaluateConfig,
    ModelConfig,
    TokenizeConfig,
    TrainConfig,
    require,
)
from genret.data import Catalog, SplitHistories, hold_out_items, load_run_data, newest_items
from genret.embed import load_vectors, save_vectors
from genret.errors import GenretError
from genret.evaluation import evaluate_cold_start
from genret.index import TrieIndex
from genret.models import load_model, load_transitions
from genret.pipeline._embed import embed
from genret.pipeline._index import index
from genret.pipeline._progress import SILENT, Progress
from genret.pipeline._train import train
from genret.pipeline._writing import writes_run
from genret.tokenizers import load_codes, save_codes
from genret.tokenizers.report import code_report
from genret.tokenizers.store import TOKENIZERS
from genret.typing import Int, PathLike, Vectors

RESULT = "coldstart.json"


@writes_run
def coldstart(
    run: PathLike,
    fractions: Sequence[float] = (0.02, 0.05),
    config: EvaluateConfig | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
    progress: Progress = SILENT,
) -> list[dict[str, Any]]:
    """Train the model of a run again without its newest items, and measure whether it finds them.

    For each share of the items: they and all that their users did after them are taken out of the
    training events, the tokenizer is fitted to the other items and gives codes to these, and each
    history that led to one of them asks for it. Each share has a run folder of its own in
    ``coldstart/``; artifacts there that are up to date are not made again.

    Args:
      run: the run folder, with its model.
      fractions: shares of the items, the newest, to leave out.
      config: cut-offs, beams, users and exclusions.
      steps: training steps; 0 takes those of the run's model.
      seed: of everything random.
      progress: receives what the stage reports while it runs.

    Returns:
      For each share what :func:`genret.evaluation.evaluate_cold_start` returns, with ``fraction``
      and ``rule``, by which the newest items were chosen.

    Raises:
      GenretError: no model, or vectors that new items cannot have.
    """
    config = config or EvaluateConfig(k=(1, 10))
    for fraction in fractions:
        require(
            0 < fraction < 1, f"fractions: found {fraction}, expected more than 0 and less than 1"
        )
    opened = Run.open(run)
    fingerprint = opened.require("catalog").fingerprint
    plan = _Plan.of_run(opened, steps)
    catalog, histories = load_run_data(opened.folder("catalog"))
    found = []
    for fraction in fractions:
        folder = opened.path / "coldstart" / f"newest-{100 * fraction:g}pct"
        progress.say(f"the newest {fraction:.1%} of the items: {folder}")
        made_from = {"catalog": fingerprint, "fraction": fraction}
        found.append(_measure(folder, catalog, histories, plan, made_from, config, seed, progress))
    return found


def _measure(
    folder: Path,
    catalog: Catalog,
    histories: SplitHistories,
    plan: "_Plan",
    made_from: Mapping[str, Any],
    config: EvaluateConfig,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Make the run without the newest items, as far as it is not there, and measure it."""
    cold, rule = newest_items(histories, made_from["fraction"])
    without = hold_out_items(histories, cold)
    run = Run.open(folder, create=True)
    if not _is_made(run, "catalog", made_from, None):
        with write_folder(
            run.folder("catalog"),
            "catalog",
            config=made_from,
            summary={"cold_items": len(cold), "rule": rule},
        ) as scratch:
            catalog.save(scratch)
            without.save(scratch)
            np.save(scratch / "cold_items.npy", cold, allow_pickle=False)
    plan.tokenize_without(run, cold, seed, progress)
    if not _is_made(run, "index", None, None):
        index(folder, progress=progress)
    semantic_ids = load_codes(run.folder("codes"))
    architecture = dataclasses.replace(plan.model, codes_per_level=semantic_ids.codes_per_level)
    wanted = {"model": architecture.to_dict(), "train": plan.train.to_dict()}
    if not _is_made(run, "model", wanted, seed):
        train(folder, plan.train, model=plan.model, seed=seed, progress=progress)
    if _is_made(run, "reports", config.to_dict(), seed):
        return dict(json.loads((run.folder("reports") / RESULT).read_text(encoding="utf-8")))
    held_out = without.held_out("test")
    model = load_model(run.folder("model"))
    with (
        progress.stage("evaluate new items"),
        progress.progress("users", 2 * len(held_out)) as advance,
    ):
        result = {"fraction": made_from["fraction"], "rule": rule} | evaluate_cold_start(
            model,
            semantic_ids.codes,
            TrieIndex.load(run.folder("index")),
            held_out,
            cold,
            config,
            max_items=model.config.max_items,
            transitions=load_transitions(run.folder("model")),
            seed=seed,
            progress=advance,
        )
        summary = {
            f"{name}/{k}": value["mean"]
            for name in ("unconstrained", "constrained")
            for k, value in result[name].items()
        }
        with write_folder(
            run.folder("reports"),
            "reports",
            config=config.to_dict(),
            seed=seed,
            inputs={kind: run.require(kind).fingerprint for kind in ("index", "model")},
            summary=summary,
        ) as scratch:
            text = json.dumps(result, indent=1, ensure_ascii=False)
            (scratch / RESULT).write_text(text + "\n", encoding="utf-8")
    return result


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How the run was made, as far as that can be repeated without its newest items."""

    embed: EmbedConfig
    vectors: Vectors | None
    tokenize: TokenizeConfig
    model: ModelConfig
    train: TrainConfig

    @classmethod
    def of_run(cls, run: Run, steps: int) -> "_Plan":
        """Read the configurations from the manifests of a run."""
        made = read_manifest(run.folder("model"), "model") if run.has("model") else None
        if made is None:
            raise GenretError(
                f"{run.path}: has no model/; make it with `genret train {run.path}`: new items are "
                "asked of a model like it"
            )
        if not made.config.keys() >= {"model", "train"}:
            raise GenretError(
                f"{run.folder('model')}: its manifest does not say how it was trained, expected a "
                "model that `genret train` made: new items are asked of a model like it"
            )
        model = ModelConfig.from_dict(made.config["model"])
        train = TrainConfig.from_dict(made.config["train"])
        if steps:
            train = dataclasses.replace(train, steps=steps)
        codes = dict(read_manifest(run.folder("codes"), "codes").config)
        ready = codes.pop("ready_codes", None)
        # Ready codes were made from all items, so our own tokenizer takes their place.
        tokenize = TokenizeConfig() if ready else TokenizeConfig.from_dict(codes)
        # Identifiers that are not made from vectors cannot be given to a new item.
        tokenize = tokenize if tokenize.method in TOKENIZERS else TokenizeConfig()
        # A suffix would tell new items apart by a code that was never trained, and the contrastive
        # loss needs items that occur together, which new items do not.
        tokenize = dataclasses.replace(
            tokenize,
            collisions="keep",
            autoencoder=dataclasses.replace(tokenize.autoencoder, contrast=0.0),
        )
        how, vectors = EmbedConfig(), None
        if run.has("vectors"):
            own = dict(read_manifest(run.folder("vectors"), "vectors").config)
            if own.pop("vectors", None) or own.pop("sentence_model", None):
                vectors = load_vectors(run.folder("vectors"))
            own = {name: own[name] for name in own if name in how.to_dict()}
            how = EmbedConfig.from_dict(own)
        if vectors is None and how.text_dim == 0:
            raise GenretError(
                f"{run.path}: its vectors have no text part, and new items have no events to make "
                "others of; run `genret embed` with --text-dim, or bring --vectors"
            )
        how = dataclasses.replace(how, cooccurrence_dim=0)
        return cls(how, vectors, tokenize, model, train)

    def tokenize_without(
        self, run: Run, cold: Int[np.ndarray, "C"], seed: int, progress: Progress
    ) -> None:
        """Write ``vectors/`` and ``codes/``: fitted to the other items, given to all."""
        config = self.tokenize.to_dict() | {"fitted_without": len(cold)}
        if _is_made(run, "codes", config, seed):
            return
        if self.vectors is None:
            embed(run.path, self.embed, seed=seed, progress=progress)
        else:
            catalog = run.require("catalog").fingerprint
            save_vectors(run.folder("vectors"), self.vectors, inputs={"catalog": catalog})
        vectors = load_vectors(run.folder("vectors"))
        known = np.ones(len(vectors), bool)
        known[cold] = False
        with progress.stage("tokenize without the newest items"):
            fit = TOKENIZERS[self.tokenize.method].fit
            tokenizer = fit(vectors[known], self.tokenize, seed)
            semantic_ids = tokenizer.encode(vectors)
            save_codes(
                run.folder("codes"),
                semantic_ids,
                tokenizer=tokenizer,
                report=code_report(semantic_ids, vectors, tokenizer),
                config=config,
                seed=seed,
                inputs={kind: run.require(kind).fingerprint for kind in ("catalog", "vectors")},
            )


def _is_made(run: Run, kind: str, config: Mapping[str, Any] | None, seed: int | None) -> bool:
    """Return whether an artifact exists, is up to date and was made with a configuration and a seed.

    Only the entries of ``config`` are compared; a configuration or seed of None matches any.
    """
    if not run.has(kind):
        return False
    try:
        found = run.require(kind)
    except GenretError:
        return False
    same = all(found.config.get(name) == value for name, value in (config or {}).items())
    return same and (seed is None or found.seed == seed)
