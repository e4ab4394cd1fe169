"""``genret coldstart``: new items stay out of all that is learnt; the second time nothing is made."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from genret.data import load_run_data
from genret.tokenizers import load_codes, load_tokenizer
from tests.cli.conftest import Command

OPTIONS = ("--fractions", "0.2", "--steps", "2", "--beams", "10")


@pytest.mark.slow
def test_the_newest_items_are_asked_for(trained: Path, genret: Command) -> None:
    done = genret("coldstart", trained, *OPTIONS, "--json")
    assert done.status == 0, done.err
    (share,) = json.loads(done.out)["shares"]
    run = trained / "coldstart" / "newest-20pct"
    cold = np.load(run / "catalog" / "cold_items.npy")
    catalog, histories = load_run_data(run)
    assert share["items"] == len(cold) == round(0.2 * catalog.num_items)
    assert not np.isin(histories.training().items, cold).any()
    held_out = histories.held_out("test")
    assert share["users"] == len(held_out) > 0
    assert np.isin(held_out.targets, cold).all()
    assert share["random"]["recall@1"]["mean"] == 1 / len(cold)
    assert share["constrained"]["recall@10"]["mean"] == 1.0
    assert "time of their first event" in share["rule"]
    # The codes of new items are those of the frozen tokenizer.
    codes = load_codes(run / "codes").codes
    vectors = np.load(run / "vectors" / "vectors.npy")
    np.testing.assert_array_equal(load_tokenizer(run / "codes").encode(vectors).codes, codes)

    files = [*run.rglob("manifest.json")]
    stamps = [file.stat().st_mtime_ns for file in files]
    assert json.loads(genret("coldstart", trained, *OPTIONS, "--json").out)["shares"] == [share]
    assert [file.stat().st_mtime_ns for file in files] == stamps, "made again"
    shutil.rmtree(run / "reports")
    assert json.loads(genret("coldstart", trained, *OPTIONS, "--json").out)["shares"] == [share]
    printed = genret("coldstart", trained, *OPTIONS).out
    assert "unconstrained" in printed
    assert "ratio" in printed


def test_bad_input(trained: Path, genret: Command) -> None:
    done = genret("coldstart", trained, "--fractions", "1.5")
    assert done.status == 2
    assert "fractions: found 1.5" in done.err
    shutil.rmtree(trained / "model")
    done = genret("coldstart", trained)
    assert done.status == 2
    assert "has no model/" in done.err
