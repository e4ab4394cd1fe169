"""Every tokenizer of vectors: the protocol, frozen parameters, files, degenerate catalogs."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from genret.config import TOKENIZER_PRESETS as PRESETS
from genret.config import AutoencoderConfig, TokenizeConfig
from genret.errors import GenretError
from genret.tokenizers import Tokenizer, load_tokenizer, save_codes
from genret.tokenizers._fsq import FSQ
from genret.tokenizers._hierarchical import HierarchicalKMeans
from genret.tokenizers._pq import OPQ, PQ
from genret.tokenizers.store import TOKENIZERS

RNG = np.random.default_rng(0)
VECTORS = (RNG.normal(size=(120, 7)) @ RNG.normal(size=(7, 7)) + 3).astype(np.float32)
NEW = (RNG.normal(size=(30, 7)) + 3).astype(np.float32)
NETWORK = AutoencoderConfig(hidden=(12,), latent=4, training_steps=6, training_batch=64)
CONFIG = TokenizeConfig(
    levels=3, codebook_size=6, fsq_levels=(3, 2), iterations=5, autoencoder=NETWORK
)
KINDS = tuple(TOKENIZERS)

KMEANS_AND_VAE = ["rq_kmeans", pytest.param("rq_vae", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    return {kind: cls.fit(VECTORS, CONFIG, 1) for kind, cls in TOKENIZERS.items()}


def standard(tokenizer: Any, vectors: np.ndarray) -> np.ndarray:
    return (vectors.astype(np.float64) - tokenizer.offset) / tokenizer.scale


@pytest.mark.parametrize("kind", KINDS)
def test_the_protocol(fitted: dict[str, Any], kind: str) -> None:
    tokenizer = fitted[kind]
    assert isinstance(tokenizer, Tokenizer)
    assert tokenizer.codes_per_level == (6, 6, 6)
    codes = tokenizer.encode(VECTORS).codes
    assert codes.dtype == np.int32
    assert codes.shape == (120, 3)
    assert ((codes >= 0) & (codes < 6)).all()
    report = tokenizer.report(VECTORS)
    errors = [level["error"] for level in report["levels"]]
    assert 1 > errors[0] > errors[1] > errors[2]
    assert all(level["used"] == 6 for level in report["levels"])
    assert all(level["entropy"] > np.log2(6) / 2 for level in report["levels"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_gets_the_same_code_in_any_company(fitted: dict[str, Any], kind: str) -> None:
    tokenizer = fitted[kind]
    whole = tokenizer.encode(np.concatenate([VECTORS, NEW])).codes
    np.testing.assert_array_equal(tokenizer.encode(NEW).codes, whole[120:])
    np.testing.assert_array_equal(tokenizer.encode(NEW[3:4]).codes, whole[123:124])
    np.testing.assert_array_equal(tokenizer.encode(VECTORS[::-1]).codes, whole[:120][::-1])


@pytest.mark.parametrize("kind", KINDS)
def test_files_round_trip_in_codes(fitted: dict[str, Any], kind: str, tmp_path: Path) -> None:
    tokenizer = fitted[kind]
    semantic_ids = tokenizer.encode(VECTORS)
    assert semantic_ids.codes_per_level == tokenizer.codes_per_level
    codes = semantic_ids.codes
    save_codes(tmp_path / "codes", semantic_ids, tokenizer=tokenizer)
    loaded = load_tokenizer(tmp_path / "codes")
    assert type(loaded) is type(tokenizer)
    np.testing.assert_array_equal(loaded.encode(NEW).codes, tokenizer.encode(NEW).codes)
    for levels in (1, 2, 3):
        np.testing.assert_array_equal(
            loaded.decode(codes[:, :levels]), tokenizer.decode(codes[:, :levels])
        )
    other = next(cls for name, cls in TOKENIZERS.items() if name != kind)
    with pytest.raises(GenretError, match=f"of kind '{kind}', expected"):
        other.load(tmp_path / "codes")


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_bytes(fitted: dict[str, Any], kind: str, tmp_path: Path) -> None:
    for name, tokenizer in (("a", fitted[kind]), ("b", TOKENIZERS[kind].fit(VECTORS, CONFIG, 1))):
        (tmp_path / name).mkdir()
        tokenizer.save(tmp_path / name)
    for file in ("tokenizer.json", "tokenizer.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_refused(fitted: dict[str, Any], kind: str, tmp_path: Path) -> None:
    tokenizer = fitted[kind]
    with pytest.raises(GenretError, match="vectors: found width 3, expected 7"):
        tokenizer.encode(VECTORS[:, :3])
    with pytest.raises(GenretError, match="row 0 holds nan"):
        tokenizer.encode([[np.nan] * 7])
    with pytest.raises(GenretError, match=r"codes\[0, 1\]: found 6, expected a code below 6"):
        tokenizer.decode([[0, 6]])
    with pytest.raises(GenretError, match="found 4 levels, expected 3"):
        tokenizer.decode([[0, 0, 0, 0]])
    tokenizer.save(tmp_path)
    (tmp_path / "tokenizer.safetensors").write_bytes(b"short")
    with pytest.raises(GenretError, match="missing or damaged"):
        TOKENIZERS[kind].load(tmp_path)
    (tmp_path / "tokenizer.json").write_text(f'{{"kind": "{kind}", "width": 7}}')
    with pytest.raises(GenretError, match="missing or damaged"):
        TOKENIZERS[kind].load(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "vectors",
    [
        np.ones((1, 3), np.float32),
        np.full((5, 3), -2.5, np.float32),
        np.repeat(np.eye(3, dtype=np.float32) * 1e-20, 3, axis=0),
        np.array([[1e30, 0, 0], [0, -1e30, 5], [0, 0, 0]], np.float32),
    ],
)
def test_degenerate_catalogs(kind: str, vectors: np.ndarray) -> None:
    tokenizer = TOKENIZERS[kind].fit(vectors, CONFIG, 0)
    codes = tokenizer.encode(vectors).codes
    decoded = tokenizer.decode(codes)
    assert np.isfinite(decoded).all()
    assert decoded.shape == vectors.shape
    for row in vectors:
        assert len(np.unique(codes[(vectors == row).all(axis=1)], axis=0)) == 1


def test_work_is_reported_by_parts() -> None:
    for cls in TOKENIZERS.values():
        done: list[int] = []
        cls.fit(VECTORS[:30], CONFIG, 0, lambda done=done: done.append(1))
        assert len(done) == 3


# Slow twins


def test_product_quantization_equals_its_twin(fitted: dict[str, Any]) -> None:
    for cls in (PQ, OPQ):
        tokenizer = fitted[cls.kind]
        padded = np.pad(standard(tokenizer, NEW), ((0, 0), (0, 2)))  # 7 numbers in 3 parts of 3
        if tokenizer.rotation is not None:
            r = tokenizer.rotation.astype(np.float64)
            np.testing.assert_allclose(r @ r.T, np.eye(9), atol=1e-5)
            padded = padded @ r
        for level in range(3):
            part = padded[:, 3 * level : 3 * level + 3]
            squares = ((part[:, None, :] - tokenizer.books[level][None]) ** 2).sum(axis=2)
            np.testing.assert_array_equal(
                tokenizer.encode(NEW).codes[:, level], squares.argmin(axis=1)
            )


def test_a_rotation_lowers_the_error() -> None:
    rng = np.random.default_rng(3)
    mixing = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    vectors = (rng.normal(size=(400, 8)) * np.logspace(0, -1.5, 8) @ mixing).astype(np.float32)
    config = TokenizeConfig(levels=4, codebook_size=8)
    plain, turned = (cls.fit(vectors, config, 0).report(vectors) for cls in (PQ, OPQ))
    assert turned["levels"][-1]["error"] < 0.8 * plain["levels"][-1]["error"]


def test_the_tree_equals_its_twin(fitted: dict[str, Any]) -> None:
    tokenizer = fitted[HierarchicalKMeans.kind]
    expected = []
    for x in standard(tokenizer, NEW):
        node, row = 0, []
        for start, centroids in zip(tokenizer.starts, tokenizer.centroids, strict=True):
            children = centroids[start[node] : start[node + 1]]
            code = int(((children - x[None, :]) ** 2).sum(axis=1).argmin())
            row.append(code)
            node = start[node] + code
        expected.append(row)
    np.testing.assert_array_equal(tokenizer.encode(NEW).codes, expected)


def test_a_deep_tree_names_every_distinct_vector() -> None:
    config = TokenizeConfig(levels=4, codebook_size=5, iterations=5, balanced=True)
    tokenizer = HierarchicalKMeans.fit(VECTORS, config, 0)
    codes = tokenizer.encode(VECTORS).codes
    assert len(np.unique(codes, axis=0)) == 120
    np.testing.assert_allclose(tokenizer.decode(codes), VECTORS, atol=1e-3)


def test_scalars_are_rounded_as_said(fitted: dict[str, Any]) -> None:
    tokenizer = fitted[FSQ.kind]
    z = np.asarray(tokenizer.network.encode(jnp.asarray(standard(tokenizer, NEW), jnp.float32)))
    u = 1 / (1 + np.exp(-1.702 * (z - tokenizer.mean) / (tokenizer.deviation + 1e-6)))
    counts = np.array([3, 2] * 3)
    digits = np.minimum(np.floor(u * counts), counts - 1).reshape(30, 3, 2).astype(int)
    np.testing.assert_array_equal(tokenizer.encode(NEW).codes, digits[..., 0] + 3 * digits[..., 1])


def test_parts_of_a_vector_cannot_be_more_than_its_numbers() -> None:
    with pytest.raises(GenretError, match="levels: found 3, expected at most the 2 numbers"):
        PQ.fit(VECTORS[:, :2], CONFIG, 0)


def test_balanced_residual_k_means() -> None:
    """Nine vectors in ten lie close together: balanced codes are used alike all the same."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 4)).astype(np.float32) * np.repeat([0.5, 3], [270, 30])[:, None]
    perplexity = {}
    for balanced in (False, True):
        config = TokenizeConfig(levels=2, codebook_size=16, balanced=balanced)
        report = TOKENIZERS["rq_kmeans"].fit(vectors, config, 0).report(vectors)
        perplexity[balanced] = [level["perplexity"] for level in report["levels"]]
    assert min(perplexity[True]) > 12
    assert perplexity[False][0] < 8


@pytest.mark.parametrize("kind", KMEANS_AND_VAE)
def test_normalized_residuals_tell_near_items_apart(kind: str, tmp_path: Path) -> None:
    """Dense clusters among wide ones: divided by their spread, they are cut as finely."""
    rng = np.random.default_rng(0)
    centers, spread = rng.normal(size=(8, 4)), np.logspace(-3, 0, 8)
    cluster = np.repeat(np.arange(8), 40)
    vectors = centers[cluster] + spread[cluster, None] * rng.normal(size=(320, 4)) * 0.3
    distinct = {}
    for normalize in (False, True):
        config = TokenizeConfig(
            levels=3,
            codebook_size=8,
            normalize_residuals=normalize,
            autoencoder=AutoencoderConfig(hidden=(8,), latent=4, training_steps=10),
        )
        tokenizer = TOKENIZERS[kind].fit(vectors, config, 0)
        codes = tokenizer.encode(vectors).codes
        distinct[normalize] = len(np.unique(codes, axis=0))
        tokenizer.save(tmp_path)
        np.testing.assert_array_equal(TOKENIZERS[kind].load(tmp_path).encode(vectors).codes, codes)
        report = tokenizer.report(vectors)
        assert report["levels"][-1]["error"] < 0.1
    assert distinct[True] > 1.5 * distinct[False]


@pytest.mark.parametrize("kind", KMEANS_AND_VAE)
def test_a_local_last_level_tells_pairs_apart(kind: str, tmp_path: Path) -> None:
    """Every vector has a twin a thousandth away: no shared codebook is that fine."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(60, 5))
    vectors = np.concatenate([one, one + 1e-3 * rng.normal(size=one.shape)]).astype(np.float32)
    colliding = {}
    for local in (False, True):
        config = TokenizeConfig(
            levels=3,
            codebook_size=16,
            local_last=local,
            autoencoder=AutoencoderConfig(hidden=(8,), latent=5, training_steps=10),
        )
        tokenizer = TOKENIZERS[kind].fit(vectors, config, 0)
        codes = tokenizer.encode(vectors).codes
        colliding[local] = tokenizer.report(vectors)["collisions_before"]["items"]
        tokenizer.save(tmp_path)
        loaded = TOKENIZERS[kind].load(tmp_path)
        np.testing.assert_array_equal(loaded.encode(vectors).codes, codes)
        np.testing.assert_array_equal(loaded.decode(codes), tokenizer.decode(codes))
        np.testing.assert_array_equal(tokenizer.encode(vectors[7:9]).codes, codes[7:9])
        assert np.isfinite(tokenizer.decode(tokenizer.encode(-vectors).codes)).all()  # new prefixes
    assert 2 * colliding[True] < colliding[False] > 20


def test_presets_are_configurations() -> None:
    assert {"tiger", "recgpt", "rpg", "grid", "lc-rec"} <= set(PRESETS)
    for config in PRESETS.values():
        assert TokenizeConfig.from_dict(config.to_dict()) == config


@pytest.mark.slow
def test_contrast_pulls_items_together_that_occur_together() -> None:
    def agreement(contrast: float, seed: int) -> float:
        rng = np.random.default_rng(seed)
        vectors = rng.normal(size=(64, 8)).astype(np.float32)
        partner = rng.permutation(64).reshape(32, 2)
        pairs = sp.coo_matrix((np.ones(32), partner.T), (64, 64)).tocsr()
        network = AutoencoderConfig(
            hidden=(32,), latent=6, training_steps=300, contrast=contrast, learning_rate=1e-2
        )
        config = TokenizeConfig(levels=2, codebook_size=8, autoencoder=network)
        tokenizer = TOKENIZERS["rq_vae"].fit(vectors, config, 0, pairs=pairs + pairs.T)
        codes = tokenizer.encode(vectors).codes
        return float((codes[partner[:, 0]] == codes[partner[:, 1]]).mean())

    # A training is chaotic: its last bits differ from machine to machine, and so does one agreement.
    without, with_contrast = (
        np.mean([agreement(contrast, seed) for seed in range(3)]) for contrast in (0.0, 1.0)
    )
    assert with_contrast > without + 0.2
