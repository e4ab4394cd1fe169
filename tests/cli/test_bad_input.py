"""Bad input, as a person gives it: exit status 2 and one clear line, and nothing half-written."""

import dataclasses
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import TINY_MODEL, TINY_TRAIN, Command

LOG = "user_id,item_id,timestamp\n"
GOOD = LOG + "".join(f"u{u},i{(u * 3 + t) % 9},{1000 + t}\n" for u in range(8) for t in range(5))
ITEMS = "item_id,title\n" + "".join(f"i{i},Title {i}\n" for i in range(9))


@dataclasses.dataclass(frozen=True)
class Case:
    """One bad input: the files it needs, the command, and what the line must name."""

    name: str
    argv: tuple[str, ...]
    says: tuple[str, ...]
    make: Callable[[Path], None] = lambda folder: None


def text(**files: str) -> Callable[[Path], None]:
    """Return a function that writes files; ``log_csv`` is ``log.csv``."""

    def make(folder: Path) -> None:
        for name, content in files.items():
            (folder / name.replace("_", ".")).write_text(content, encoding="utf-8")

    return make


def raw(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def array(name: str, values: object) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, np.asarray(values))


def vectors(values: np.ndarray) -> Callable[[Path], None]:
    """Return a function that writes an array of vectors and the ids of its rows."""

    def make(folder: Path) -> None:
        np.save(folder / "v.npy", values)
        (folder / "v.json").write_text(str(list(range(len(values)))))

    return make


def table(name: str, **columns: object) -> Callable[[Path], None]:
    return lambda folder: pq.write_table(pa.table(columns), folder / name)


NOISE = np.random.default_rng(0).bytes(50_000)
INGEST = ("ingest", "new", "--interactions", "log.csv")
EMBED = ("embed", "run", "--vectors", "v.npy", "--ids", "v.json")
CODES = ("tokenize", "run", "--codes", "codes.npy")

CASES = [
    Case("empty file", INGEST, ("log.csv", "is empty"), text(log_csv="")),
    Case("header only", INGEST, ("log.csv", "no rows"), text(log_csv=LOG)),
    Case(
        "missing column",
        INGEST,
        ("log.csv", "no column of the item", "'user_id'"),
        text(log_csv="user_id,timestamp\na,1\n"),
    ),
    Case(
        "wrong type",
        INGEST,
        ("log.csv", "'timestamp'", "row 2", "'yesterday'"),
        text(log_csv=LOG + "a,x,3\nb,x,yesterday\n"),
    ),
    Case(
        "nulls everywhere",
        INGEST,
        ("log.csv", "without a user: 1", "without an item: 1", "without a time: 1"),
        text(log_csv=LOG + ",x,1\na,,2\na,x,\n"),
    ),
    Case(
        "a line of 50 MB",
        INGEST,
        ("log.csv", "a line is longer than"),
        raw("log.csv", LOG.encode() + b"a," + b"x" * 50_000_000 + b",1\n"),
    ),
    Case("binary junk as CSV", INGEST, ("log.csv",), raw("log.csv", NOISE)),
    Case(
        "binary junk as Parquet",
        ("ingest", "new", "--interactions", "log.parquet"),
        ("log.parquet", "cannot be read"),
        raw("log.parquet", NOISE),
    ),
    Case(
        "a cut gzip file",
        ("ingest", "new", "--interactions", "log.csv.gz"),
        ("log.csv.gz", "cannot be read"),
        raw("log.csv.gz", gzip.compress(GOOD.encode(), mtime=0)[:-20]),
    ),
    Case(
        "a title that is not UTF-8",
        (*INGEST, "--items", "items.csv"),
        ("items.csv", "UTF8"),
        lambda f: (
            text(log_csv=GOOD)(f),
            raw("items.csv", ITEMS.replace("Title 1", "Caf\xe9").encode("latin-1"))(f),
        )[0],
    ),
    Case(
        "an id with a tab in a TSV file",
        ("ingest", "new", "--interactions", "log.tsv"),
        ("log.tsv", "Expected 3 columns, got 4"),
        text(log_tsv=GOOD.replace(",", "\t").replace("i1\t", "i\t1\t", 1)),
    ),
    Case(
        "a timestamp that is none",
        INGEST,
        ("log.csv row 1: found 'soon'", "'timestamp'", "1 of 2 rows", "--bad-times drop"),
        text(log_csv=LOG + "a,x,soon\na,y,2\n"),
    ),
    Case(
        "a quote that swallows lines of CSV",
        INGEST,
        ("log.csv: line 4: found a quote that neither opens nor closes a field", "on line 3)"),
        text(log_csv=LOG + 'a,x,1\na,"y,2\na,"z,3\n'),
    ),
    Case(
        "a log without a header",
        INGEST,
        ("log.csv: found no column of the user", "has the file no header?"),
        text(log_csv="196,242,3,881250949\n186,302,3,891717742\n"),
    ),
    Case(
        "ids with a space in the log",
        (*INGEST, "--items", "items.csv", "--unknown-items", "error"),
        ("not in the items files", "' i0', say, where the items have 'i0'"),
        text(log_csv=GOOD.replace(",i", ", i"), items_csv=ITEMS),
    ),
    Case(
        "an unknown item in a history",
        (*INGEST, "--items", "items.csv", "--unknown-items", "error"),
        ("item 'i3'", "not in the items files"),
        text(log_csv=GOOD, items_csv=ITEMS.replace("i3,", "j3,")),
    ),
    Case(
        "an unknown title on the command line",
        ("recommend", "run", "--history", "Ünknown Tïtle 東京"),
        ("'Ünknown Tïtle 東京'",),
    ),
    Case("no users", (*INGEST, "--min-user-events", "99"), ("log.csv", "no interactions are left", "users outside the k-core: 8"), text(log_csv=GOOD)),
    Case("one item", INGEST, ("1 item", "at least 2"), text(log_csv=LOG + "a,x,1\nb,x,2\n")),
    Case("NaN vectors", EMBED, ("v.npy", "nan", "row 0"), vectors(np.full((40, 4), np.nan))),
    Case("too few vectors", EMBED, ("v.npy", "39", "40"), vectors(np.ones((39, 4)))),
    Case("vectors of one dimension", EMBED, ("v.npy", "(40,)", "[N, D]"), vectors(np.ones(40))),
    Case("vectors without ids", EMBED[:4], ("v.npy", "without ids", "--ids"), array("v.npy", np.ones((40, 4)))),
    Case(
        "vectors of unequal width",
        ("embed", "run", "--vectors", "v.parquet"),
        ("v.parquet", "item '7'", "4 numbers"),
        table("v.parquet", item_id=[f"{i}" for i in range(40)], v=[[0.0] * (3 + (i == 7)) for i in range(40)]),
    ),
    Case(
        "an item twice in the vectors",
        ("embed", "run", "--vectors", "v.parquet"),
        ("v.parquet",),
        table("v.parquet", item_id=["0"] * 40, v=[[0.0, 1.0]] * 40),
    ),
    Case("codes out of range", CODES, ("codes.npy", "-1"), array("codes.npy", np.full((40, 2), -1))),
    Case("float codes", CODES, ("codes.npy", "float64", "integer"), array("codes.npy", np.ones((40, 2)))),
    Case("ragged codes", CODES, ("codes.npy",), lambda f: np.save(f / "codes.npy", np.array([[1], [1, 2]] * 20, object))),
    Case(
        "ragged codes as JSON",
        ("tokenize", "run", "--codes", "x.index.json"),
        ("x.index.json",),
        lambda f: (f / "x.index.json").write_text(json.dumps({"0": ["<a_1>"], "1": ["<a_1>", "<b_2>"]})) and None,
    ),
    Case(
        "a truncated model",
        ("recommend", "run"),
        ("model/model.safetensors", "bytes"),
        lambda f: os.truncate(f / "run" / "model" / "model.safetensors", 1000),
    ),
    Case(
        "a damaged index",
        ("evaluate", "run"),
        ("index/",),
        lambda f: _damage(f / "run" / "index"),
    ),
    Case("a foreign folder", ("train", "foreign"), ("foreign",), lambda f: ((f / "foreign").mkdir(), (f / "foreign" / "x.txt").write_text("x"))[0]),
    Case("a foreign artifact", ("index", "run"), ("codes",), lambda f: (shutil.rmtree(f / "run/codes"), shutil.copytree(f / "run/vectors", f / "run/codes"))[0]),
    Case("a run folder that is a file", ("train", "file"), ("file",), lambda f: (f / "file").write_text("x") and None),
    Case("a future manifest", ("recommend", "run"), ("codes", "version 99"), lambda f: _edit_manifest(f / "run/codes", format_version=99)),
    Case("a manifest that is no JSON", ("recommend", "run"), ("codes/manifest.json",), lambda f: (f / "run/codes/manifest.json").write_text("{") and None),
    Case("a stale index", ("evaluate", "run"), ("index", "stale", "genret index"), lambda f: _other_codes(f / "run")),
    Case("a stale model", ("recommend", "run"), ("stale",), lambda f: _other_codes(f / "run", "index")),
    Case("an option out of range", ("train", "run", "--steps", "0"), ("steps: found 0",)),
    Case("a tokenizer's preset and an option", ("tokenize", "run", "--preset", "tiger", "--levels", "7"), ("--preset: found with --levels",)),
    Case("ready codes and an option", ("tokenize", "run", "--codes", "x.npy", "--latent", "3", "--collisions", "keep"), ("--codes: found with --latent, expected",)),
    Case("vectors and an option", ("embed", "run", "--vectors", "x.npy", "--text-dim", "3", "--whiten", "0.5"), ("--vectors: found with --text-dim, expected",)),
    Case("synthetic users without synthetic", ("ingest", "new", "--movielens", "--synthetic-users", "3"), ("--synthetic-users goes with --synthetic",)),
    Case("an unknown preset", ("train", "run", "--preset", "huge"), ("'huge'", "tiny")),
    Case("fewer beams than items asked for", ("recommend", "run", "--k", "10", "--beams", "5"), ("beams", "10")),
]  # fmt: skip


def _damage(folder: Path) -> None:
    file = max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def _edit_manifest(folder: Path, **values: object) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def _other_codes(run: Path, *then: str) -> None:
    from genret.cli.main import main

    assert main(["tokenize", str(run), "--json", "--codebook-size", "4"]) == 0
    for verb in then:
        assert main([verb, str(run), "--json"]) == 0


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_clear_line_and_nothing_written(
    case: Case, trained: Path, genret: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parent)
    case.make(trained.parent)
    before = contents(trained.parent)
    done = genret(*case.argv)
    assert done.status == 2, done.err
    (line,) = done.err.splitlines()
    assert line.startswith("genret: error: ")
    for words in case.says:
        assert words in line
    assert len(line) < 600
    assert contents(trained.parent) == before


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Mount a file system of 640 KiB; skipped where that is not allowed."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", str(folder)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("mounting a tmpfs needs privileges that this machine does not give")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(small_disk: Path, genret: Command) -> None:
    done = genret("ingest", small_disk / "run", "--synthetic", "--synthetic-users", "30000")
    assert done.status == 2, done.err
    (line,) = done.err.splitlines()
    assert "No space left on device" in line
    assert not (small_disk / "run" / "catalog").exists()


@pytest.mark.slow
def test_a_disk_that_fills_while_training(small_disk: Path, trained: Path, genret: Command) -> None:
    shutil.rmtree(small_disk / "run", ignore_errors=True)
    for kind in ("catalog", "vectors", "codes"):
        shutil.copytree(trained / kind, small_disk / "run" / kind)
    done = genret("train", small_disk / "run", *TINY_MODEL, *TINY_TRAIN, "--width", "64")
    assert done.status == 2, done.err
    (line,) = done.err.splitlines()
    assert "No space left on device" in line
    assert not (small_disk / "run" / "model").exists()
    assert not list((small_disk / "run" / "checkpoints").glob("*"))


def test_a_read_only_folder(small_disk: Path, genret: Command) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        done = genret("ingest", small_disk / "new", "--synthetic")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert done.status == 2, done.err
    (line,) = done.err.splitlines()
    assert "Read-only file system" in line
    assert "new" in line


def test_a_folder_without_permission(tmp_path: Path, genret: Command) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not hold for root")
    tmp_path.chmod(0o500)
    done = genret("ingest", tmp_path / "new", "--synthetic")
    tmp_path.chmod(0o700)
    assert done.status == 2
    assert "Permission denied" in done.err


@pytest.mark.slow
def test_unicode_titles_and_ids_with_tabs_are_no_faults(tmp_path: Path, genret: Command) -> None:
    text(log_csv=GOOD.replace("i1,", '"i\t1",'))(tmp_path)
    titles = ITEMS.replace("Title 3", "Ünïcode 東京 🎬").replace("i1,", '"i\t1",')
    (tmp_path / "items.csv").write_text(titles, encoding="utf-8")
    run = tmp_path / "run"
    for verb, *options in (
        ("ingest", "--interactions", tmp_path / "log.csv", "--items", tmp_path / "items.csv"),
        ("embed", "--text-dim", "4", "--cooccurrence-dim", "4"),
        ("tokenize", "--levels", "1", "--codebook-size", "4"),
        ("index",),
        ("train", *TINY_MODEL, *TINY_TRAIN),
    ):
        done = genret(verb, run, *options)
        assert done.status == 0, done.err
    done = genret(
        "recommend", run, "--json", "--history", "東京", "i\t1", "--k", "20", "--include-seen"
    )
    found = json.loads(done.out)
    assert [h["item_id"] for h in found["history"]] == ["i3", "i\t1"]
    assert sorted(r["item_id"] for r in found["recommendations"]) == sorted(
        ["i\t1", *(f"i{i}" for i in range(9) if i != 1)]
    )
    assert "Ünïcode 東京 🎬" in {r["title"] for r in found["recommendations"]}


def test_the_program_itself_exits_with_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "genret", "inspect", str(tmp_path / "none")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("genret: error: ")
    assert len(done.stderr.splitlines()) == 1


NEEDED = {"score": ("--histories", "in.parquet", "--out", "scores")}
"""What verbs cannot be parsed without."""


@pytest.mark.parametrize("seed", ["-1", str(2**32), str(10**20)])
@pytest.mark.parametrize(
    "verb",
    [
        "ingest",
        "embed",
        "tokenize",
        "index",
        "train",
        "evaluate",
        "recommend",
        "coldstart",
        "inspect",
        "export",
        "score",
    ],
)
def test_seeds_that_do_not_fit_are_one_line_of_every_verb(
    genret: Command, tmp_path: Path, verb: str, seed: str
) -> None:
    done = genret(verb, tmp_path / "run", *NEEDED.get(verb, ()), "--seed", seed)
    assert (done.status, done.out) == (2, "")
    assert done.err == f"genret: error: --seed: found {seed}, expected 0 to 4294967295 (32 bits)\n"
    assert not (tmp_path / "run").exists()
