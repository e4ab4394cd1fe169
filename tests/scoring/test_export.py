"""Exported decodes run where there is nothing but jax and numpy, with the answers of the library."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from genret.artifacts import Run, read_manifest, verify_files
from genret.config import EngineConfig, ExportConfig, ScoreConfig
from genret.errors import GenretError
from genret.histories import Histories
from genret.index import FilterStack, ItemFilter, TrieIndex
from genret.recommend import newest_items
from genret.scoring import Scorer, export_decode
from genret.scoring._export import known_items
from genret.scoring._export_filter import FilterBuilder
from genret.testing import random_codes
from tests.small_run import write_small_run

pytest.importorskip(
    "flatbuffers", reason="flatbuffers is not installed: pip install genret[export]"
)
BATCH, ITEMS = 8, 60
HISTORIES = [list(range(3, 3 + 7 * n, 7)) for n in (0, 1, 2, 3, 4, 5, 7, 8)]


class Exported:
    """An exported folder, called with plain arrays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = jax.export.deserialize(bytearray((folder / "decode.stablehlo").read_bytes()))
        arrays = np.load(folder / "arrays.npz")
        self.arrays = [arrays[name] for name in arrays.files]
        self.about = json.loads((folder / "decode.json").read_text())

    def __call__(
        self, histories: list[list[int]], *more: Any, lengths: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        width = self.about["inputs"]["items"][1]
        items = np.full((BATCH, width), -1, np.int32)
        for user, own in enumerate(histories):
            items[user, : len(own)] = own
        if lengths is None:
            lengths = [len(own) for own in histories]
        lengths = np.resize(np.array(lengths, np.int32), BATCH)
        found = self.program.call(self.arrays, items, lengths, *more)
        return np.asarray(found[0]), np.asarray(found[1])


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    out = tmp_path_factory.mktemp("export") / "decode"
    config = ExportConfig(k=4, beams=6, batch=BATCH, history=12, exclude=3, filters=2)
    export_decode(run, out, config)
    return Exported(out)


NOT_EXCLUDED = np.full((BATCH, 3), -1, np.int32)
ALL = np.full((2, -(-ITEMS // 8)), 255, np.uint8)
FIRST = np.zeros(BATCH, np.int32)


def scored(run: Path, histories: list[list[int]]) -> Any:
    config = ScoreConfig(k=4, beams=6, decode_batch=BATCH, exclude_seen=True)
    scorer = Scorer.load(run, config, EngineConfig(all_devices=False, users_per_batch=BATCH))
    return scorer.score(Histories.from_lists(histories))


@pytest.mark.slow
def test_answers_are_those_of_the_library(run: Path, exported: Exported) -> None:
    items, scores = exported(HISTORIES, NOT_EXCLUDED, ALL, FIRST)
    expected = scored(run, HISTORIES)
    np.testing.assert_array_equal(items, expected.items)
    np.testing.assert_allclose(scores, expected.scores, rtol=1e-5)
    assert exported.about["platforms"] == ["cpu", "cuda", "tpu"]


@pytest.mark.slow
def test_what_is_fused_is_exported_and_scored(run: Path, tmp_path: Path) -> None:
    shares = {"dense_share": 0.6, "transitions": 0.3}
    hybrid = write_small_run(tmp_path / "run", dense_head=True, **shares)
    config = ExportConfig(k=4, beams=6, batch=BATCH, history=12, filters=2)
    export_decode(hybrid, tmp_path / "decode", config)
    items, scores = Exported(tmp_path / "decode")(HISTORIES, ALL, FIRST)
    expected = scored(hybrid, HISTORIES)
    np.testing.assert_array_equal(items, expected.items)
    np.testing.assert_allclose(scores, expected.scores, rtol=1e-5)
    assert not np.array_equal(items, scored(run, HISTORIES).items)


@pytest.mark.any_settings
@pytest.mark.slow
def test_exports_under_the_settings_of_the_user(run: Path, tmp_path: Path) -> None:
    config = ExportConfig(k=4, beams=6, batch=BATCH, history=12)
    export_decode(run, tmp_path / "decode", config)
    items, scores = Exported(tmp_path / "decode")(HISTORIES)
    expected = scored(run, HISTORIES)
    np.testing.assert_array_equal(items, expected.items)
    np.testing.assert_allclose(scores, expected.scores, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("unknown", [-1, ITEMS, 10**6, -(2**31)])
def test_rows_out_of_range_are_unknown_items(exported: Exported, unknown: int) -> None:
    more = (NOT_EXCLUDED, ALL, FIRST)
    with_unknown = exported([[1, 2, unknown], [unknown, 5], [unknown]], *more, lengths=[3, 2, 1])
    without = exported([[1, 2], [5], []], *more, lengths=[2, 1, 0])
    np.testing.assert_array_equal(with_unknown[0][:3], without[0][:3])
    np.testing.assert_array_equal(with_unknown[1][:3], without[1][:3])
    last = exported([[1, 2, ITEMS - 1], [ITEMS - 1, 5], [ITEMS - 1]], *more, lengths=[3, 2, 1])
    assert (last[1][:3] != with_unknown[1][:3]).any(axis=1).all()


@pytest.mark.slow
def test_lengths_out_of_range_are_clipped(exported: Exported) -> None:
    more = (NOT_EXCLUDED, ALL, FIRST)
    full = list(range(12))
    over = exported([full, [4]], *more, lengths=[99, -7] + [0] * 6)
    exact = exported([full, []], *more, lengths=[12, 0] + [0] * 6)
    np.testing.assert_array_equal(over[0], exact[0])
    np.testing.assert_array_equal(over[1], exact[1])


@pytest.mark.slow
def test_filters_exclusions_and_seen_items_hold(exported: Exported) -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((2, ITEMS)) < 0.3
    bits = np.packbits(masks, axis=1, bitorder="little")
    filter_of = np.array([0, 1, 0, 1, 0, 1, 2, -1], np.int32)
    excluded = rng.integers(0, ITEMS, (BATCH, 3)).astype(np.int32)
    items, _ = exported(HISTORIES, excluded, bits, filter_of)
    for user in range(6):
        answered = items[user][items[user] >= 0]
        assert masks[filter_of[user]][answered].all()
        assert not set(answered.tolist()) & {*HISTORIES[user], *excluded[user].tolist()}
        assert len(answered) == 4
    assert (items[6:] == -1).all()  # no such filter: nothing is allowed


@pytest.mark.slow
def test_the_example_and_the_readme_need_only_jax_and_numpy(
    exported: Exported, run: Path, tmp_path: Path
) -> None:
    folder = exported.folder
    checked = (
        f"import runpy, sys; sys.argv = ['example.py', *sys.argv[1:]]; "
        f"runpy.run_path({str(folder / 'example.py')!r}, run_name='__main__'); "
        "others = {m.split('.')[0] for m in sys.modules} & {'genret', 'flax', 'pyarrow', 'orbax'}; "
        "assert not others, others"
    )
    ids = json.loads((folder / "item_ids.json").read_text())
    history = [str(ids[3]), "no such item", str(ids[10])]
    done = subprocess.run(
        [sys.executable, "-c", checked, *history],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, unknown, *answers = done.stdout.splitlines()
    assert first == f"history: {' '.join(history)}"
    assert unknown == "unknown, left out: no such item"
    expected = scored(run, [[3, 10]])
    assert [line.split()[1] for line in answers] == [str(ids[row]) for row in expected.items[0]]
    text = (folder / "README.md").read_text(encoding="utf-8")
    for name in [
        *exported.about["inputs"],
        "Items of the history are never answered",
        "example.py",
    ]:
        assert name in text


lists = st.lists(st.integers(-3, 12), max_size=9)


@hypothesis.given(lists, st.integers(-2, 12), st.integers(1, 5))
def test_histories_are_read_as_by_hand(own: list[int], length: int, max_items: int) -> None:
    width, num_items = 9, 10
    padded = jnp.asarray([own + [-1] * (width - len(own))], jnp.int32)
    items, count = known_items(padded, jnp.asarray([length], jnp.int32), num_items)
    expected = [i for i in own[: max(length, 0)] if 0 <= i < num_items]
    assert items[0, : int(count[0])].tolist() == expected
    newest, read = newest_items(items, count, max_items)
    assert newest[0, : int(read[0])].tolist() == expected[-max_items:]
    assert newest.shape == (1, max_items)


@pytest.mark.parametrize("kind", ["uniform", "zipf"])
@pytest.mark.parametrize("sizes", [(4, 300, 8, 8), (40,), (64, 64, 64)])
def test_filters_of_the_device_are_those_of_the_host(kind: str, sizes: tuple[int, ...]) -> None:
    codes = random_codes(200 if len(sizes) > 1 else 40, sizes, kind, seed=1)
    index = TrieIndex.from_codes(codes, codes_per_level=sizes)
    masks = np.random.default_rng(2).random((2, index.num_items)) < [[0.1], [0.7]]
    stack = FilterBuilder.of(index).stack(jnp.asarray(np.packbits(masks, 1, bitorder="little")))
    expected = FilterStack.of(
        index, [ItemFilter.from_mask(index, mask) for mask in [*masks, masks[0] & ~masks[0]]]
    )
    found, wanted = jax.tree.leaves(stack), jax.tree.leaves(expected)
    assert len(found) == len(wanted)
    for own, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(own), np.asarray(other)[:3])


def test_the_files_carry_checksums_that_the_example_compares(
    exported: Exported, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(exported.folder, tmp_path / "out"))
    manifest = read_manifest(out, "decode")
    assert set(manifest.files) >= {"decode.stablehlo", "arrays.npz", "item_ids.json", "decode.json"}
    for name in ("arrays.npz", "decode.stablehlo"):
        verify_files(out, manifest)
        raw = (out / name).read_bytes()
        (out / name).write_bytes(raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:])
        with pytest.raises(GenretError, match=f"{name}: SHA-256 differs"):
            verify_files(out, manifest)
        command = [sys.executable, out / "example.py"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1
        assert f"{name}: SHA-256 differs from manifest.json" in done.stderr.splitlines()[-1]
        (out / name).write_bytes(raw)


def test_bad_arguments_are_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(GenretError, match="beams: found 2, expected at least k, 4"):
        ExportConfig(k=4, beams=2)
    with pytest.raises(GenretError, match="is not empty, expected a new folder"):
        export_decode(run, Run.open(run).path)
    with pytest.raises(GenretError, match="filters: found -1, expected at least 0"):
        ExportConfig(filters=-1)
    with pytest.raises(GenretError, match="platforms"):
        ExportConfig(platforms=("abacus",))
