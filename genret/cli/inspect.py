"""``genret inspect``: what a run folder, one of its artifacts or a file of semantic IDs is."""

import dataclasses
from typing import Any

from genret.artifacts import MANIFEST
from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.tables import show_artifact, show_run, show_semantic_ids
from genret.config import require
from genret.describe import describe_artifact, describe_run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspect(Verb):
    """Say what a run folder or a single artifact is, and whether it is whole and up to date.

    Compares every file with its checksum, then prints kind, versions, fingerprint, inputs,
    configuration, sizes, shapes and figures of quality. For a file of semantic IDs (an index.json
    in any form that tokenize --from reads, or .npy) it prints collisions, branching and leaf sizes.

    Example: genret inspect runs/shop/codes
    """

    path: RunFolder
    """A run folder, the folder of one artifact, or a file of semantic IDs."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Inspect; return the description."""
        if self.path.is_file():
            require(
                self.path.suffix in (".json", ".npy"),
                f"{self.path}: found a file that is neither .json nor .npy, expected a run, an "
                "artifact or semantic IDs",
            )
            from genret.data import read_semantic_ids
            from genret.tokenizers.report import code_report
            from genret.tokenizers.shape import code_shape

            ids = read_semantic_ids(self.path)
            described = {"path": str(self.path), "kind": "semantic_ids", **code_report(ids)}
            described["trie"] = code_shape(ids)
            show_semantic_ids(reporter, described)
        elif (self.path / MANIFEST).is_file():
            described = describe_artifact(self.path)
            show_artifact(reporter, described)
        else:
            described = describe_run(self.path)
            show_run(reporter, described)
        return described
