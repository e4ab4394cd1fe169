"""``genret index``: semantic IDs into the constraint index."""

import dataclasses
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.tables import show_index


@dataclasses.dataclass(frozen=True, kw_only=True)
class Index(Verb):
    """Build the trie of the catalog's semantic IDs, which restricts every search to real items.

    Prints the size of the index and, for each depth, the number of nodes and their branching.

    Example: genret index runs/shop
    """

    writes_run: ClassVar[bool] = True
    computes: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run, with catalog/ and codes/."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Build the index; return its figures."""
        from genret.pipeline import index

        result = index(self.run_folder, progress=reporter)
        show_index(reporter, result)
        return result
