"""What a run folder or one of its artifacts is: versions, state, sizes, shapes and figures."""

import json
import math
import struct
from pathlib import Path
from typing import Any

from genret.artifacts import RUN_KINDS, Run, read_manifest, verify_files
from genret.errors import GenretError
from genret.manifest import Manifest
from genret.typing import PathLike


def describe_run(folder: PathLike) -> dict[str, Any]:
    """Verify every artifact of a run and return what they are, as JSON values.

    Args:
      folder: the run folder.

    Returns:
      ``path``, ``kind`` ("run") and ``artifacts``: kind -> what :func:`describe_artifact` returns.

    Raises:
      GenretError: the folder has no artifacts, or a damaged one.
    """
    run = Run.open(folder)
    kinds = [kind for kind in RUN_KINDS if run.has(kind)]
    if not kinds:
        raise GenretError(f"{folder}: is empty, expected a run folder or an artifact's folder")
    artifacts = {kind: describe_artifact(run.folder(kind), kind) for kind in kinds}
    return {"path": str(folder), "kind": "run", "artifacts": artifacts}


def describe_artifact(folder: PathLike, kind: str | None = None) -> dict[str, Any]:
    """Verify an artifact and return what it is, as JSON values.

    Args:
      folder: the artifact's folder.
      kind: the expected kind; None takes any.

    Returns:
      The manifest's fields, and ``path``, ``bytes``, ``state`` ("up to date", or why not) and
      ``shapes`` (file -> what it holds).

    Raises:
      GenretError: there is no artifact, or it is damaged.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, kind)
    verify_files(folder, manifest)
    return {
        "path": str(folder),
        "kind": manifest.kind,
        "format_version": manifest.format_version,
        "genret_version": manifest.genret_version,
        "fingerprint": manifest.fingerprint,
        "seed": manifest.seed,
        "state": _state(folder, manifest),
        "bytes": sum(entry["bytes"] for entry in manifest.files.values()),
        "inputs": dict(manifest.inputs),
        "config": dict(manifest.config),
        "summary": dict(manifest.summary),
        "shapes": _shapes(folder, manifest),
        "files": {name: entry["bytes"] for name, entry in manifest.files.items()},
    }


def _state(folder: Path, manifest: Manifest) -> str:
    """Say whether the artifacts beside this one are those that it was made from."""
    if not manifest.inputs:
        return "up to date"
    parent = folder.resolve().parent
    run = Run(parent.parent if manifest.kind == "live" else parent)
    absent = [kind for kind in manifest.inputs if not run.has(kind)]
    if absent or folder.resolve() != run.folder(manifest.kind):
        return f"unknown: not beside its inputs ({', '.join(absent or manifest.inputs)})"
    try:
        run.require(manifest.kind)
    except GenretError as e:
        return str(e)
    return "up to date"


def _shapes(folder: Path, manifest: Manifest) -> dict[str, str]:
    """Return what each file of a known format holds: types and shapes, read from its header."""
    readers = {
        ".npy": _npy,
        ".parquet": _parquet,
        ".safetensors": _safetensors,
        "zarr.json": _zarr,
    }
    shapes = {}
    for name in manifest.files:
        reader = readers.get(Path(name).suffix) or readers.get(Path(name).name)
        if reader is not None:
            try:
                shapes[name] = reader(folder / name)
            except (ValueError, OSError, KeyError, struct.error) as e:
                raise GenretError(f"{folder / name}: its header cannot be read ({e})") from e
    return shapes


def _npy(file: Path) -> str:
    import numpy as np

    array = np.load(file, mmap_mode="r", allow_pickle=False)
    return f"{array.dtype} {list(array.shape)}"


def _parquet(file: Path) -> str:
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(file)
    rows = pyarrow.parquet.read_metadata(file).num_rows
    return f"{rows} rows: " + ", ".join(f"{field.name} {field.type}" for field in schema)


def _safetensors(file: Path) -> str:
    """Read the JSON header, whose length is the first eight bytes."""
    with file.open("rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    total = sum(math.prod(entry["shape"]) for entry in tensors)
    types = sorted({entry["dtype"] for entry in tensors})
    return f"{len(tensors)} tensors, {total} numbers, {', '.join(types)}"


def _zarr(file: Path) -> str:
    header = json.loads(file.read_text(encoding="utf-8"))
    return f"{header['data_type']} {header['shape']}"
