"""``genret train``: catalog and codes into a model."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

from genret.artifacts import Run, read_manifest, write_folder
from genret.cli.base import Reporter, RunFolder, Verb, refuse_options
from genret.config import EvaluateConfig, ModelConfig, Recipe, TrainConfig, recipe, require

VALIDATION_BEAMS = 20
"""Beams of the search that validates: enough for NDCG@10, and quick."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Verb):
    """Train a model on the histories of a run.

    Checkpoints go to RUN/checkpoints; a run that was killed continues from the newest one when the
    same command is given again, and ends with the same parameters. The best model by validation
    NDCG@10 is written to RUN/model.

    Example: genret train runs/shop --preset small --steps 4000
    Example: genret train runs/office --recipe office
    """

    writes_run: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run, with catalog/ and codes/."""
    preset: str | None = None
    """A named architecture instead of the model options (see genret.models.PRESETS)."""
    recipe: str | None = None
    """A frozen architecture and optimization whose figures are known, instead of all other options
    of both (see genret.config.RECIPES)."""
    model: ModelConfig = ModelConfig()
    """The architecture."""
    train: TrainConfig = TrainConfig()
    """The optimization."""
    warm_start: Path | None = None
    """Begin with a trained model (a run, or its model/), shrunk and perturbed, instead of a fresh one."""
    shrink: float = 0.5
    """warm_start: what is kept of the trained parameters."""
    perturb: float = 0.1
    """warm_start: what is added of fresh ones."""
    devices: int = 1
    """Local devices that share each batch; 0 takes all."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Train; return the summary of the model."""
        import numpy as np

        from genret.data import load_run_data
        from genret.evaluation import evaluate_model
        from genret.evaluation.model_card import write_model_card
        from genret.index import TrieIndex
        from genret.models import num_parameters, save_model
        from genret.tokenizers import load_codes
        from genret.training import train

        chosen = self._chosen()
        run = Run.open(self.run_folder)
        kinds = ["catalog", "codes", *(["vectors"] if chosen.model.item_vectors else [])]
        inputs = {kind: run.require(kind).fingerprint for kind in kinds}
        catalog, histories = load_run_data(run.folder("catalog"))
        semantic_ids = load_codes(run.folder("codes"))
        codes = semantic_ids.codes
        model = self._model(run, chosen, semantic_ids.codes_per_level, catalog.num_items)
        architecture, start = model.config, self._start()
        index = TrieIndex.from_codes(semantic_ids)
        held_out = histories.held_out("valid")
        validation = EvaluateConfig(
            split="valid",
            k=(10,),
            beams=VALIDATION_BEAMS,
            exclude_seen=chosen.train.exclude_seen,
            users=chosen.train.eval_users,
            bootstrap=1,
        )

        def validate(model: Any) -> dict[str, float]:
            found = evaluate_model(
                model,
                codes,
                index,
                held_out,
                validation,
                max_items=architecture.max_items,
                seed=self.seed,
            )
            return {name: found[name] for name in ("ndcg@10", "recall@10", "valid")}

        events = histories.training()
        require(
            not architecture.time_buckets or events.times is not None,
            "--time-buckets: found a catalog whose interactions have no times",
        )
        checkpoints = run.path / "checkpoints"
        with (
            reporter.stage("train"),
            reporter.progress("steps", chosen.train.steps) as advance,
        ):
            reporter.say(
                f"{architecture.kind}: {num_parameters(model):,} parameters; "
                f"{events.num_events:,} training events of {histories.num_users:,} users"
            )
            shown = 0

            def log(record: dict[str, Any]) -> None:
                nonlocal shown
                advance(record["step"] - shown)
                shown = record["step"]
                if "valid" in record:
                    reporter.say(
                        f"step {shown:>6}  validation NDCG@10 {record['valid']['ndcg@10']:.4f}"
                    )
                else:
                    reporter.say(f"step {shown:>6}  loss {record['loss']:.4f}")

            result = train(
                model,
                semantic_ids,
                events,
                chosen.train,
                seed=self.seed,
                max_items=architecture.max_items,
                checkpoint_dir=checkpoints,
                identity={"model": architecture.to_dict(), **start, **inputs},
                validate=validate if len(held_out) else None,
                log=log,
                devices=self._devices(),
            )
            summary = {
                "parameters": num_parameters(model),
                "steps": result.steps,
                "best_step": result.best_step,
                "valid_ndcg@10": result.best,
                "loss": result.losses[-1],
            }
            with write_folder(
                run.folder("model"),
                "model",
                config={
                    "model": architecture.to_dict(),
                    "train": chosen.train.to_dict(),
                    "recipe": self.recipe,
                    **start,
                },
                seed=self.seed,
                inputs=inputs,
                summary=summary,
            ) as folder:
                save_model(folder, result.model)
                lines = [json.dumps(record) + "\n" for record in result.records]
                (folder / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
            shutil.rmtree(checkpoints, ignore_errors=True)
        mean_events = events.num_events / max(1, int(np.count_nonzero(events.lengths)))
        speed = {
            "users_per_second": result.items_per_second / mean_events,
            "tokens_per_second": result.items_per_second * semantic_ids.depth,
        }
        reporter.say(
            f"best at step {result.best_step:,} of {result.steps:,}; {speed['users_per_second']:,.0f} users/s, "
            f"{speed['tokens_per_second']:,.0f} codes/s"
        )
        write_model_card(run)
        fingerprint = read_manifest(run.folder("model"), "model").fingerprint
        return summary | speed | {"fingerprint": fingerprint}

    def _chosen(self) -> Recipe:
        """Return the architecture and the optimization that the options ask for."""
        from genret.models import PRESETS

        if self.recipe is not None:
            require(self.preset is None, "--recipe: found with --preset, expected one of them")
            refuse_options("--recipe", self.model, self.train)
            return recipe(self.recipe)
        if self.preset is None:
            return Recipe(model=self.model, train=self.train)
        known = ", ".join(PRESETS)
        require(self.preset in PRESETS, f"--preset: found {self.preset!r}, expected one of {known}")
        refuse_options("--preset", self.model)
        return Recipe(model=PRESETS[self.preset], train=self.train)

    def _model(
        self, run: Run, chosen: Recipe, codes_per_level: tuple[int, ...], num_items: int
    ) -> Any:
        """Return the model before its first step."""
        from genret.embed import load_vectors
        from genret.models import build_model, load_model
        from genret.training import shrink_and_perturb

        asked = chosen.model
        vectors = load_vectors(run.folder("vectors")) if asked.item_vectors else None
        architecture = dataclasses.replace(
            asked,
            codes_per_level=codes_per_level,
            num_items=num_items if asked.item_ids or asked.item_vectors else 0,
            vector_dim=0 if vectors is None else vectors.shape[1],
            normalize="catalog" if chosen.train.loss == "legal" else "level",
        )
        model = build_model(architecture, self.seed)
        if vectors is not None:
            model.features.set_vectors(vectors)
        if self.warm_start is None:
            return model
        trained = load_model(_model_folder(self.warm_start))
        return shrink_and_perturb(trained, model, shrink=self.shrink, perturb=self.perturb)

    def _start(self) -> dict[str, Any]:
        """Return how training began, where that was not afresh."""
        if self.warm_start is None:
            return {}
        fingerprint = read_manifest(_model_folder(self.warm_start), "model").fingerprint
        return {"warm_start": fingerprint, "shrink": self.shrink, "perturb": self.perturb}

    def _devices(self) -> Any:
        """Return the devices to use."""
        import jax

        local = jax.local_devices()
        require(
            0 <= self.devices <= len(local),
            f"--devices: found {self.devices}, expected 0 to {len(local)}, the local {local[0].platform} devices",
        )
        return local[: self.devices or len(local)]


def _model_folder(path: Path) -> Path:
    """Return the model of a run, or the model itself."""
    return path / "model" if (path / "model").is_dir() else path
