"""Files about items that are not exactly the catalog's: put in order, counted, refused or allowed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from genret.data import load_run_data
from genret.tokenizers import load_codes
from tests.cli.conftest import Command
from tests.small_run import ITEMS, write_small_run


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("companions") / "run")


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_run, tmp_path / "run"))


def rows_of(count: int) -> tuple[list[str], np.ndarray]:
    """Return ids 1 to ``count``, shuffled, and a row of numbers for each that says which it is."""
    ids = np.random.default_rng(0).permutation(count) + 1
    return [str(i) for i in ids], np.stack([ids % 7, ids // 7], axis=1)


def write(folder: Path, count: int, suffix: str) -> tuple[str, ...]:
    """Write ids and rows as a file and its companion; return the options that name them."""
    ids, rows = rows_of(count)
    if suffix == ".json":
        table = {item: row.tolist() for item, row in zip(ids, rows, strict=True)}
        (folder / "x.json").write_text(json.dumps(table))
        return (str(folder / "x.json"),)
    np.save(folder / "x.npy", rows)
    (folder / "ids.txt").write_text("\n".join(ids) + "\n")
    return (str(folder / "x.npy"), "--ids", str(folder / "ids.txt"))


@pytest.mark.parametrize("suffix", [".json", ".npy"])
def test_codes_of_a_larger_catalog(
    genret: Command, run: Path, tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    command = ("tokenize", run, "--json", "--from", *write(tmp_path, 3 * ITEMS, suffix))
    refused = genret(*command)
    assert (refused.status, len(refused.err.splitlines())) == (2, 1)
    assert f"{2 * ITEMS} of its {3 * ITEMS} items are not in the catalog" in refused.err
    assert "--superset takes a file of a larger catalog" in refused.err
    assert genret(*command, "--superset").status == 0
    catalog, _ = load_run_data(run)
    found = load_codes(run / "codes").codes[:, :2]
    ids = catalog.item_ids.astype(int)
    np.testing.assert_array_equal(found, np.stack([ids % 7, ids // 7], axis=1))


@pytest.mark.parametrize("suffix", [".json", ".npy"])
@pytest.mark.parametrize("more", [(), ("--superset",)])
def test_an_item_without_codes_is_refused_always(
    genret: Command, run: Path, tmp_path: Path, suffix: str, more: tuple[str, ...]
) -> None:
    done = genret("tokenize", run, "--from", *write(tmp_path, ITEMS - 2, suffix), *more)
    assert done.status == 2
    assert f"has no codes for 2 of the {ITEMS} items of the catalog" in done.err


def test_vectors_of_a_larger_catalog(genret: Command, run: Path, tmp_path: Path) -> None:
    command = ("embed", run, "--json", "--vectors", *write(tmp_path, 3 * ITEMS, ".npy"))
    assert "--superset takes a file of a larger catalog" in genret(*command).err
    assert genret(*command, "--superset").status == 0


def test_options_of_companions_go_with_them(genret: Command, run: Path, tmp_path: Path) -> None:
    for words, line in (
        (("tokenize", run, "--superset"), "tokenize: --superset goes with --from"),
        (("tokenize", run, "--ids", "x.txt"), "tokenize: --ids goes with --from"),
        (("embed", run, "--superset"), "embed: --superset goes with --vectors"),
        (
            ("tokenize", run, "--from", *write(tmp_path, ITEMS, ".json"), "--ids", "x.txt"),
            "has ids of its own; leave --ids out",
        ),
    ):
        done = genret(*words)
        assert (done.status, len(done.err.splitlines())) == (2, 1)
        assert line in done.err


def test_items_of_another_shop_are_named(genret: Command, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id\na,x\na,y\nb,x\n")
    (tmp_path / "items.csv").write_text("item_id,title\nB1,Lamp\nB2,Desk\n")
    command = ("ingest", tmp_path / "new", "--interactions", tmp_path / "log.csv")
    done = genret(*command, "--items", tmp_path / "items.csv")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "not in the items files" in done.err
    assert "'x'" in done.err
    assert "'B1'" in done.err
