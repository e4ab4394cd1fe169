"""``genret train``: catalogue and codes into a model."""

import dataclasses
import json
import shutil
from typing import Any

from genret.artifacts import Run, read_manifest, write_folder
from genret.cli.base import Reporter, RunFolder, Verb
from genret.config import EvaluateConfig, ModelConfig, TrainConfig, require

VALIDATION_BEAMS = 20
"""Beams of the search that validates: enough for NDCG@10, and quick."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Verb):
    """Train a model on the histories of a run.

    Checkpoints go to RUN/checkpoints; a run that was killed continues from the newest one when the
    same command is given again, and ends with the same parameters. The best model by validation
    NDCG@10 is written to RUN/model.

    Example: genret train runs/shop --preset small --steps 4000
    """

    run_folder: RunFolder
    """Folder of the run, with catalog/ and codes/."""
    preset: str | None = None
    """A named architecture instead of the model options (see genret.models.PRESETS)."""
    model: ModelConfig = ModelConfig()
    """The architecture."""
    train: TrainConfig = TrainConfig()
    """The optimisation."""
    devices: int = 1
    """Local devices that share each batch; 0 takes all."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Train; return the summary of the model."""
        import numpy as np

        from genret.data import load_run_data
        from genret.evaluation import evaluate_model
        from genret.index import TrieIndex
        from genret.models import PRESETS, build_model, num_parameters, save_model
        from genret.tokenizers import load_codes, load_end_code
        from genret.training import train

        if self.preset is not None:
            known = ", ".join(PRESETS)
            require(
                self.preset in PRESETS, f"--preset: found {self.preset!r}, expected one of {known}"
            )
        run = Run.open(self.run_folder)
        inputs = {kind: run.require(kind).fingerprint for kind in ("catalog", "codes")}
        _, histories = load_run_data(run.folder("catalog"))
        codes, codes_per_level = load_codes(run.folder("codes"))
        architecture = self.model if self.preset is None else PRESETS[self.preset]
        architecture = dataclasses.replace(architecture, codes_per_level=codes_per_level)
        model = build_model(architecture, self.seed)
        end_code = load_end_code(run.folder("codes"))
        index = TrieIndex.from_codes(codes, codes_per_level=codes_per_level, end_code=end_code)
        held_out = histories.held_out("valid")
        validation = EvaluateConfig(
            split="valid", k=(10,), beams=VALIDATION_BEAMS, users=self.train.eval_users, bootstrap=1
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

        offsets, items = histories.training()
        checkpoints = run.path / "checkpoints"
        with (
            reporter.stage("train"),
            reporter.progress("steps", self.train.steps) as advance,
        ):
            reporter.say(
                f"{architecture.kind}: {num_parameters(model):,} parameters; "
                f"{len(items):,} training events of {histories.num_users:,} users"
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
                codes,
                offsets,
                items,
                self.train,
                seed=self.seed,
                max_items=architecture.max_items,
                checkpoint_dir=checkpoints,
                identity={"model": architecture.to_dict(), **inputs},
                validate=validate if len(held_out.users) else None,
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
                config={"model": architecture.to_dict(), "train": self.train.to_dict()},
                seed=self.seed,
                inputs=inputs,
                summary=summary,
            ) as folder:
                save_model(folder, result.model)
                lines = [json.dumps(record) + "\n" for record in result.records]
                (folder / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
            shutil.rmtree(checkpoints, ignore_errors=True)
        mean_events = len(items) / max(1, int(np.count_nonzero(np.diff(offsets))))
        speed = {
            "users_per_second": result.items_per_second / mean_events,
            "tokens_per_second": result.items_per_second * len(codes_per_level),
        }
        reporter.say(
            f"best at step {result.best_step:,} of {result.steps:,}; {speed['users_per_second']:,.0f} users/s, "
            f"{speed['tokens_per_second']:,.0f} codes/s"
        )
        fingerprint = read_manifest(run.folder("model"), "model").fingerprint
        return summary | speed | {"fingerprint": fingerprint}

    def _devices(self) -> Any:
        """Return the devices to use."""
        import jax

        local = jax.local_devices()
        require(
            0 <= self.devices <= len(local),
            f"--devices: found {self.devices}, expected 0 to {len(local)}, the local {local[0].platform} devices",
        )
        return local[: self.devices or len(local)]
