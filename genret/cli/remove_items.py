"""``genret remove-items``: items that are to be answered no more."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.tables import show_live


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoveItems(Verb):
    """Remove items from a run, so that it recommends them no more.

    Histories may still hold them, until `genret compact` forgets them. Items that are out of stock
    for a while are better left out with --where.

    Example: genret remove-items runs/shop --ids sku-7 sku-12
    """

    writes_run: ClassVar[bool] = True
    computes: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run, with index/."""
    items: tuple[Path, ...] = ()
    """Files with a column of the ids of the items, in any format that `genret ingest` reads."""
    ids: tuple[str, ...] = ()
    """Ids of the items."""
    item: str | None = None
    """Column of the item id in the files, where it has no usual name."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Remove the items; return how many are left."""
        from genret.pipeline import remove_items

        result = remove_items(
            self.run_folder, self.items or None, ids=self.ids, item=self.item, progress=reporter
        )
        show_live(reporter, result)
        return result
