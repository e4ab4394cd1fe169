"""The first hour of a new user, command by command, in an environment of its own."""

import csv
import json
import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.first_hour.shop import write_items, write_purchases

ROOT = Path(__file__).parents[2]
ITEMS, USERS = 3000, 400


class Terminal:
    """Runs ``genret`` as a user does, in a folder and an environment of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=False)
        site = sysconfig.get_path("purelib", vars={"base": str(folder / "venv")})
        # The libraries are those of this environment, and genret is the checkout's.
        for package, source in (("genret", "genret"), ("genret_kernels", "kernels")):
            Path(site, package).symlink_to(ROOT / source)
        Path(site, "libraries.pth").write_text(str(Path(np.__file__).parents[1]), encoding="utf-8")

    def python(self, *argv: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run Python with some arguments."""
        kept = {"JAX_COMPILATION_CACHE_DIR": str(self.folder / "programs")}
        done = subprocess.run(
            [str(self.folder / "venv" / "bin" / "python"), *map(str, argv)],
            cwd=self.folder, capture_output=True, text=True, timeout=300, check=False,
            env=os.environ | kept | {"COLUMNS": "200"},
        )  # fmt: skip
        assert done.returncode == status, done.stderr[-3000:]
        return done

    def genret(self, *argv: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a verb."""
        return self.python("-m", "genret", *argv, status=status)

    def answers(self, *argv: object) -> list[dict[str, object]]:
        """Return what ``genret recommend`` answers."""
        done = self.genret("recommend", "shop", "--json", *argv)
        return list(json.loads(done.stdout)["recommendations"])


def read_items(file: Path) -> dict[str, dict[str, str]]:
    """Return the rows of items by their ids."""
    with file.open(encoding="utf-8") as stream:
        return {row["sku"]: row for row in csv.DictReader(stream)}


@pytest.mark.slow
def test_the_first_hour(tmp_path: Path) -> None:
    user = Terminal(tmp_path)
    write_purchases(tmp_path / "log.csv", USERS, ITEMS)
    write_items(tmp_path / "items.csv", 0, ITEMS)
    rows = read_items(tmp_path / "items.csv")

    # Two commands to the first recommendation; the first one says what it took for what.
    files = ("--interactions", "log.csv", "--items", "items.csv")
    said = user.genret("ingest", "shop", *files, "--time", "bought_at").stdout
    for part in (
        "user = customer", "item = sku", "time = bought_at (dates, UTC)", "text = title, category",
        "conditions = in_stock", "numbers = price", "dates = added",
    ):  # fmt: skip
        assert part in said, said
    user.genret("embed", "shop", "--text-dim", "24", "--cooccurrence-dim", "0", "--pieces", "600")
    user.genret("tokenize", "shop", "--levels", "2", "--codebook-size", "64")
    user.genret("index", "shop")
    tiny = ("--width", "16", "--layers", "1", "--heads", "2", "--kv-heads", "2", "--head-dim", "8")
    told = user.genret(
        "train", "shop", *tiny, "--steps", "20", "--eval-users", "20", "--batch-size", "16"
    )
    assert "validation NDCG@10" in told.stdout
    lines = (tmp_path / "shop/model/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["step"] == 20
    assert "first_time 2026-10-01 08:00:00 (UTC)" in user.genret("inspect", "shop").stdout
    assert "genret.Recommender.load" in (tmp_path / "shop/README.md").read_text(encoding="utf-8")

    # Tonight's items, by the run's own embedder; some leave again; a condition holds for all answers.
    write_items(tmp_path / "tonight.csv", 5000, 30)
    assert "items added now" in user.genret("add-items", "shop", "--items", "tonight.csv").stdout
    again = user.genret("add-items", "shop", "--items", "tonight.csv", status=2).stderr
    assert "30 of its 30 items are in the catalog already" in again
    user.genret("remove-items", "shop", "--ids", "SKU-05003", "SKU-00020")
    rows |= read_items(tmp_path / "tonight.csv")
    asked = ("--history", "calm lamp 0", "SKU-05004", "--k", "30", "--beams", "100", "--where")
    where = "item_id >= 'SKU-02950' and in_stock and price < 120 and added >= '2026-03-01'"
    meets = {
        sku for sku, row in rows.items()
        if sku >= "SKU-02950" and row["in_stock"] == "yes" and float(row["price"]) < 120
        and row["added"] >= "2026-03-01"
    } - {"SKU-05003", "SKU-05004"}  # fmt: skip
    found = user.answers(*asked, where)
    assert len(found) == min(30, len(meets))
    assert {str(one["item_id"]) for one in found} <= meets
    assert any(str(one["item_id"]) >= "SKU-05000" for one in found)
    user.genret("compact", "shop")
    scores = {one["item_id"]: one["score"] for one in found}
    compacted = {one["item_id"]: one["score"] for one in user.answers(*asked, where)}
    assert compacted == pytest.approx(scores, abs=1e-3)

    # A batch job over fifty users, in stock alone.
    with (tmp_path / "log.csv").open(encoding="utf-8") as stream:
        (tmp_path / "fifty.csv").write_text("".join(stream.readlines()[:501]), encoding="utf-8")
    user.genret(
        "score", "shop", "--histories", "fifty.csv", "--out", "scores", "--k", "5",
        "--user", "customer", "--where", "in_stock", "--exclude-seen",
    )  # fmt: skip
    (file,) = (tmp_path / "scores" / "scores").glob("*.parquet")
    scored = pq.read_table(file).to_pylist()
    assert len({row["user"] for row in scored}) == 50
    listed = {str(row["item"]) for row in scored}
    stock = {row["sku"] for row in rows.values() if row["in_stock"] == "yes"}
    assert listed
    assert listed <= stock - {"SKU-05003", "SKU-00020"}
