"""``genret score``: recommend to every user of some files, overnight."""

import dataclasses
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.tables import show_score
from genret.config import EngineConfig, ScoreConfig

REJECTED_STATUS = 3
"""Exit status of a job that finished but rejected some rows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score(Verb):
    """Recommend to every user of some files; write Parquet.

    The histories are Parquet, CSV or JSON lines. A row is either a user with a list of item ids (in
    CSV, separated by spaces) or a single event. Each input file gets one output file. A job that was
    killed continues where it stopped. The exit status is 0 on success, 3 if everything was written
    but some rows were rejected (see rejected.parquet), and 2 for bad input or unreadable files.

    Example: genret score runs/shop --histories "days/*.parquet" --out scores --k 20 --exclude-seen
    """

    computes: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run, with its model."""
    histories: str
    """File, folder or pattern such as "days/*.parquet", also on s3:// or gs://."""
    out: str
    """Folder for the results, also on s3:// or gs://."""
    score: ScoreConfig = ScoreConfig()
    """What is computed."""
    engine: EngineConfig = EngineConfig()
    """Where it is computed."""

    def needs_devices(self) -> bool:
        """Say whether this process needs devices; with Ray its workers do, each one its own."""
        return self.engine.engine == "local"

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Score; return the summary of the manifest, and the exit status."""
        from genret.scoring import score

        with reporter.stage("score"), reporter.counting("users") as advance:
            result = score(
                self.run_folder, self.histories, self.out, self.score, self.engine,
                progress=advance,
            )  # fmt: skip
        show_score(reporter, result, self.out)
        return {
            "out": self.out,
            "fingerprint": result.manifest["fingerprint"],
            "users_scored_now": result.users_scored_now,
            "summary": result.manifest["summary"],
            "exit_status": REJECTED_STATUS if result.rejected else 0,
        }
