"""``genret compact``: one plain index of the items that a run has now."""

import dataclasses
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.tables import show_live


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compact(Verb):
    """Put added items into the main index, and forget removed ones.

    Answers stay the same, a search is as fast as before the first change, and there is room for as
    many new items again.

    Example: genret compact runs/shop
    """

    writes_run: ClassVar[bool] = True
    computes: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Build the index anew; return how many items there are."""
        from genret.pipeline import compact

        result = compact(self.run_folder, progress=reporter)
        show_live(reporter, result)
        return result
