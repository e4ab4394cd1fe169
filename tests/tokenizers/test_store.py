"""The artifact codes/ keeps codes, tokenizer and figures, and refuses what is damaged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genret.artifacts import read_manifest
from genret.config import TokenizeConfig
from genret.errors import GenretError
from genret.tokenizers import RQKMeans, load_codes, load_tokenizer, save_codes

VECTORS = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)


def test_round_trip(tmp_path: Path) -> None:
    tokenizer = RQKMeans.fit(VECTORS, TokenizeConfig(levels=2, codebook_size=4), seed=0)
    codes = tokenizer.encode(VECTORS)
    save_codes(
        tmp_path / "codes", codes, (4, 4), tokenizer=tokenizer, report={"items": 40},
        config={"levels": 2}, seed=0, inputs={"catalog": "0" * 64},
    )  # fmt: skip
    found, sizes = load_codes(tmp_path / "codes")
    np.testing.assert_array_equal(found, codes)
    assert found.dtype == np.int32
    assert sizes == (4, 4)
    np.testing.assert_array_equal(load_tokenizer(tmp_path / "codes").encode(VECTORS), codes)
    manifest = read_manifest(tmp_path / "codes", "codes")
    assert manifest.summary == {"items": 40, "codes_per_level": [4, 4], "report": {"items": 40}}
    assert manifest.inputs == {"catalog": "0" * 64}


def test_ready_codes_have_no_tokenizer(tmp_path: Path) -> None:
    save_codes(tmp_path / "codes", [[0, 1]], (2, 2))
    with pytest.raises(GenretError, match="ready codes and no tokenizer"):
        load_tokenizer(tmp_path / "codes")


@pytest.mark.parametrize(
    ("codes", "message"),
    [([[0, 2]], "the code 2 at level 1"), ([[0.0, 1.0]], "dtype float64"), ([[0]], "1 levels")],
)
def test_bad_codes_are_not_written(tmp_path: Path, codes: Any, message: str) -> None:
    with pytest.raises(GenretError, match=message):
        save_codes(tmp_path / "codes", codes, (2, 2))
    assert not (tmp_path / "codes").exists()


def test_damage_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "codes"
    save_codes(folder, [[0, 1], [1, 0]], (2, 2))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(
        json.dumps(manifest | {"summary": {"codes_per_level": [2, 1]}})
    )
    with pytest.raises(GenretError, match="its fields do not have its checksum"):
        load_codes(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "codes.npy").write_bytes(b"short")
    with pytest.raises(GenretError, match=r"codes\.npy: has 5 bytes"):
        load_codes(folder)
    with pytest.raises(GenretError, match="no such folder"):
        load_codes(tmp_path / "none")
