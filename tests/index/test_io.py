"""Saving and loading: equal arrays, equal bytes, and damage that is named."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from genret import tensors
from genret.artifacts import MANIFEST, read_manifest, write_folder
from genret.errors import GenretError
from genret.index import ItemFilter, LiveIndex, TrieIndex
from genret.testing import random_codes, tiny_catalog


@pytest.mark.parametrize("kind", ["uniform", "zipf", "duplicates"])
@pytest.mark.parametrize("ids", ["positions", "integers", "strings"])
def test_an_index_comes_back(tmp_path: Path, kind: str, ids: str) -> None:
    codes = random_codes(300, (5, 70_000, 3, 9), kind, seed=2)
    item_ids = {
        "positions": None,
        "integers": np.arange(300) * 2**33,
        "strings": [f"\t{i}é\n" for i in range(300)],
    }[ids]
    index = TrieIndex.from_codes(codes, item_ids, codes_per_level=(5, 70_000, 4, 9))
    index.save(tmp_path / "index")
    again = TrieIndex.load(tmp_path / "index")
    assert jax.tree.structure(again) == jax.tree.structure(index)
    for a, b in zip(jax.tree.leaves(index), jax.tree.leaves(again), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    everything = np.arange(-1, 300)
    assert again.ids_of(everything).tolist() == index.ids_of(everything).tolist()
    # A filter made with the one is good for the other.
    ItemFilter.from_items(index, index.ids_of([3])).check_index(again)


def test_equal_indices_have_equal_fingerprints(tmp_path: Path) -> None:
    codes, ids = tiny_catalog()
    found = []
    for name, some in [("a", codes), ("b", codes.astype(np.int64)), ("c", codes[::-1])]:
        TrieIndex.from_codes(some, ids).save(tmp_path / name)
        found.append(read_manifest(tmp_path / name, "index").fingerprint)
    assert found[0] == found[1] != found[2]


def test_every_damaged_file_is_named(tmp_path: Path) -> None:
    codes, ids = tiny_catalog()
    TrieIndex.from_codes(codes, ids).save(tmp_path / "index")
    files = [p for p in (tmp_path / "index").rglob("*") if p.is_file()]
    assert len(files) > 10
    for file in files:
        whole = file.read_bytes()
        middle = len(whole) // 2
        damaged = {
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "truncated": whole[:middle],
            "missing": None,
        }
        for how, content in damaged.items():
            if file.name == MANIFEST and how == "flipped":
                continue  # free text, the release say, is nobody's checksum
            file.unlink() if content is None else file.write_bytes(content)
            with pytest.raises(GenretError, match=file.name) as raised:
                TrieIndex.load(tmp_path / "index")
            assert "\n" not in str(raised.value)
            file.write_bytes(whole)
    TrieIndex.load(tmp_path / "index")


STRUCTURAL = {
    # tiny_catalog: 6 items, rows of the items 2, 4, 5, 0, 1, 3; their codes at level 0: 0 0 1 2 2 2.
    "a code too large": ("codes/level_00", np.array([0, 0, 1, 2, 2, 3], np.uint8), "found code 3"),
    "rows out of order": (
        "codes/level_00",
        np.array([0, 1, 0, 2, 2, 2], np.uint8),
        "level 0: rows",
    ),
    "a later level": ("codes/level_02", np.array([1, 1, 2, 3, 1, 0], np.uint8), "level 2: rows"),
    "codes of another type": ("codes/level_01", np.array([1, 1, 2, 0, 0, 3]), "codes are int64"),
    "a row too few": ("codes/level_01", np.array([1, 1, 2, 0, 0], np.uint8), r"uint8 \(5,\)"),
    "an item twice": ("positions", np.array([2, 4, 5, 0, 1, 1], np.int32), "no permutation"),
    "an item too large": ("positions", np.array([2, 4, 5, 0, 1, 6], np.int32), "no permutation"),
    "items of a leaf": ("positions", np.array([4, 2, 5, 0, 1, 3], np.int32), "not in their order"),
    "items of another type": ("positions", np.array([2, 4, 5, 0, 1, 3]), "positions are int64"),
    "an item too few": ("positions", np.array([2, 4, 0, 1, 3], np.int32), r"int32 \(5,\)"),
}


@pytest.mark.parametrize("name", STRUCTURAL)
def test_a_wrong_structure_is_refused_even_with_right_checksums(tmp_path: Path, name: str) -> None:
    file, array, message = STRUCTURAL[name]
    index = TrieIndex.from_codes(*tiny_catalog())
    with write_folder(tmp_path / "index", "index") as folder:
        index.write(folder)
        assert (folder / file).is_dir()
        tensors.write_array(folder / file, array)
    with pytest.raises(GenretError, match=message):
        TrieIndex.load(tmp_path / "index")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("items", "six", "does not describe"),
        ("items", 7, "positions are"),
        ("permuted", None, "does not describe"),
        ("end_code", "x", "does not describe"),
        ("codes_per_level", 3, "does not describe"),
        ("codes_per_level", [3, 4, "x"], "does not describe"),
        ("item_ids", "pickled", "does not describe"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, key: str, value: object, message: str) -> None:
    index = TrieIndex.from_codes(*tiny_catalog())
    with write_folder(tmp_path / "index", "index") as folder:
        index.write(folder)
        header = json.loads((folder / "index.json").read_text())
        (folder / "index.json").write_text(json.dumps(header | {key: value}))
    with pytest.raises(GenretError, match=message):
        TrieIndex.load(tmp_path / "index")


def test_an_index_with_changes_is_not_saved(tmp_path: Path) -> None:
    index = LiveIndex(TrieIndex.from_codes([[1, 2], [0, 2]], ["a", "b"]))
    for changed in (index.remove(["a"]), index.insert([[0, 0]], ["c"])):
        with pytest.raises(GenretError, match="before saving"):
            changed.save(tmp_path / "index")
        changed.compact().save(tmp_path / "index")


def test_an_end_code_is_kept(tmp_path: Path) -> None:
    TrieIndex.from_codes([[1, 0, 9], [1, 2, 3]], end_code=0).save(tmp_path / "index")
    again = TrieIndex.load(tmp_path / "index")
    assert again.end_code == 0
    assert again.codes_of([0]).tolist() == [[1, 0, 0]]


def test_another_artifact_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    with write_folder(tmp_path / "codes", "codes"):
        pass
    with pytest.raises(GenretError, match="'codes'"):
        TrieIndex.load(tmp_path / "codes")
    with pytest.raises(GenretError, match="refusing to replace"):
        TrieIndex.from_codes([[1]]).save(tmp_path / "codes")
    with pytest.raises(GenretError, match="no such folder"):
        TrieIndex.load(tmp_path / "nothing")
