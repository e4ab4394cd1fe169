"""``genret export``: a run's semantic IDs, model and decode in the forms that other programs read."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Literal

from genret.artifacts import Run
from genret.cli.base import Reporter, RunFolder, Verb
from genret.errors import GenretError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(Verb):
    """Write the semantic IDs, the model or the decode of a run for others.

    Semantic IDs go into a JSON file: as LC-Rec, LETTER, MiniOneRec and APAO read them ("letters"),
    as NonameUntitled does ("integers"), or as rows ("lists", GRID). A model of kind decoder_only goes
    into a folder that transformers loads, as a Llama, Qwen2 or Qwen3 with its own tokenizer.

    The decode is model, index and beam search as one StableHLO program, in a folder with a README
    and an example that need only jax and numpy.

    Example: genret export runs/shop --ids shop.index.json
    """

    computes: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run."""
    ids: Path | None = None
    """Write the semantic IDs into this file."""
    style: Literal["letters", "integers", "lists"] = "letters"
    """The form of the semantic IDs."""
    model: Path | None = None
    """Write the model into this folder, for transformers."""
    decode: Path | None = None
    """Write the decode into this new folder: program, arrays, item ids, README.md and example.py."""
    k: int = 10
    """decode: items for each user."""
    beams: int = 50
    """decode: beams of the search; at least k."""
    batch: int = 1
    """decode: users of a call."""
    history: int = 0
    """decode: items of a history that a call takes; 0: 256, or what the model reads if that is more."""
    include_seen: bool = False
    """decode: items of the history may be answered."""
    exclude: int = 0
    """decode: further items that each user may exclude; 0: none."""
    filters: int = 0
    """decode: filters (a bit for each item) that a call takes; 0: none."""
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu")
    """decode: what to lower for: cpu, cuda, tpu, rocm."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Write what was asked for; return what was written."""
        if self.ids is None and self.model is None and self.decode is None:
            raise GenretError(
                "export: nothing to write: give --ids FILE, --model FOLDER or --decode FOLDER"
            )
        run = Run.open(self.run_folder)
        written: dict[str, Any] = {}
        with reporter.stage("export"):
            if self.ids is not None:
                written["ids"] = self._ids(run, self.ids)
            if self.model is not None:
                written["model"] = _model(run, self.model)
            if self.decode is not None:
                written["decode"] = self._decode(run, self.decode)
            for kind, what in written.items():
                reporter.say(f"{kind}: {what}")
        return written

    def _ids(self, run: Run, file: Path) -> str:
        from genret.data import load_run_data, write_semantic_ids
        from genret.tokenizers import load_codes

        run.require("codes")
        codes = load_codes(run.folder("codes")).codes
        catalog, _ = load_run_data(run.folder("catalog"))
        write_semantic_ids(file, catalog.item_ids.tolist(), codes, self.style)
        return f"{file}: {len(codes):,} items, {codes.shape[1]} codes each"

    def _decode(self, run: Run, folder: Path) -> str:
        from genret.scoring import export_decode

        found = export_decode(
            run.path, folder,
            k=self.k, beams=self.beams, batch=self.batch,
            history=self.history, exclude_seen=not self.include_seen,
            exclude=self.exclude, filters=self.filters, platforms=self.platforms,
        )  # fmt: skip
        return (
            f"{folder}: program {found.program / 1e6:.1f} MB, arrays {found.arrays / 1e6:.1f} MB, "
            f"for {', '.join(self.platforms)}"
        )


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
