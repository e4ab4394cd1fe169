"""What the programs share: where a figure was measured, and how it is written."""

import json
import operator
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def environment() -> dict[str, Any]:
    """Return the machine, the versions and the commit, as JSON values.

    To be called before measuring: the load is then that of others.
    """
    # Here, so that a process whose memory is measured does not carry it.
    import jax

    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "commit": described.stdout.strip() or None,
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "flags": os.environ.get("XLA_FLAGS", ""),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in ("genret", "jax", "flax", "numpy", "pyarrow")}
        | ({"libtpu": metadata.version("libtpu")} if find_spec("libtpu") else {}),
    }


def judge(value: float, bar: float, *, at_most: bool = False) -> dict[str, Any]:
    """Return a figure beside the bar that it should reach, and whether it does."""
    met = (operator.le if at_most else operator.ge)(value, bar)
    return {"value": value, "bar": bar, "at_most": at_most, "met": bool(met)}


def sentence(name: str, judged: Mapping[str, Any]) -> str:
    """Say a figure of :func:`judge` in one line."""
    relation = "at most" if judged["at_most"] else "at least"
    verdict = "met" if judged["met"] else "MISSED"
    digits = 2 if abs(judged["bar"]) >= 0.5 else 4
    return f"{name}: {judged['value']:.{digits}f}, bar {relation} {judged['bar']:.4g}: {verdict}"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file beside its place and rename it when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.partial")
    scratch.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    scratch.replace(path)


def peak_gib() -> float:
    """Return the most memory that this process has held so far, in GiB."""
    # Linux lets a process inherit ru_maxrss from the one that started it; VmHWM is its own.
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def available_gib() -> float:
    """Return the memory that is free for a new process, in GiB; infinite where nobody says."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float("inf")
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
