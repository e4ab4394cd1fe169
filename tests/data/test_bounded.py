"""Files that expand to far more than they are, or claim to: one line, and bounded memory."""

import gzip
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from genret.config import IngestConfig
from genret.data import ingest, open_sources, read_semantic_ids
from genret.errors import GenretError
from genret.semantic_ids import SemanticIds, check_code_sizes
from genret.tokenizers.report import code_report

MIB = 1 << 20


def bomb(file: Path, mib: int, filler: bytes = b" ") -> Path:
    """Write a gzip file of many equal members, each of 32 MiB of one byte."""
    member = gzip.compress(filler * (32 * MIB), 9)
    file.write_bytes(gzip.compress(b'{"7": [1,') + member * (mib // 32))
    return file


@pytest.mark.parametrize("name", ["a.inter.json.gz", "a.item.json.gz", "a.inter.json"])
def test_a_small_file_that_expands_to_gigabytes_is_one_line(tmp_path: Path, name: str) -> None:
    file = bomb(tmp_path / name, 5 * 1024)
    assert file.stat().st_size < 6 * MIB
    tracemalloc.start()
    with pytest.raises(GenretError, match=rf"{name}: has more than 64 MiB of text") as caught:
        ingest(file, config=IngestConfig(document_mib=64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert "--document-mib" in str(caught.value)
    assert peak < 100 * MIB


def test_the_limit_holds_for_files_of_items_and_is_exact(tmp_path: Path) -> None:
    log = pa.table({"user": ["a", "a"], "item": ["7", "8"], "time": [1, 2]})
    items = {"7": {"title": "tea"}, "8": {"title": "mug"}}
    file = tmp_path / "a.item.json.gz"
    for more, read in ((0, True), (1, False)):
        text = json.dumps(items).encode()
        file.write_bytes(gzip.compress(text + b" " * (MIB - len(text) + more)))
        if read:
            catalog, _, _ = ingest(log, file, config=IngestConfig(document_mib=1))
            assert sorted(catalog.titles) == ["mug", "tea"]
            continue
        with pytest.raises(GenretError, match=r"a.item.json.gz: has more than 1 MiB"):
            ingest(log, file, config=IngestConfig(document_mib=1))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.gz"])
def test_text_that_is_read_in_a_stream_needs_no_limit(tmp_path: Path, name: str) -> None:
    """A line that never ends is refused, and nothing behind it is held."""
    file = bomb(tmp_path / name, 512, filler=b"1")
    tracemalloc.start()
    with pytest.raises(GenretError, match=rf"{name}: line 1: is longer than 8 MiB"):
        open_sources(file, "interactions")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 * MIB


@pytest.mark.parametrize("limit", [0, -1, 1 << 40])
def test_limits_that_are_none(limit: int) -> None:
    with pytest.raises(GenretError, match="document_mib: found"):
        IngestConfig(document_mib=limit)


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("x.index.json", {"7": [1, 2_000_000_000], "5": [2, 3]}),
        ("x.index.json", {"7": ["<a_1>", "<b_999999999>"], "5": ["<a_2>", "<b_3>"]}),
        ("x.json", [[1, 2_000_000_000], [2, 3]]),
    ],
)
def test_codes_far_above_the_number_of_items_are_refused(
    tmp_path: Path, name: str, codes: object
) -> None:
    file = tmp_path / name
    file.write_text(json.dumps(codes))
    with pytest.raises(GenretError, match=r"level 1: found the code \d+, expected one below 10485"):
        read_semantic_ids(file)


def test_one_code_an_item_is_allowed_for_catalogs_of_any_size() -> None:
    check_code_sizes(np.arange(3_000_000)[:, None], "codes")
    check_code_sizes(np.array([[2**20 - 1]], np.uint32), "codes")
    with pytest.raises(GenretError, match=r"codes\[0, 0\]: found the code 1048576"):
        check_code_sizes(np.array([[2**20]], np.uint64), "codes")


def test_sparse_codes_are_counted_without_a_row_for_each_code() -> None:
    codes = np.array([[2_000_000_000], [5], [5], [0]], np.int64)
    tracemalloc.start()
    (level,) = code_report(SemanticIds.from_codes(codes))["levels"]
    assert tracemalloc.get_traced_memory()[1] < MIB
    tracemalloc.stop()
    assert (level["codes"], level["used"], level["entropy"]) == (2_000_000_001, 3, 1.5)
