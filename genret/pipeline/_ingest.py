"""Stage 1: interactions and items into ``catalog/``."""

from typing import Any

from genret.artifacts import Run, read_manifest, write_folder
from genret.config import ColumnsConfig, IngestConfig
from genret.data import IngestReport
from genret.data import ingest as read_files
from genret.pipeline._progress import SILENT, Progress
from genret.pipeline._writing import makes_run
from genret.typing import PathLike


@makes_run
def ingest(
    run: PathLike,
    interactions: Any,
    items: Any = None,
    *,
    columns: ColumnsConfig | None = None,
    config: IngestConfig | None = None,
    seed: int | None = None,
    progress: Progress = SILENT,
) -> tuple[IngestReport, str]:
    """Read interactions and items into the catalog and the histories of a run.

    Args:
      run: the run folder; made where there is none.
      interactions: files or tables, see :func:`genret.data.ingest`.
      items: files or tables of the items; None: the items are those seen.
      columns: which columns mean what.
      config: the rules.
      seed: the seed that generated data came from, for the manifest.
      progress: receives what the stage reports while it runs.

    Returns:
      What every rule dropped or changed, and the fingerprint of ``catalog/``.

    Raises:
      GenretError: input that is missing, unreadable or inconsistent.
    """
    columns, config = columns or ColumnsConfig(), config or IngestConfig()
    opened = Run.open(run, create=True)
    with progress.stage("ingest"):
        catalog, histories, report = read_files(
            interactions, items, columns=columns, config=config, scratch=opened.path
        )
        made_with = {
            "columns": columns.to_dict(),
            "rules": config.to_dict(),
            "files": list(report.files),
        }
        with write_folder(
            opened.folder("catalog"),
            "catalog",
            config=made_with,
            seed=seed,
            summary=report.to_dict(),
        ) as folder:
            catalog.save(folder)
            histories.save(folder)
            report.save(folder)
    return report, read_manifest(opened.folder("catalog"), "catalog").fingerprint
