"""A row of the table of hostile inputs: what is tried, and what comes of it."""

import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Hostile:
    """One hostile input. The run of the test is ``run``, in the working folder."""

    given: str
    """What is hostile about it, in words."""
    command: str | tuple[str, ...]
    """The words after ``genret``."""
    outcome: str
    """What the line on standard error says after ``genret: error: ``, in part; of status 0, what is
    printed."""
    make: Callable[[Path], object] = lambda folder: None
    """Puts the input into the working folder."""
    status: int = 2

    @property
    def argv(self) -> list[str]:
        """The words of the command."""
        return shlex.split(self.command) if isinstance(self.command, str) else list(self.command)

    def __str__(self) -> str:
        """Return the row: input -> outcome."""
        told = self.outcome if self.status else self.outcome or "works"
        return f"{self.argv[0]}: {self.given} -> {told}"


def text(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Return a function that writes a file."""
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(raw)


def array(name: str, values: object) -> Callable[[Path], object]:
    """Return a function that writes a ``.npy`` file."""
    return lambda folder: np.save(folder / name, np.asarray(values))


def manifest(
    kind: str, edit: Callable[[dict[str, Any]], dict[str, Any]]
) -> Callable[[Path], object]:
    """Return a function that edits the manifest of an artifact of the run."""

    def make(folder: Path) -> object:
        file = folder / "run" / kind / "manifest.json"
        return file.write_text(json.dumps(edit(json.loads(file.read_text()))))

    return make


def both(*makers: Callable[[Path], object]) -> Callable[[Path], object]:
    """Return a function that does all of these."""
    return lambda folder: [make(folder) for make in makers]
