"""``genret index``: semantic IDs into the constraint index."""

import dataclasses
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb


@dataclasses.dataclass(frozen=True, kw_only=True)
class Index(Verb):
    """Build the trie of the catalog's semantic IDs, which restricts every search to real items.

    Prints the nodes and branching by depth and the size. Writes index/.

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
        show(reporter, result)
        return result


def show(reporter: Reporter, result: dict[str, Any]) -> None:
    """Print the shape of the trie."""
    nodes = result["nodes"]
    by_depth = zip(nodes[:-1], nodes[1:], result["stored_as"], strict=True)
    rows = [
        (depth, above, below / above, kind) for depth, (above, below, kind) in enumerate(by_depth)
    ]
    reporter.table("Trie", ("depth", "nodes", "mean children", "stored as"), rows)
    reporter.say(
        f"{result['items']:,} items, {nodes[-1]:,} distinct semantic IDs, {result['bytes']:,} bytes "
        f"({result['bytes_per_item']:.1f} an item)"
    )
