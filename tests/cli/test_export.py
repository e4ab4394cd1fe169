"""``genret export`` and ``genret inspect`` of files: what others read, and what theirs is like."""

import json
from pathlib import Path

import numpy as np
import pytest

from genret.data import load_run_data, read_semantic_ids
from genret.hf import load_checkpoint
from genret.tokenizers import load_codes
from tests.cli.conftest import TINY_MODEL, TINY_TRAIN, Command


@pytest.mark.parametrize("style", ["letters", "integers"])
def test_ids_go_out_and_are_inspected(
    style: str, trained_once: Path, tmp_path: Path, genret: Command
) -> None:
    file = tmp_path / "shop.index.json"
    done = genret("export", trained_once, "--ids", file, "--style", style)
    assert done.status == 0, done.err
    codes = load_codes(trained_once / "codes").codes
    ids = load_run_data(trained_once / "catalog")[0].item_ids.tolist()
    np.testing.assert_array_equal(read_semantic_ids(file, ids).codes, codes)

    described = json.loads(genret("inspect", file, "--json").out)
    assert described["kind"] == "semantic_ids"
    assert described["items"] == len(codes)
    leaves = len(np.unique(codes, axis=0))
    assert described["trie"]["leaves"] == described["trie"]["levels"][-1]["nodes"] == leaves
    shown = genret("inspect", file).out
    assert "leaves by number of items" in shown
    assert "collisions" in shown


@pytest.mark.slow
def test_a_model_goes_out(trained: Path, tmp_path: Path, genret: Command) -> None:
    refused = genret("export", trained, "--model", tmp_path / "hf")
    assert refused.status == 2
    assert "is of kind 'item_decoder', expected 'decoder_only'" in refused.err
    assert not (tmp_path / "hf").exists()
    done = genret("train", trained, "--kind", "decoder_only", *TINY_MODEL, *TINY_TRAIN)
    assert done.status == 0, done.err
    done = genret("export", trained, "--model", tmp_path / "hf")
    assert done.status == 0, done.err
    checkpoint = load_checkpoint(tmp_path / "hf")
    assert checkpoint.fields["model_type"] == "qwen3"
    assert set(checkpoint.files) == {"tokenizer.json", "tokenizer_config.json"}
    again = genret("inspect", tmp_path / "hf")
    assert again.status == 0
    assert "hugging_face" in again.out


def test_nothing_to_write_is_refused(trained_once: Path, tmp_path: Path, genret: Command) -> None:
    done = genret("export", trained_once)
    assert done.status == 2
    assert "give --ids FILE, --model FOLDER or --decode FOLDER" in done.err
    done = genret("inspect", tmp_path / "x.json")
    assert done.status == 2
    (tmp_path / "x.json").write_text('{"1": [0.5]}')
    done = genret("inspect", tmp_path / "x.json")
    assert done.status == 2
    assert "found the code '0.5'" in done.err
