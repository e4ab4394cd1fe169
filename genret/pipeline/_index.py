"""Stage 4: semantic IDs into the constraint index, ``index/``."""

import shutil
from typing import Any

from genret.artifacts import Run, read_manifest, write_folder
from genret.config import require
from genret.data import load_run_data
from genret.errors import GenretError
from genret.index import TrieIndex
from genret.pipeline._progress import SILENT, Progress
from genret.pipeline._writing import writes_run
from genret.tokenizers import load_codes
from genret.typing import PathLike


@writes_run
def index(run: PathLike, *, progress: Progress = SILENT) -> dict[str, Any]:
    """Build the trie of the semantic IDs of a run, which restricts every search to real items.

    Args:
      run: the run folder, with ``catalog/`` and ``codes/``.
      progress: receives what the stage reports while it runs.

    Returns:
      ``items``, ``depth``, ``codes_per_level``, ``nodes`` and ``stored_as`` by depth, ``bytes``,
      ``bytes_per_item`` and ``fingerprint``.

    Raises:
      GenretError: an artifact that is missing or stale.
    """
    opened = Run.open(run)
    inputs = {kind: opened.require(kind).fingerprint for kind in ("catalog", "codes")}
    catalog, _ = load_run_data(opened.folder("catalog"))
    semantic_ids = load_codes(opened.folder("codes"))
    require(
        len(semantic_ids) == catalog.num_items,
        f"{opened.folder('codes')}: holds codes of {len(semantic_ids)} items, expected "
        f"{catalog.num_items} as in the catalog",
    )
    with progress.stage("index"):
        built = TrieIndex.from_codes(semantic_ids, catalog.item_ids)
        summary = {
            "items": built.num_items,
            "depth": built.depth,
            "codes_per_level": list(built.codes_per_level),
            "nodes": list(built.num_nodes),
            "stored_as": list(built.stored_as),
            "bytes": built.nbytes,
            "bytes_per_item": built.nbytes / built.num_items,
        }
        with write_folder(
            opened.folder("index"), "index", inputs=inputs, summary=summary
        ) as folder:
            built.write(folder)
        _drop_stale_changes(opened, progress)
    return summary | {"fingerprint": read_manifest(opened.folder("index"), "index").fingerprint}


def _drop_stale_changes(run: Run, progress: Progress) -> None:
    """Delete ``live/`` if its items were added to, or removed from, another catalog or other codes."""
    if not run.has("live"):
        return
    try:
        run.require("live")
    except GenretError:
        shutil.rmtree(run.path / "live")
        progress.say(
            "live/ belonged to the catalog before: items that came or went since are not in it"
        )
