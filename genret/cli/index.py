"""``genret index``: semantic IDs into the constraint index."""

import dataclasses
from typing import Any, ClassVar

from genret.artifacts import Run, read_manifest, write_folder
from genret.cli.base import Reporter, RunFolder, Verb
from genret.errors import GenretError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Index(Verb):
    """Build the trie of the catalog's semantic IDs, which restricts every search to real items.

    Prints the nodes and branching by depth and the size. Writes index/.

    Example: genret index runs/shop
    """

    writes_run: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run, with catalog/ and codes/."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Build the index; return its figures."""
        from genret.data import load_run_data
        from genret.index import TrieIndex
        from genret.tokenizers import load_codes

        run = Run.open(self.run_folder)
        inputs = {kind: run.require(kind).fingerprint for kind in ("catalog", "codes")}
        catalog, _ = load_run_data(run.folder("catalog"))
        semantic_ids = load_codes(run.folder("codes"))
        if len(semantic_ids) != catalog.num_items:
            raise GenretError(
                f"{run.folder('codes')}: holds codes of {len(semantic_ids)} items, expected "
                f"{catalog.num_items} as in the catalog"
            )
        with reporter.stage("index"):
            index = TrieIndex.from_codes(semantic_ids, catalog.item_ids)
            summary = {
                "items": index.num_items,
                "depth": index.depth,
                "codes_per_level": list(index.codes_per_level),
                "nodes": list(index.num_nodes),
                "stored_as": list(index.stored_as),
                "bytes": index.nbytes,
                "bytes_per_item": index.nbytes / index.num_items,
            }
            with write_folder(
                run.folder("index"), "index", inputs=inputs, summary=summary
            ) as folder:
                index.write(folder)
            rows = [
                (level, nodes, children / nodes, kind)
                for level, (nodes, children, kind) in enumerate(
                    zip(index.num_nodes[:-1], index.num_nodes[1:], index.stored_as, strict=True)
                )
            ]
            reporter.table("Trie", ("depth", "nodes", "mean children", "stored as"), rows)
            reporter.say(
                f"{index.num_items:,} items, {index.num_nodes[-1]:,} distinct semantic IDs, "
                f"{index.nbytes:,} bytes ({summary['bytes_per_item']:.1f} an item)"
            )
        fingerprint = read_manifest(run.folder("index"), "index").fingerprint
        return summary | {"fingerprint": fingerprint}
