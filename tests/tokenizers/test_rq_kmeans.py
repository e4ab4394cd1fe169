"""Residual k-means: a NumPy twin, degenerate catalogs, frozen codebooks, the files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from genret.config import TokenizeConfig
from genret.errors import GenretError
from genret.tokenizers import RQKMeans, Tokenizer
from genret.tokenizers._vector import default_codebook_size

RNG = np.random.default_rng(0)
VECTORS = (RNG.normal(size=(400, 6)) + 3).astype(np.float32)
CONFIG = TokenizeConfig(levels=3, codebook_size=8, iterations=10)


@pytest.fixture(scope="module")
def tokenizer() -> RQKMeans:
    return RQKMeans.fit(VECTORS, CONFIG, seed=1)


def slow_encode(tokenizer: RQKMeans, vectors: np.ndarray) -> np.ndarray:
    """Encode one vector at a time in float64."""
    rows = []
    for vector in vectors.astype(np.float64):
        residual, row = (vector - tokenizer.offset) / tokenizer.scale, []
        for codebook in tokenizer.codebooks:
            code = int(((codebook - residual[None, :]) ** 2).sum(axis=1).argmin())
            residual = residual - codebook[code]
            row.append(code)
        rows.append(row)
    return np.array(rows, np.int32)


def test_encode_and_decode_equal_the_slow_twin(tokenizer: RQKMeans) -> None:
    new = (np.random.default_rng(9).normal(size=(50, 6)) + 3).astype(np.float32)
    codes = tokenizer.encode(new).codes
    assert codes.dtype == np.int32
    np.testing.assert_array_equal(codes, slow_encode(tokenizer, new))
    for levels in (1, 2, 3):
        parts = [tokenizer.codebooks[level][codes[:, level]] for level in range(levels)]
        expected = tokenizer.offset + tokenizer.scale * np.sum(parts, axis=0)
        np.testing.assert_allclose(tokenizer.decode(codes[:, :levels]), expected, atol=1e-5)


def test_it_is_a_semantic_tokenizer(tokenizer: RQKMeans) -> None:
    assert isinstance(tokenizer, Tokenizer)
    assert tokenizer.codes_per_level == (8, 8, 8)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(
    "options",
    [{}, {"balanced": True, "normalize_residuals": True}, {"local_last": True}],
    ids=["plain", "balanced and normalized", "local"],
)
def test_vectors_in_a_file_make_the_codes_of_those_in_memory(
    options: dict[str, bool], dtype: Any, tmp_path: Path
) -> None:
    vectors = (np.random.default_rng(5).normal(size=(700, 6)) + 3).astype(dtype)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    config = TokenizeConfig(levels=3, codebook_size=8, iterations=3, batch_size=256, **options)
    held, read = (RQKMeans.fit(given, config, seed=1) for given in (vectors, mapped))
    for name, array in held._state()[1].items():
        np.testing.assert_array_equal(array, read._state()[1][name], err_msg=name)
    np.testing.assert_array_equal(held.offset, read.offset)
    np.testing.assert_array_equal(read.encode(mapped).codes, held.encode(vectors).codes)
    assert read.report(mapped) == held.report(vectors)


def test_a_bad_vector_in_a_file_is_named(tmp_path: Path) -> None:
    vectors = VECTORS.copy()
    vectors[7, 2] = np.nan
    np.save(tmp_path / "vectors.npy", vectors)
    with pytest.raises(GenretError, match="vectors: row 7 holds nan at position 2"):
        RQKMeans.fit(np.load(tmp_path / "vectors.npy", mmap_mode="r"), CONFIG, seed=0)


def test_each_level_lowers_the_error(tokenizer: RQKMeans) -> None:
    codes = tokenizer.encode(VECTORS).codes
    errors = [((VECTORS - tokenizer.decode(codes[:, :n])) ** 2).sum() for n in (1, 2, 3)]
    total = ((VECTORS - VECTORS.mean(axis=0)) ** 2).sum()
    assert total > errors[0] > errors[1] > errors[2]


def test_new_items_change_nothing(tokenizer: RQKMeans) -> None:
    whole = tokenizer.encode(VECTORS).codes
    np.testing.assert_array_equal(tokenizer.encode(VECTORS[37:38]).codes, whole[37:38])
    np.testing.assert_array_equal(tokenizer.encode(VECTORS[::-1]).codes, whole[::-1])


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_files_round_trip_and_equal_seeds_give_equal_bytes(
    tokenizer: RQKMeans, tmp_path: Path
) -> None:
    for name, again in [("a", tokenizer), ("b", RQKMeans.fit(VECTORS, CONFIG, seed=1))]:
        (tmp_path / name).mkdir()
        again.save(tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    loaded = RQKMeans.load(tmp_path / "a")
    assert loaded.codes_per_level == tokenizer.codes_per_level
    assert loaded.scale == tokenizer.scale
    np.testing.assert_array_equal(loaded.encode(VECTORS).codes, tokenizer.encode(VECTORS).codes)
    other = RQKMeans.fit(VECTORS, CONFIG, seed=2)
    assert (other.encode(VECTORS).codes != tokenizer.encode(VECTORS).codes).any()


@pytest.mark.parametrize("factor", [1e-30, 1e30])
@pytest.mark.parametrize("shift", [0, 1e4])
def test_units_do_not_matter(tokenizer: RQKMeans, factor: float, shift: float) -> None:
    """Vectors far from the origin, tiny or huge: the same groups."""
    # Multiples of 1/64 stay exact under the shift.
    grid = np.round(VECTORS.astype(np.float64) * 64) / 64
    vectors = ((grid + shift) * factor).astype(np.float32)
    found = RQKMeans.fit(vectors, CONFIG, seed=1)
    decoded = found.decode(found.encode(vectors).codes).astype(np.float64) / factor - shift
    assert np.isfinite(decoded).all()
    error = ((grid - decoded) ** 2).sum() / ((grid - grid.mean(axis=0)) ** 2).sum()
    assert error < 0.25


@settings(max_examples=30)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.just(2)),
        elements=st.integers(-5, 5).map(float),
    ),
    st.integers(1, 3),
    st.sampled_from([0, 2, 8]),
)
def test_small_and_degenerate_catalogs(vectors: np.ndarray, levels: int, size: int) -> None:
    """One item, duplicates, constant vectors, more codes than items."""
    config = TokenizeConfig(levels=levels, codebook_size=size, iterations=20)
    tokenizer = RQKMeans.fit(vectors, config, seed=0)
    codes = tokenizer.encode(vectors).codes
    assert codes.shape == (len(vectors), levels)
    assert (codes < np.array(tokenizer.codes_per_level)).all()
    assert (codes >= 0).all()
    assert np.isfinite(tokenizer.decode(codes)).all()
    for row in vectors:
        equal = (vectors == row).all(axis=1)
        assert len(np.unique(codes[equal], axis=0)) == 1
    distinct = np.unique(vectors, axis=0)
    if len(distinct) <= tokenizer.codes_per_level[0]:
        assert len(np.unique(codes, axis=0)) == len(distinct)
        np.testing.assert_allclose(tokenizer.decode(codes), vectors, atol=1e-3)


def test_levels_are_reported_as_they_finish() -> None:
    done: list[int] = []
    RQKMeans.fit(VECTORS, CONFIG, seed=1, advance=lambda: done.append(len(done)))
    assert done == [0, 1, 2]


NAN = float("nan")


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0, 2, 3, 4, 5, NAN]], "vectors: row 0 holds nan at position 5"),
        ([[0.0] * 6, [float("inf")] * 6], "vectors: row 1 holds inf"),
        ([[1.0], [1.0, 2.0]], "rows of different lengths"),
        ([1.0, 2.0], r"found shape \(2,\)"),
        (np.zeros((0, 3)), r"found shape \(0, 3\)"),
        ([["a"]], "found dtype <U1"),
        ([[True]], "found dtype bool"),
        ([[1j]], "found dtype complex128"),
        ([[None]], "found dtype object"),
    ],
)
def test_bad_vectors_are_refused(tokenizer: RQKMeans, vectors: Any, message: str) -> None:
    with pytest.raises(GenretError, match=message):
        RQKMeans.fit(vectors, CONFIG, seed=0)
    with pytest.raises(GenretError, match=message):
        tokenizer.encode(vectors)


def test_another_width_is_refused(tokenizer: RQKMeans) -> None:
    with pytest.raises(GenretError, match="vectors: found width 5, expected 6"):
        tokenizer.encode(VECTORS[:, :5])


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0, 0, 8]], r"codes\[0, 2\]: found 8, expected a code below 8"),
        ([[0, -1, 0]], r"codes\[0, 1\]: found -1"),
        ([[0.0, 1.0, 2.0]], "found dtype float64, expected integers"),
        ([[0, 0, 0, 0]], "found 4 levels, expected 3"),
        ([0, 1], r"found shape \(2,\)"),
        ([[0], [0, 1]], "rows of different lengths"),
    ],
)
def test_bad_codes_are_refused(tokenizer: RQKMeans, codes: Any, message: str) -> None:
    with pytest.raises(GenretError, match=message):
        tokenizer.decode(codes)


def edit_header(folder: Path, **changes: Any) -> None:
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_arrays(folder: Path, **changes: np.ndarray) -> None:
    file = folder / "tokenizer.safetensors"
    save_file(load_file(file) | changes, file)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "tokenizer.json").unlink(), "missing or damaged"),
        (lambda f: (f / "tokenizer.json").write_text("["), "missing or damaged"),
        (lambda f: (f / "tokenizer.json").write_text("[]"), "missing or damaged"),
        (lambda f: edit_header(f, kind="fsq"), "found a tokenizer of kind 'fsq'"),
        (lambda f: edit_header(f, width=7), "found arrays"),
        (lambda f: edit_header(f, codes_per_level=[8, 8]), "found arrays"),
        (lambda f: edit_header(f, codes_per_level=3), "missing or damaged"),
        (lambda f: (f / "tokenizer.safetensors").unlink(), "missing or damaged"),
        (lambda f: (f / "tokenizer.safetensors").write_bytes(b"junk"), "missing or damaged"),
        (lambda f: edit_arrays(f, offset=np.full(6, np.nan, np.float32)), "finite"),
    ],
)
def test_damaged_files_are_refused(
    tokenizer: RQKMeans, tmp_path: Path, damage: Any, message: str
) -> None:
    tokenizer.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(GenretError, match=message):
        RQKMeans.load(tmp_path)


def test_default_codebook_size() -> None:
    sizes = {n: default_codebook_size(n, 3) for n in (1, 20, 100, 1682, 2420, 12101, 10**7)}
    assert sizes == {1: 2, 20: 8, 100: 16, 1682: 32, 2420: 64, 12101: 256, 10**7: 256}
    assert default_codebook_size(10**7, 1) == 256
    assert default_codebook_size(1682, 4) == 32
