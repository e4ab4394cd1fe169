"""``genret export``: a run's semantic IDs, model and decode in the forms that other programs read."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Literal

from genret.cli.base import Reporter, RunFolder, Verb
from genret.config import ExportConfig, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(Verb):
    """Write the semantic IDs, the model or the decode of a run for other programs.

    Semantic IDs go into a JSON file: as LC-Rec, LETTER, MiniOneRec and APAO read them ("letters"),
    as NonameUntitled does ("integers"), or as rows ("lists", GRID). A model of kind decoder_only
    goes into a folder that transformers loads, as a Llama, Qwen2 or Qwen3 with its own tokenizer.
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
    program: ExportConfig = ExportConfig()
    """What the decode computes."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Write what was asked for; return what was written."""
        from genret.pipeline import export

        require(
            any(path is not None for path in (self.ids, self.model, self.decode)),
            "export: nothing to write: give --ids FILE, --model FOLDER or --decode FOLDER",
        )
        with reporter.stage("export"):
            written = export(
                self.run_folder, ids=self.ids, style=self.style, model=self.model,
                decode=self.decode, config=self.program,
            )  # fmt: skip
            for kind, what in written.items():
                reporter.say(f"{kind}: {what}")
        return written
