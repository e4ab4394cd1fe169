"""The artifact codes/ keeps codes, tokenizer and figures, and refuses what is damaged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genret.artifacts import read_manifest, write_folder
from genret.config import TokenizeConfig
from genret.errors import GenretError
from genret.semantic_ids import SemanticIds
from genret.tokenizers import RQKMeans, load_codes, load_tokenizer, save_codes

VECTORS = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)


def test_round_trip(tmp_path: Path) -> None:
    tokenizer = RQKMeans.fit(VECTORS, TokenizeConfig(levels=2, codebook_size=4), seed=0)
    codes = tokenizer.encode(VECTORS)
    save_codes(
        tmp_path / "codes", codes, tokenizer=tokenizer, report={"items": 40},
        config={"levels": 2}, seed=0, inputs={"catalog": "0" * 64},
    )  # fmt: skip
    found = load_codes(tmp_path / "codes")
    np.testing.assert_array_equal(found.codes, codes.codes)
    assert found.codes.dtype == np.int32
    assert found.codes_per_level == (4, 4)
    again = load_tokenizer(tmp_path / "codes").encode(VECTORS)
    np.testing.assert_array_equal(again.codes, codes.codes)
    manifest = read_manifest(tmp_path / "codes", "codes")
    assert manifest.summary == {
        "items": 40, "codes_per_level": [4, 4], "end_code": None, "report": {"items": 40},
    }  # fmt: skip
    assert "semantic_ids.json" in manifest.files
    assert manifest.inputs == {"catalog": "0" * 64}


def test_ready_codes_have_no_tokenizer(tmp_path: Path) -> None:
    save_codes(tmp_path / "codes", SemanticIds.from_codes([[0, 1]]))
    with pytest.raises(GenretError, match="ready codes and no tokenizer"):
        load_tokenizer(tmp_path / "codes")


def test_end_code_and_counts_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    rows = [[1, 0], [2, 1]]
    fingerprints = set()
    for options in ({}, {"end_code": 0}, {"codes_per_level": (4, 2)}):
        save_codes(tmp_path / "codes", SemanticIds.from_codes(rows, **options))
        found = load_codes(tmp_path / "codes")
        assert found.end_code == options.get("end_code")
        assert found.codes_per_level == options.get("codes_per_level", (3, 2))
        fingerprints.add(read_manifest(tmp_path / "codes", "codes").fingerprint)
    assert len(fingerprints) == 3


def write_with(folder: Path, header: dict[str, Any]) -> None:
    """Write codes/ with another header."""
    with write_folder(folder, "codes") as scratch:
        SemanticIds.from_codes([[0, 1], [1, 0]]).save(scratch)
        (scratch / "semantic_ids.json").write_text(json.dumps(header))


def test_damage_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "codes"
    header = {"items": 2, "codes_per_level": [2, 1], "end_code": None, "item_ids": "positions"}
    write_with(folder, header)
    with pytest.raises(GenretError, match=r"codes\.npy\[0, 1\]: found 1, expected a code below 1"):
        load_codes(folder)
    write_with(folder, {})
    with pytest.raises(GenretError, match="does not describe semantic IDs"):
        load_codes(folder)
    (folder / "codes.npy").write_bytes(b"short")
    with pytest.raises(GenretError, match=r"codes\.npy: has 5 bytes"):
        load_codes(folder)
    with pytest.raises(GenretError, match="no such folder"):
        load_codes(tmp_path / "none")
