"""The record of a run: one JSON file with where it ran, its points, its bars and how they are met."""

import json
import os
import platform
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.process import ROOT, Figures, proc
from genret.errors import GenretError
from genret.json_files import read_json

RESULTS = ROOT / "benchmarks" / "results"
KEPT = ("points", "bars", "verdicts")
Points = dict[str, Callable[[], Figures]]
"""What measures each point, by its key."""


def environment() -> Figures:
    """Return the machine, the versions and the commit, as JSON values.

    Call it before measuring: the load is then that of others.
    """
    import jax  # here, so that a process whose memory is measured does not carry it

    describe = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    described = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False)
    named = [n for n in ("genret", "jax", "flax", "numpy", "pyarrow", "libtpu") if find_spec(n)]
    versions = {n: metadata.version(n) for n in named}
    return {
        "commit": described.stdout.strip() or None,
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "flags": os.environ.get("XLA_FLAGS", ""),
        "processor": proc("cpuinfo", "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {"python": platform.python_version(), **versions},
    }


def write_text(path: Path, text: str) -> None:
    """Write a file beside its place and rename it when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.partial")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file in the same way."""
    write_text(path, json.dumps(document, indent=1) + "\n")


class Record:
    """The JSON file of a run, written after each point; without a path it is only held.

    Its ``document`` holds the heading, ``points`` by key, ``bars`` and ``verdicts``. To resume is to keep
    the points that the file holds. ``say`` is called with a line for each point.
    """

    def __init__(
        self,
        path: Path | None,
        heading: Mapping[str, Any],
        *,
        resume: bool = False,
        say: Callable[[str], object] = print,
    ) -> None:
        self.path, self.say = path, say
        self.document: Figures = {**heading, **{part: {} for part in KEPT}}
        self.points: dict[str, Figures] = self.document["points"]
        if resume:
            self._go_on()
        self.write()

    def _go_on(self) -> None:
        if self.path is None:
            raise GenretError("resume: found no file to go on with, expected --json FILE")
        if self.path.is_file():
            before, preset = read(self.path), self.document["preset"]
            if before.get("preset") != preset:
                found = before.get("preset")
                raise GenretError(f"{self.path}: is of preset {found!r}, expected {preset!r}")
            for part in KEPT:
                self.document[part].update(before.get(part, {}))
            self.document["resumed"] = before.get("resumed", 0) + 1

    def has(self, key: str) -> bool:
        """Say whether a point was measured."""
        return "error" not in self.points.get(key, {"error": ""})

    def point(self, key: str, measure: Callable[[], Figures]) -> None:
        """Measure a point, unless a run that was cut off did; of one that fails the error is kept."""
        if self.has(key):
            return
        start = time.perf_counter()
        try:
            figures = measure()
        except Exception as e:  # a point must not take the others with it
            traceback.print_exc()
            figures = {"error": f"{type(e).__name__}: {str(e)[:500]}"}
        self.add(key, figures | {"wall_s": round(time.perf_counter() - start, 1)})
        self.say(f"{key}: {summary(self.points[key])}")

    def add(self, key: str, figures: Figures) -> None:
        """Put a point into the file."""
        self.points[key] = figures
        self.write()

    def write(self) -> None:
        """Write the file."""
        if self.path is not None:
            write_json(self.path, self.document)


def read(path: Path) -> Figures:
    """Read the file of a run; refuse anything else."""
    document = read_json(path)
    if not isinstance(document, dict) or not isinstance(document.get("points"), dict):
        raise GenretError(f"{path}: found no points, expected the JSON of a run")
    for key, point in document["points"].items():
        if not isinstance(point, dict):
            raise GenretError(f"{path}: {key!r} is no point")
    return document


def summary(figures: Mapping[str, Any]) -> str:
    """Say the figures of a point in one line, without lists."""
    said = []
    for name, value in (figures | figures.get("methods", {})).items():
        if isinstance(value, dict) and "ms" in value:
            said.append(f"{name} {value['ms']:.3f} ms")
        elif not isinstance(value, dict | list):
            said.append(f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(said)
