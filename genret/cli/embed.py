"""``genret embed``: vectors of the items of a run."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.tables import show_embed
from genret.config import EmbedConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embed(Verb):
    """Make item vectors from texts and training histories, or take yours.

    By default a vector has two parts: one from the item's text (title, brand, categories and so
    on), the other from the items that occur near it in training histories. Held-out events are not
    used.

    Example: genret embed runs/shop --text-columns title brand --text-dim 128
    """

    writes_run: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run."""
    vectors: str | None = None
    """Take these vectors as they are: Parquet with a column of ids, .npz with an array of ids, or
    .npy or zarr3 with --ids."""
    vectors_column: str | None = None
    """With --vectors x.parquet: the column of lists of numbers, where there are several."""
    item: str | None = None
    """With --vectors x.parquet: the column of ids, where it has no usual name such as item_id."""
    ids: Path | None = None
    """With --vectors x.npy: the id of each row, in a .txt (a line each), .json, .npy or .parquet file."""
    superset: bool = False
    """With --vectors: the file is of a larger catalog; without this a file most of whose items are not in
    the catalog is refused as one of another catalog."""
    sentence_model: str | None = None
    """Read the texts with this sentence-transformers model (name or folder) instead."""
    embed: EmbedConfig = EmbedConfig()
    """How vectors are made."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Write ``vectors/``; return its shape and what each part holds."""
        from genret.pipeline import embed

        if self.vectors is not None:
            self.refuse("--vectors", self.embed, but=["whiten"])
        result = embed(
            self.run_folder, self.embed, vectors=self.vectors, vectors_column=self.vectors_column,
            item=self.item, ids=self.ids, superset=self.superset,
            sentence_model=self.sentence_model, seed=self.seed, progress=reporter,
        )  # fmt: skip
        show_embed(reporter, result)
        return result
