"""``genret export``: a run in forms that other programs read."""

import dataclasses
from pathlib import Path
from typing import Any

from genret.cli.base import Reporter, RunFolder, Verb
from genret.errors import GenretError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(Verb):
    """Write model, index and beam search as one StableHLO program, for a process with only JAX.

    Example: genret export runs/movielens --decode decode --k 10 --beams 20 --batch 8
    """

    run_folder: RunFolder
    """Folder of the run, with its model."""
    decode: Path | None = None
    """New folder for the program, its arrays, the item ids and a description."""
    k: int = 10
    """Items for each user."""
    beams: int = 50
    """Beams of the search; at least k."""
    batch: int = 1
    """Users of a call."""
    exclude: int = 0
    """Items that each user may exclude; 0: none."""
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu")
    """What to lower for: cpu, cuda, tpu, rocm."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Export; return sizes and shapes."""
        from genret.scoring import export_decode

        if self.decode is None:
            raise GenretError("export: nothing to write: give --decode FOLDER")
        with reporter.stage("export"):
            found = export_decode(
                self.run_folder, self.decode,
                k=self.k, beams=self.beams, batch=self.batch,
                exclude=self.exclude, platforms=self.platforms,
            )  # fmt: skip
        reporter.say(
            f"{self.decode}: program {found.program / 1e6:.1f} MB, arrays {found.arrays / 1e6:.1f} MB, "
            f"for {', '.join(self.platforms)}"
        )
        return dataclasses.asdict(found)
