"""Every kind of artifact, damaged in every way: one line and status 2, or the same answers."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.artifacts import MANIFEST, RUN_KINDS, Run, read_manifest, verify_files
from genret.cli.main import main
from genret.describe import describe_artifact
from genret.errors import GenretError
from genret.hf import load_checkpoint, save_checkpoint
from genret.manifest import FORMAT_VERSIONS
from genret.training._checkpoint import restore_checkpoint
from genret.training._checkpoint import save_checkpoint as save_training
from tests.cli.conftest import Command
from tests.edits import edits
from tests.hf.conftest import write

SAMPLE, WHOLE = 40, 1000
"""Edits of fields, flips of bytes, and cuts of a manifest, each: of the slow and the exhaustive test."""
BOTH = [
    pytest.param(SAMPLE, marks=pytest.mark.slow),
    pytest.param(WHOLE, marks=pytest.mark.exhaustive),
]


@pytest.fixture(scope="module")
def artifacts(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One artifact of every kind."""
    root = tmp_path_factory.mktemp("artifacts")
    run = Path(shutil.copytree(trained_once, root / "run"))
    items = pq.read_table(run / "catalog" / "items.parquet")["item_id"].to_pylist()
    assert main(["remove-items", str(run), "--ids", str(items[9]), "--json"]) == 0
    found = {kind: Run(run).folder(kind) for kind in RUN_KINDS}
    pq.write_table(
        pa.table({"user": [1, 2], "items": [items[:2], items[2:5]]}), root / "in.parquet"
    )
    options = ("--k", "2", "--beams", "4", "--decode-batch", "2", "--no-all-devices", "--json")
    command = ["score", run, "--histories", root / "in.parquet", "--out", root / "scores", *options]
    assert main([str(a) for a in command]) == 0
    found["scores"] = root / "scores"
    command = ["export", run, "--decode", root / "decode", "--k", "2", "--beams", "4"]
    assert main([*map(str, command), "--platforms", "cpu", "--json"]) == 0
    found["decode"] = root / "decode"
    save_training(root, 3, {"w": jnp.arange(4.0)}, {"data": {"epoch": 1}}, {"width": 8})
    found["checkpoint"] = root / "step-00000003"
    save_checkpoint(root / "hf", load_checkpoint(write(root / "theirs", "qwen3")))
    found["hugging_face"] = root / "hf"
    assert found.keys() == FORMAT_VERSIONS.keys()
    return found


def refused(folder: Path) -> str | None:
    """Read as every reader begins; return the line of the refusal, or None."""
    try:
        verify_files(folder, read_manifest(folder))
    except GenretError as e:
        assert "\n" not in str(e)  # noqa: PT017
        assert len(str(e)) < 1000  # noqa: PT017
        return str(e)
    return None


def damaged_manifests(raw: bytes, count: int) -> Iterator[bytes]:
    """Give edits of fields, flips of bytes, and cut, doubled and emptied texts, at most ``count``."""
    draw = random.Random(0)
    changed = [text.encode() for _, text in edits(json.loads(raw))]
    flips = [(at, mask) for at in range(len(raw)) for mask in (1, 32, 255)]
    cuts = list(range(0, len(raw), 7))
    yield b""
    yield raw + raw
    yield from draw.sample(changed, min(count, len(changed)))
    for at, mask in draw.sample(flips, min(count, len(flips))):
        yield raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]
    for at in draw.sample(cuts, min(count, len(cuts))):
        yield raw[:at]


def same(raw: bytes, text: bytes) -> bool:
    """Say whether two manifests hold the same, spelled in other ways."""
    try:
        fields = [json.dumps(json.loads(t), sort_keys=True) for t in (raw, text)]
    except (ValueError, RecursionError):
        return False
    return fields[0] == fields[1]


@pytest.mark.parametrize("kind", FORMAT_VERSIONS)
@pytest.mark.parametrize("count", BOTH)
def test_damaged_manifests(artifacts: dict[str, Path], kind: str, count: int) -> None:
    folder = artifacts[kind]
    file = folder / MANIFEST
    raw = file.read_bytes()
    assert refused(folder) is None
    tried = accepted = 0
    try:
        for text in damaged_manifests(raw, count):
            file.write_bytes(text)
            line = refused(folder)
            assert (line is None) == same(raw, text), text[:2000]
            tried += 1
            accepted += line is None
    finally:
        file.write_bytes(raw)
    assert tried > 2 * count
    print(f"{kind}: {tried} damaged manifests, {accepted} of them spell the same in another way")


@pytest.mark.parametrize("kind", FORMAT_VERSIONS)
@pytest.mark.parametrize("count", BOTH)
def test_damaged_files(artifacts: dict[str, Path], kind: str, count: int) -> None:
    folder = artifacts[kind]
    draw = random.Random(1)
    names = sorted(read_manifest(folder).files)
    for _ in range(count):
        file = folder / draw.choice(names)
        raw = file.read_bytes()
        changed = bytearray(raw)
        match draw.choice(["flip", "cut", "longer", "gone", "folder", "other"]):
            case "flip" if raw:
                changed[draw.randrange(len(raw))] ^= draw.randrange(1, 256)
                file.write_bytes(changed)
            case "cut" if raw:
                file.write_bytes(raw[: draw.randrange(len(raw))])
            case "gone":
                file.unlink()
            case "folder":
                file.unlink()
                file.mkdir()
            case "other":
                (file.parent / "more.bin").write_bytes(b"")
            case _:
                file.write_bytes(raw + b"\0")
        line = refused(folder)
        (file.parent / "more.bin").unlink(missing_ok=True)
        if file.is_dir():
            file.rmdir()
        file.write_bytes(raw)
        assert line is not None
        assert refused(folder) is None


def restore(folder: Path) -> object:
    like = {"w": jnp.zeros(4)}
    found = restore_checkpoint(folder.parent, like, {"width": 8})
    assert found is not None
    return np.asarray(found[0]["w"]).tolist(), found[1]


READERS: dict[str, Callable[[Path], Any]] = {
    "checkpoint": restore,
    "hugging_face": lambda folder: load_checkpoint(folder).config,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_readers_of_folders_outside_of_runs_verify_them(
    artifacts: dict[str, Path], kind: str
) -> None:
    folder, read = artifacts[kind], READERS[kind]
    before = read(folder)
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        raw = file.read_bytes()
        for at in range(0, len(raw), max(1, len(raw) // 5)):
            file.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
            with pytest.raises(GenretError) as caught:
                read(folder)
            assert "\n" not in str(caught.value)
        file.write_bytes(raw)
    assert read(folder) == before


VERBS = {
    "catalog": ("embed",),
    "vectors": ("tokenize", "--levels", "2", "--codebook-size", "8"),
    "codes": ("index",),
    "index": ("recommend", "--k", "3", "--beams", "6"),
    "model": ("recommend", "--k", "3", "--beams", "6"),
}


@pytest.mark.parametrize("kind", VERBS)
@pytest.mark.parametrize(
    "whole",
    [pytest.param(False, marks=pytest.mark.slow), pytest.param(True, marks=pytest.mark.exhaustive)],
)
def test_verbs_refuse_what_was_damaged(
    genret: Command, trained: Path, kind: str, whole: bool
) -> None:
    """Every file of an artifact, and its manifest, flipped, cut and gone: one line, and nothing written."""
    verb, *options = VERBS[kind]
    written = {p: p.read_bytes() for p in trained.rglob("*") if p.is_file()}
    files = sorted(p for p in (trained / kind).rglob("*") if p.is_file())
    for number, file in enumerate(files):
        raw = file.read_bytes()
        middle = len(raw) // 2
        damages = [raw[:middle], raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :], None]
        if file.name == MANIFEST:
            listed = json.loads(raw)
            damages += [json.dumps(listed | {"files": {}}).encode()]
            damages += [json.dumps(listed | {"summary": {}}).encode(), b"[]", b"{"]
        for damage in damages if whole else damages[number % 3 :: 3]:
            file.unlink() if damage is None else file.write_bytes(damage)
            done = genret(verb, trained, *options)
            assert (done.status, len(done.err.splitlines())) == (2, 1), (file, done.err)
            file.write_bytes(raw)
    assert written == {p: p.read_bytes() for p in trained.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_inspect_describes_every_kind(artifacts: dict[str, Path]) -> None:
    assert {kind: describe_artifact(folder)["kind"] for kind, folder in artifacts.items()} == {
        kind: kind for kind in FORMAT_VERSIONS
    }
