"""Hostile artifacts, run folders and paths."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.hostile.table import Hostile, both, manifest, text

CODES = "run/codes/manifest.json"


def instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Return a function that puts something else in a file's or folder's place."""

    def put(folder: Path) -> object:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return make(path)

    return put


def recoded(encoding: str) -> Callable[[Path], object]:
    def make(folder: Path) -> object:
        file = folder / CODES
        return file.write_bytes(file.read_text().encode(encoding))

    return make


def swapped(a: str, b: str) -> Callable[[Path], object]:
    def make(folder: Path) -> object:
        (folder / "run" / a).rename(folder / "aside")
        (folder / "run" / b).rename(folder / "run" / a)
        return (folder / "aside").rename(folder / "run" / b)

    return make


def sparse(folder: Path) -> object:
    return os.truncate(folder / "run/model/model.safetensors", 2**40)


ARTIFACTS = [
    Hostile("the manifest is a link to /dev/zero", "inspect run/codes", "run/codes", instead(CODES, lambda p: p.symlink_to("/dev/zero"))),
    Hostile("the manifest is a pipe", "inspect run/codes", "run/codes", instead(CODES, os.mkfifo)),
    Hostile("the manifest is a folder", "index run", "run: has no codes/", instead(CODES, Path.mkdir)),
    Hostile("the manifest is a link to itself", "index run", "run: has no codes/", instead(CODES, lambda p: p.symlink_to(p))),
    Hostile("the manifest in UTF-16", "inspect run", "codes/manifest.json: not valid JSON: not UTF-8", recoded("utf-16")),
    Hostile("the manifest with a byte-order mark", "inspect run/codes", "checksums verified", recoded("utf-8-sig"), status=0),
    Hostile("the manifest of the index in the codes", "inspect run", "run/codes", lambda f: shutil.copy(f / "run/index/manifest.json", f / CODES)),
    Hostile("codes and index have changed places", "inspect run", "run/codes", swapped("codes", "index")),
    Hostile("model and catalog have changed places", "recommend run", "run/", swapped("model", "catalog")),
    Hostile("a format version that is a float", "inspect run", "format_version: found 2.0", manifest("codes", lambda m: m | {"format_version": float(m["format_version"])})),
    Hostile("a file of the manifest by a detour", "inspect run", "files: found 'codes/../", manifest("codes", lambda m: m | {"files": {f"codes/../{name}": e for name, e in m["files"].items()}})),
    Hostile("a fingerprint in capitals", "index run", "fingerprint: found", manifest("codes", lambda m: m | {"fingerprint": m["fingerprint"].upper()})),
    Hostile("codes made from themselves", "inspect run", "inputs: found 'codes'", manifest("codes", lambda m: m | {"inputs": {"codes": m["fingerprint"]}})),
    Hostile("a seed of 2**70", "inspect run", "codes/manifest.json: damaged manifest", manifest("codes", lambda m: m | {"seed": 2**70})),
    Hostile("a file that the manifest does not list", "recommend run", "run/model", text("run/model/more.safetensors", b"")),
    Hostile("a model that claims a tebibyte", "recommend run", "model.safetensors", sparse),
    Hostile("a model that is a link to a copy of itself", "inspect run", "", both(lambda f: shutil.copy(f / "run/model/model.safetensors", f / "copy"), instead("run/model/model.safetensors", lambda p: p.symlink_to("../../copy"))), status=0),
    Hostile("an artifact's folder is a file", "embed run", "run/vectors: is a file, expected a folder", text("run/vectors", "")),
    Hostile("an artifact's folder is a link to somebody's thesis", "embed run", "holds files that genret did not write; refusing to replace it", both(lambda f: (f / "thesis").mkdir(), text("thesis/thesis.tex", "x"), lambda f: (f / "run/vectors").symlink_to("../thesis"))),
    Hostile("the run's lock is a folder", "index run", "run/.lock", lambda f: (f / "run/.lock").mkdir()),
    Hostile("the run's lock is a link to a file of others", "index run", "run/.lock", both(text("hosts", "precious"), lambda f: (f / "run/.lock").symlink_to("../hosts"))),
    Hostile("the run's lock is a pipe", "index run", "run/.lock", lambda f: os.mkfifo(f / "run/.lock")),
    Hostile("a run that is a link to itself", "inspect loop", "loop", lambda f: (f / "loop").symlink_to("loop")),
    Hostile("a path with an escape sequence", ("inspect", "a\nb\x1b[31m"), r"\x1b[31m: no such run folder"),
    Hostile("a path of 5,000 characters", ("inspect", "a" * 5000), "aaaa"),
    Hostile("a path with a null character", ("recommend", "a\0b"), r"a\x00b: no such run folder"),
    Hostile("a path of half a character", ("inspect", "a\udcff"), r"a\xff: no such run folder"),
    Hostile("/proc as a run", "train /proc", "/proc: is neither empty nor a genret run"),
    Hostile("a run within a file", "ingest file/run --synthetic", "file/run", text("file", "")),
    Hostile("a run in /proc", "ingest /proc/run --synthetic", "/proc/run"),
    Hostile("a new run in a folder of other files", "ingest thesis --synthetic", "is neither empty nor a genret run (found 'thesis.tex')", both(lambda f: (f / "thesis").mkdir(), text("thesis/thesis.tex", "x"))),
    Hostile("an empty path", ("inspect", ""), ".: is neither empty nor a genret run"),
]  # fmt: skip
