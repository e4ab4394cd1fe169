"""``genret export``: a run's semantic IDs and model in the forms that other programs read."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from genret.artifacts import Run
from genret.cli.base import Reporter, RunFolder, Verb
from genret.errors import GenretError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(Verb):
    """Write the semantic IDs or the model of a run for others.

    Semantic IDs go into a JSON file: as LC-Rec, LETTER, MiniOneRec and APAO read them ("letters"),
    as NonameUntitled does ("integers"), or as rows ("lists", GRID). A model of kind decoder_only goes
    into a folder that transformers loads, as a Llama, Qwen2 or Qwen3 with its own tokenizer.

    Example: genret export runs/shop --ids shop.index.json
    """

    run_folder: RunFolder
    """Folder of the run."""
    ids: Path | None = None
    """Write the semantic IDs into this file."""
    style: Literal["letters", "integers", "lists"] = "letters"
    """The form of the semantic IDs."""
    model: Path | None = None
    """Write the model into this folder, for transformers."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Write what was asked for; return what was written."""
        if self.ids is None and self.model is None:
            raise GenretError("export: nothing to write: give --ids FILE or --model FOLDER")
        run = Run.open(self.run_folder)
        written: dict[str, Any] = {}
        with reporter.stage("export"):
            if self.ids is not None:
                written["ids"] = self._ids(run, self.ids)
            if self.model is not None:
                written["model"] = _model(run, self.model)
            for kind, what in written.items():
                reporter.say(f"{kind}: {what}")
        return written

    def _ids(self, run: Run, file: Path) -> str:
        from genret.data import load_run_data, write_semantic_ids
        from genret.tokenizers import load_codes

        run.require("codes")
        codes, _ = load_codes(run.folder("codes"))
        catalog, _ = load_run_data(run.folder("catalog"))
        write_semantic_ids(file, catalog.item_ids.tolist(), codes, self.style)
        return f"{file}: {len(codes):,} items, {codes.shape[1]} codes each"


def _model(run: Run, folder: Path) -> str:
    from genret.hf import checkpoint_of, save_checkpoint
    from genret.models import DecoderOnly, load_model

    run.require("model")
    model = load_model(run.folder("model"))
    if not isinstance(model, DecoderOnly):
        raise GenretError(
            f"{run.folder('model')}: is of kind {model.config.kind!r}, expected 'decoder_only': "
            "transformers has no such architecture"
        )
    checkpoint, _ = checkpoint_of(model)
    save_checkpoint(folder, checkpoint)
    return f"{folder}: a {checkpoint.fields['model_type']} of {checkpoint.vocabulary:,} tokens"
