"""``genret add-items``: items that came after the model was trained."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.tables import show_live


@dataclasses.dataclass(frozen=True, kw_only=True)
class AddItems(Verb):
    """Add new items to a trained run, so that it recommends them from now on.

    The run's own embedder and tokenizer give them their codes; nothing is trained again. The files
    have the columns of the catalog. Where the vectors of the run were brought, bring those of the
    new items with --vectors.

    Example: genret add-items runs/shop --items tonight.csv
    """

    writes_run: ClassVar[bool] = True
    computes: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run, with index/."""
    items: tuple[Path, ...]
    """Files of the new items, in any format that `genret ingest` reads."""
    vectors: str | None = None
    """Vectors of the new items with their ids: Parquet or .npz; other items in the file are left out."""
    item: str | None = None
    """Column of the item id, where it is not the one that `genret ingest` took."""
    title: str | None = None
    """Column of the title, where it is not the one that `genret ingest` took."""
    insert_capacity: int | None = None
    """How many new items the run takes before it has to be compacted; 4,096 at first."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Add the items; return how many there are."""
        from genret.pipeline import add_items

        result = add_items(
            self.run_folder, self.items, vectors=self.vectors, item=self.item, title=self.title,
            insert_capacity=self.insert_capacity, progress=reporter,
        )  # fmt: skip
        show_live(reporter, result)
        return result
