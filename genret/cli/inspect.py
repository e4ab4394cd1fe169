"""``genret inspect``: what a run folder or one artifact of it is."""

import dataclasses
import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genret.artifacts import (
    MANIFEST,
    RUN_KINDS,
    Manifest,
    Run,
    read_manifest,
    verify_files,
)
from genret.cli.base import Reporter, RunFolder, Verb
from genret.errors import GenretError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspect(Verb):
    """Say what a run folder or a single artifact is, and whether it is whole and up to date.

    Prints kind, versions, fingerprint, inputs, configuration, sizes, shapes and figures of quality,
    after comparing every file with its checksum. Of a file of semantic IDs (index.json of any of the
    forms that tokenize --from takes, or .npy): collisions, branching and leaf sizes.

    Example: genret inspect runs/shop/codes
    """

    path: RunFolder
    """A run folder, the folder of one artifact, or a file of semantic IDs."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Inspect; return the description."""
        if self.path.is_file():
            return _inspect_codes(self.path, reporter)
        if (self.path / MANIFEST).is_file():
            described = describe(self.path)
            _show_artifact(reporter, described)
            return described
        run = Run.open(self.path)
        kinds = [kind for kind in RUN_KINDS if run.has(kind)]
        if not kinds:
            raise GenretError(
                f"{self.path}: is empty, expected a run folder or an artifact's folder"
            )
        artifacts = {kind: describe(run.folder(kind), kind) for kind in kinds}
        _show_run(reporter, run, artifacts)
        return {"path": str(self.path), "kind": "run", "artifacts": artifacts}


def describe(folder: Path, kind: str | None = None) -> dict[str, Any]:
    """Verify an artifact and return what it is, as JSON values.

    Args:
      folder: the artifact's folder.
      kind: the expected kind; None takes any.

    Returns:
      The manifest's fields, and ``path``, ``bytes``, ``state`` ("up to date", or why not) and
      ``shapes`` (file -> what it holds).

    Raises:
      GenretError: no artifact there, or a damaged one.
    """
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


def _inspect_codes(file: Path, reporter: Reporter) -> dict[str, Any]:
    """Describe a file of semantic IDs."""
    from genret.data import read_semantic_ids
    from genret.tokenizers import code_report, code_shape

    found = read_semantic_ids(file)
    report, shape = code_report(found), code_shape(found)
    reporter.table(
        f"{file}: {len(found):,} items",
        ("level", "codes", "used", "perplexity", "nodes", "children", "most", "one child"),
        [
            (
                level, own["codes"], own["used"], f"{own['perplexity']:.1f}", trie["nodes"],
                f"{trie['children']:.1f}", trie["most_children"], f"{trie['one_child']:.1%}",
            )
            for level, (own, trie) in enumerate(
                zip(report["levels"], shape["levels"], strict=True)
            )
        ],
    )  # fmt: skip
    collisions = report["collisions_after"]
    reporter.say(
        f"collisions: {collisions['items']:,} items share their codes with another one, in "
        f"{collisions['groups']:,} groups (at most {collisions['largest']:,} together)"
    )
    sizes_shown = ", ".join(f"{size}: {count:,}" for size, count in shape["leaf_sizes"].items())
    reporter.say(f"leaves by number of items: {sizes_shown}")
    return {"path": str(file), "kind": "semantic_ids", **report, "trie": shape}


def _state(folder: Path, manifest: Manifest) -> str:
    """Say whether the artifacts that lie beside this one are those that it was made from."""
    if not manifest.inputs:
        return "up to date"
    run = Run(folder.resolve().parent)
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


def _show_artifact(reporter: Reporter, described: Mapping[str, Any]) -> None:
    rows = [
        (name.replace("_", " "), _text(described[name]))
        for name in ("kind", "state", "format_version", "genret_version", "fingerprint", "seed")
    ]
    rows.append(("size", _size(described["bytes"])))
    for part in ("inputs", "config", "summary", "shapes"):
        rows += [(f"{part}: {name}", text) for name, text in _flat(described[part])]
    reporter.table(f"{described['path']} (checksums verified)", ("what", "value"), rows)


def _show_run(reporter: Reporter, run: Run, artifacts: Mapping[str, Mapping[str, Any]]) -> None:
    rows = []
    for kind in RUN_KINDS:
        if kind not in artifacts:
            rows.append((kind, "not there", "", "", ""))
            continue
        a = artifacts[kind]
        figures = ", ".join(
            f"{name} {_text(value)}" for name, value in a["summary"].items() if _short(value)
        )
        rows.append((kind, a["state"], _size(a["bytes"]), a["fingerprint"][:12], figures))
    columns = ("artifact", "state", "size", "fingerprint", "figures")
    reporter.table(f"{run.path}: a run (checksums verified)", columns, rows)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Give nested figures as dotted names and texts; a list of records as one line each."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for i, record in enumerate(value, 1):
                text = ", ".join(f"{key} {_text(v)}" for key, v in record.items())
                yield f"{prefix}{name} {i}", text
        else:
            yield prefix + name, _text(value)


def _short(value: Any) -> bool:
    """Tell figures from records and lists of words, which are shown for one artifact only."""
    if isinstance(value, list):
        return all(isinstance(v, int | float) for v in value)
    return not isinstance(value, dict)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
