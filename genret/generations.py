"""Generations of an artifact: numbered folders side by side, of which the newest one counts.

What is replaced in place is gone for a moment. Where a reader would take its absence for an answer,
the next generation is written beside the last one instead: it counts from the moment at which it
has its name, so that a process that is killed leaves either the old generation or the new one.
"""

import re
import shutil
from pathlib import Path

_NAME = re.compile(r"[0-9]{6,}")
_KEPT = 2
"""Generations that stay: the newest one, and the one that a reader may have begun to read."""


def newest(folder: Path) -> Path | None:
    """Return the newest generation in a folder; None: there is none.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("000001", "000010", ".000011.partial"):
    ...         Path(folder, name).mkdir()
    ...     newest(Path(folder)).name, following(Path(folder)).name
    ('000010', '000011')
    """
    return max(_all(folder), key=_number, default=None)


def following(folder: Path) -> Path:
    """Return where the next generation goes."""
    last = newest(folder)
    return folder / f"{1 if last is None else _number(last) + 1:06d}"


def drop_older(folder: Path) -> None:
    """Delete all generations but the newest two."""
    for path in sorted(_all(folder), key=_number)[:-_KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def _all(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]


def _number(path: Path) -> int:
    return int(path.name)
