"""Bad inputs of a first hour: exit status 2, one line that names what is wrong, nothing written."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.cli.main import main
from tests.first_hour.shop import COLUMNS, write_items, write_purchases

ITEMS = 40
IDS = [f"SKU-{number:05d}" for number in range(ITEMS)]
VECTORS = np.random.default_rng(0).normal(size=(ITEMS, 4)).astype(np.float32)


class Bad(NamedTuple):
    """One bad input."""

    given: str
    command: str
    says: str
    make: Callable[[Path], object] = lambda folder: None


def new(**values: str) -> Callable[[Path], object]:
    """Return a function that writes two new items, the second one with other values; ``""`` drops."""

    def make(folder: Path) -> object:
        write_items(folder / "new.csv", 900, 2)
        with (folder / "new.csv").open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        rows[1].update({name: value for name, value in values.items() if value})
        kept = [name for name in rows[0] if values.get(name) != ""]
        with (folder / "new.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, kept, extrasaction="ignore")
            writer.writeheader()
            return writer.writerows(rows)

    return make


def without_an_id(folder: Path) -> object:
    new()(folder)
    file = folder / "new.csv"
    return file.write_text(file.read_text(encoding="utf-8").replace("SKU-00901", ""))


def text(name: str, content: str, encoding: str = "utf-8") -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content, encoding=encoding)


def vectors(ids: list[str], values: np.ndarray) -> Callable[[Path], object]:
    return lambda folder: np.savez(folder / "v.npz", ids=ids, vectors=values)


def array(ids: str) -> Callable[[Path], object]:
    def make(folder: Path) -> object:
        np.save(folder / "v.npy", VECTORS)
        return (folder / "ids.txt").write_text(ids)

    return make


def log(change: Callable[[str], str], encoding: str = "utf-8") -> Callable[[Path], object]:
    """Return a function that writes the log with a change."""

    def make(folder: Path) -> object:
        changed = change((folder / "log.csv").read_text(encoding="utf-8"))
        return (folder / "log.csv").write_text(changed, encoding=encoding)

    return make


def columns(**values: list[object]) -> Callable[[Path], object]:
    return lambda folder: pq.write_table(pa.table(values), folder / "v.parquet")


def saved(name: str, values: np.ndarray) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / name, values, allow_pickle=values.dtype == object)


def two_columns(folder: Path) -> object:
    lists = pa.array(VECTORS.tolist())
    return pq.write_table(pa.table({"sku": IDS, "a": lists, "b": lists}), folder / "v.parquet")


LISTS: list[object] = [row.tolist() for row in VECTORS]
INGEST = "ingest other --interactions log.csv --items items.csv"
ADD = "add-items shop --items new.csv"
EMBED = "embed shop --vectors v.npz"
LOG = "customer,sku,bought_at\n"
TABLE = [
    Bad("titles in Latin-1", INGEST, "items.csv",
        text("items.csv", "sku,title\nSKU-00001,Café\n", "latin-1")),
    Bad("an unknown column", f"{INGEST} --item article", "has no column 'article'"),
    Bad("an unknown column of text", f"{INGEST} --text tilte", "has no column 'tilte' (--text)"),
    Bad("times in two forms", f"{INGEST} --time bought_at", "found 'soon'",
        text("log.csv", f"{LOG}c,SKU-00001,2026-10-01T08:00:00Z\nc,SKU-00002,soon\n")),
    Bad("items of another shop", INGEST, "no interactions are left",
        text("items.csv", "sku,title\nX1,a\nX2,b\n")),
    Bad("items without ids", INGEST, "found no column of the item",
        text("items.csv", "title,price\na,1\n")),
    Bad("an array without ids", "embed shop --vectors v.npy", "vectors without ids", array("")),
    Bad("the wrong file of ids", "embed shop --vectors v.npy --ids ids.txt",
        "found 40 vectors and 3 ids", array("SKU-00001\nSKU-00002\nSKU-00003\n")),
    Bad("vectors of other items", EMBED, "is it of another catalog?",
        vectors([f"X{n}" for n in range(ITEMS)], VECTORS)),
    Bad("an item without a vector", EMBED, "has no vectors for 1 of the 40 items",
        vectors(IDS[1:], VECTORS[1:])),
    Bad("an item with two vectors", EMBED, "'SKU-00000' occurs more than once",
        vectors([IDS[0], *IDS], np.concatenate([VECTORS[:1], VECTORS]))),
    Bad("a vector that is not finite", EMBED, "nan",
        vectors(IDS, np.where(np.arange(4) == 2, np.nan, VECTORS))),
    Bad("two columns of vectors", "embed shop --vectors v.parquet", "--vectors-column", two_columns),
    Bad("codes of fewer items", "tokenize shop --codes c.npy", "found 39 rows",
        lambda folder: np.save(folder / "c.npy", np.zeros((39, 2), int))),
    Bad("new items that are known", "add-items shop --items items.csv", "are in the catalog already"),
    Bad("an item twice", ADD, "expected every item once", new(sku="SKU-00900")),
    Bad("an item without an id", ADD, "1 of 2 rows have no item id", without_an_id),
    Bad("a column that is missing", ADD, "has no column 'price', which the catalog has",
        new(price="")),
    Bad("no title", ADD, "has no column of titles", new(title="")),
    Bad("a price in words", ADD, "column 'price': found", new(price="a lot")),
    Bad("stock that is neither yes nor no", ADD, "column 'in_stock': found", new(in_stock="soon")),
    Bad("a date that is none", ADD, "column 'added': found", new(added="2026-02-31")),
    Bad("vectors where texts are read", f"{ADD} --vectors v.npz", "are made of texts", new()),
    Bad("more than there is room for", f"{ADD} --insert-capacity 1", "`genret compact`", new()),
    Bad("an unknown item to remove", "remove-items shop --ids SKU-77777", "'SKU-77777' is not in"),
    Bad("no item to remove", "remove-items shop", "expected --items FILE or --ids"),
    Bad("an unknown tracker", "train shop --log-to mlflow", "--log-to"),
    Bad("no header", INGEST, "has the file no header?", log(lambda rows: rows.split("\n", 1)[1])),
    Bad("a header alone", INGEST, "has a header but no rows", log(lambda rows: LOG)),
    Bad("the files swapped", "ingest other --interactions items.csv --items log.csv",
        "items.csv: found no column of the user"),
    Bad("a workbook", "ingest other --interactions log.xlsx", "unknown format",
        lambda folder: (folder / "log.xlsx").write_bytes(b"PK\x03\x04")),
    Bad("a workbook that is named as text", INGEST, "Excel workbook",
        lambda folder: (folder / "log.csv").write_bytes(b"PK\x03\x04" + bytes(range(256)))),
    Bad("text that is named as gzip", "ingest other --interactions log.csv.gz",
        "its content is not gzip", text("log.csv.gz", LOG)),
    Bad("text that is named as Parquet", "ingest other --interactions log.parquet",
        "cannot be read as Parquet", text("log.parquet", LOG)),
    Bad("a line that is cut off", INGEST, "Expected 3 columns, got 2",
        log(lambda rows: f"{rows}c1,SKU-00001\n")),
    Bad("American dates", INGEST, "found '10/01/2026'",
        log(lambda rows: f"{LOG}c,SKU-00001,10/01/2026\n")),
    Bad("one column as user and item", f"{INGEST} --user sku", "name another with --item"),
    Bad("a column twice", INGEST, "column 'sku' occurs more than once",
        log(lambda rows: rows.replace("customer", "sku", 1))),
    Bad("a run where a file is", "ingest items.csv --interactions log.csv",
        "expected a run folder"),
    Bad("vectors of 0", EMBED, "all 40 items have 0", vectors(IDS, VECTORS * 0)),
    Bad("one vector for all", "embed shop --vectors v.parquet", "have the same vector",
        columns(sku=list(IDS), vector=LISTS[:1] * ITEMS)),
    Bad("vectors of two widths", "embed shop --vectors v.parquet", "has a vector of 3 numbers",
        columns(sku=list(IDS), vector=[*LISTS[1:], [1.0, 2.0, 3.0]])),
    Bad("a missing vector", "embed shop --vectors v.parquet", "has no vector",
        columns(sku=list(IDS), vector=[*LISTS[1:], None])),
    Bad("an archive without ids", EMBED, "expected one of ids",
        lambda folder: np.savez(folder / "v.npz", vectors=VECTORS)),
    Bad("a blank line among ids", "embed shop --vectors v.npy --ids ids.txt", "line 2 is blank",
        array("\n".join(["SKU-00000", "", *IDS[1:]]))),
    Bad("an array of objects", "embed shop --vectors v.npy --ids ids.txt", "holds Python objects",
        saved("v.npy", np.array([{}] * ITEMS, object))),
    Bad("an option of texts beside vectors", f"{EMBED} --text-dim 8", "expected without",
        vectors(IDS, VECTORS)),
    Bad("negative codes", "tokenize shop --codes c.npy", "expected a code of at least 0",
        saved("c.npy", np.full((ITEMS, 2), -1))),
    Bad("codes of other items", "tokenize shop --codes c.json", "are not in the catalog",
        text("c.json", '{"0": ["<a_1>", "<b_2>"]}')),
    Bad("a table to inspect", "inspect items.csv", "expected a run, an artifact or semantic IDs"),
    Bad("an empty file of new items", ADD, "no rows", text("new.csv", f"{','.join(COLUMNS)}\n")),
    Bad("all items to remove", "remove-items shop --items items.csv", "expected some to stay"),
    Bad("a model that is not trained", "recommend shop --history SKU-00001",
        "make it with `genret train shop`"),
    Bad("a recipe that is spelled wrong", "train shop --recipe beuaty", "did you mean 'beauty'?"),
    Bad("steps in words", "train shop --steps many", "expected an integer"),
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of a shop and its run, as far as it needs no training."""
    folder = tmp_path_factory.mktemp("first-hour")
    write_purchases(folder / "log.csv", 30, ITEMS, each=5)
    write_items(folder / "items.csv", 0, ITEMS)
    files = ("--interactions", str(folder / "log.csv"), "--items", str(folder / "items.csv"))
    run = str(folder / "shop")
    for verb, *options in (
        ("ingest", *files, "--time", "bought_at"),
        ("embed", "--text-dim", "8", "--cooccurrence-dim", "0", "--pieces", "200"),
        ("tokenize", "--levels", "2", "--codebook-size", "8"),
        ("index",),
    ):
        assert main([verb, run, "--json", *options]) == 0
    return folder


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.given)
def test_one_line_names_what_is_wrong(
    bad: Bad, shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(shop)
    kept = {name: (shop / name).read_bytes() for name in ("log.csv", "items.csv")}
    before = {path: path.stat().st_mtime_ns for path in (shop / "shop").rglob("*")}
    bad.make(shop)
    capsys.readouterr()
    try:
        assert main(bad.command.split()) == 2
    finally:
        for name, content in kept.items():
            (shop / name).write_bytes(content)
    line = capsys.readouterr().err
    assert line.startswith("genret: ")
    assert line.count("\n") == 1
    assert bad.says in line
    assert len(line) < 400
    after = {path: path.stat().st_mtime_ns for path in (shop / "shop").rglob("*")}
    assert {path for path in after if path not in before} == set()
    assert {path for path in before if path.is_file()} <= after.keys()
    assert not (shop / "other" / "catalog").exists()
