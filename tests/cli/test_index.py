"""``genret index`` on a small run: what it writes and prints, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from genret.artifacts import Run
from genret.cli.base import Reporter
from genret.cli.index import Index
from genret.cli.ingest import Ingest
from genret.config import SourceConfig
from genret.data import load_run_data
from genret.errors import GenretError
from genret.index import TrieIndex
from genret.semantic_ids import SemanticIds
from genret.testing import random_codes
from genret.tokenizers import save_codes

ITEMS = 90


def index_verb(run: Path) -> dict:
    return Index(run_folder=run).run(Reporter(as_json=True))


def put_codes(run: Path, num_items: int = ITEMS, seed: int = 0) -> np.ndarray:
    codes = random_codes(num_items, (8, 6, 5), "duplicates", seed=seed)
    inputs = {"catalog": Run.open(run).require("catalog").fingerprint}
    save_codes(
        run / "codes", SemanticIds.from_codes(codes, codes_per_level=(8, 6, 5)), inputs=inputs
    )
    return codes


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    Ingest(
        run_folder=folder,
        source=SourceConfig(synthetic=True, synthetic_users=30, synthetic_items=ITEMS),
    ).run(Reporter(as_json=True))
    return folder


def test_the_index_holds_the_catalog(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = put_codes(run)
    figures = Index(run_folder=run).run(Reporter())
    index = TrieIndex.load(run / "index")
    catalog, _ = load_run_data(run / "catalog")
    assert index.ids_of(np.arange(ITEMS)).tolist() == catalog.item_ids.tolist()
    distinct = [len(np.unique(codes[:, :level], axis=0)) for level in (1, 2, 3)]
    assert figures["nodes"] == [1, *distinct]
    assert figures["bytes"] == index.nbytes
    assert figures["codes_per_level"] == [8, 6, 5]
    assert set(Run.open(run).require("index").inputs) == {"catalog", "codes"}
    printed = capsys.readouterr().out
    assert f"{distinct[-1]} distinct semantic IDs" in printed
    assert f"{index.nbytes:,} bytes" in printed


def test_equal_codes_give_equal_fingerprints(run: Path) -> None:
    put_codes(run)
    first = index_verb(run)["fingerprint"]
    assert index_verb(run)["fingerprint"] == first
    put_codes(run, seed=1)
    with pytest.raises(GenretError, match=r"index: stale: made from codes/"):
        Run.open(run).require("index")
    assert index_verb(run)["fingerprint"] != first


def test_missing_and_foreign_codes_are_named(run: Path) -> None:
    with pytest.raises(GenretError, match="has no codes/; make it with `genret tokenize"):
        index_verb(run)
    put_codes(run, num_items=ITEMS - 1)
    with pytest.raises(GenretError, match=f"codes of {ITEMS - 1} items, expected {ITEMS}"):
        index_verb(run)
    assert not (run / "index").exists()
