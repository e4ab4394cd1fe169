"""Every loss against a slow NumPy twin, and through the model and the loop."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.config import ItemDecoderConfig, TrainConfig
from genret.data.pipeline import TrainingBatches
from genret.errors import GenretError
from genret.histories import Histories
from genret.models import build_model
from genret.semantic_ids import SemanticIds
from genret.training import (
    LegalCodes,
    Objective,
    code_nll,
    gbce_nll,
    mean_by_level,
    sampled_nll,
    train,
)
from genret.training._apao import (
    adapt_weights,
    draw_pairs,
    pairwise_losses,
    pointwise_losses,
)

SIZES = (5, 40, 3)
"""The second level needs two words of bits."""


def catalog(items: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, v, items) for v in SIZES], axis=1).astype(np.int32)


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return x - x.max() - np.log(np.exp(x - x.max()).sum())


@settings(max_examples=20, deadline=None)
@given(items=st.sampled_from([1, 7, 30]), seed=st.integers(0, 99))  # few shapes to compile
def test_legal_codes_are_those_of_a_dictionary(items: int, seed: int) -> None:
    codes = catalog(items, seed)
    legal = LegalCodes.of(SemanticIds.from_codes(codes, codes_per_level=SIZES))
    rows = np.arange(items)[None]
    masks = [np.asarray(mask)[0] for mask in legal.at(jnp.asarray(rows))]
    certain = np.asarray(legal.is_certain(jnp.asarray(rows)))[0]
    for item, level in np.ndindex(items, len(SIZES)):
        prefix = codes[item, :level]
        below = codes[(codes[:, :level] == prefix).all(axis=1), level]
        assert certain[item, level] == (len(set(below)) == 1)
        expected = set() if certain[item, level] else set(below)
        assert set(np.flatnonzero(masks[level][item])) == expected


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("over", ["level", "legal"])
def test_cross_entropy_equals_its_numpy_twin(over: str, smoothing: float) -> None:
    rng = np.random.default_rng(0)
    codes = catalog(12)
    items = rng.integers(0, 12, (2, 5))
    logits = [rng.normal(size=(2, 5, v)).astype(np.float32) * 30 for v in SIZES]
    targets = rng.random((2, 5)) < 0.6
    total = np.zeros(len(SIZES))
    for (b, t), level in (
        (where, k) for where in zip(*np.nonzero(targets), strict=True) for k in range(3)
    ):
        own = codes[items[b, t]]
        compete = np.arange(SIZES[level])
        if over == "legal":
            compete = np.unique(codes[(codes[:, :level] == own[:level]).all(axis=1), level])
        log_p = log_softmax(logits[level][b, t][compete])
        chosen = log_p[np.searchsorted(compete, own[level])]
        total[level] -= (1 - smoothing) * chosen + smoothing * log_p.mean()
    wanted = codes[items]
    wanted[~targets] = 99  # padding may hold anything
    allowed, certain = None, np.zeros((2, 5, 3), bool)
    if over == "legal":
        legal = LegalCodes.of(SemanticIds.from_codes(codes, codes_per_level=SIZES))
        allowed, certain = legal.at(jnp.asarray(items)), legal.is_certain(jnp.asarray(items))
    nll = code_nll(
        tuple(map(jnp.asarray, logits)), jnp.asarray(wanted), allowed=allowed, smoothing=smoothing
    )
    found = mean_by_level(jnp.where(certain, 0.0, nll), jnp.asarray(targets))
    np.testing.assert_allclose(found, total / targets.sum(), rtol=1e-5)
    nothing = mean_by_level(nll, jnp.zeros((2, 5), bool))
    assert nothing.tolist() == [0.0, 0.0, 0.0]


def test_sampled_softmax_equals_the_full_one_on_average() -> None:
    """The mean of many samples' denominators is that of the level; one code is never its own rival."""
    rng = np.random.default_rng(1)
    logits, shares = rng.normal(size=40), rng.dirichlet(np.ones(40))
    sample = rng.choice(40, 400_000, p=shares)
    expected = np.log(len(sample) * shares[sample])
    nll = sampled_nll(
        jnp.full((1, 1), logits[7], jnp.float32),
        jnp.asarray(logits[sample], jnp.float32)[None, None],
        jnp.full((1, 1), 7),
        jnp.asarray(sample),
        jnp.asarray(expected, jnp.float32),
    )
    np.testing.assert_allclose(float(nll[0, 0]), -log_softmax(logits)[7], atol=0.02)
    alone = sampled_nll(
        jnp.ones((1, 1)), jnp.ones((1, 1, 3)), jnp.full((1, 1), 7), jnp.full(3, 7), jnp.zeros(3)
    )
    assert float(alone[0, 0]) == 0.0


def test_apao_equals_its_numpy_twin() -> None:
    rng = np.random.default_rng(2)
    nll = rng.random(3)
    expected = [nll[: m + 1].sum() / (m + 1) for m in range(3)]
    np.testing.assert_allclose(pointwise_losses(jnp.asarray(nll)), expected, rtol=1e-6)

    scores = -rng.random((4, 6, 3))
    codes = rng.integers(0, 2, (4, 6, 3))
    present = np.array([True, True, False, True])
    losses = np.zeros((4, 3))
    for b, m in np.ndindex(4, 3):
        sums = scores[b, :, : m + 1].sum(axis=1)
        own = codes[b, 0, : m + 1]
        rivals = [j for j in range(1, 6) if (codes[b, j, : m + 1] != own).any()]
        losses[b, m] = -np.log(np.exp(sums[0]) / (np.exp(sums[0]) + np.exp(sums[rivals]).sum()))
    found = pairwise_losses(jnp.asarray(scores), jnp.asarray(codes), jnp.asarray(present))
    np.testing.assert_allclose(found, losses[present].mean(axis=0), rtol=1e-5)
    gradient = jax.grad(
        lambda s: pairwise_losses(s, jnp.asarray(codes), jnp.asarray(present)).sum()
    )(jnp.asarray(scores))
    assert np.isfinite(gradient).all()

    weights = np.array([0.2, 0.3, 0.5])
    moved = weights * np.exp(0.7 * np.asarray(found))
    np.testing.assert_allclose(
        adapt_weights(jnp.asarray(weights), found, 0.7), moved / moved.sum(), rtol=1e-5
    )


def test_pairs_are_a_target_of_each_row_and_the_history_before_it() -> None:
    codes = catalog(12)
    histories = Histories(offsets=np.array([0, 3, 9, 13]), items=np.arange(13) % 12)
    config = TrainConfig(batch_size=3)
    batch = next(iter(TrainingBatches(histories, config, max_items=6, seed=0)))
    batch = {name: jnp.asarray(np.pad(x, ((0, 1), (0, 0)))) for name, x in batch.items()}
    seen = set()
    for seed in range(20):
        pairs = draw_pairs(jax.random.key(seed), batch, jnp.asarray(codes), negatives=4)
        past, lengths, found, present = (
            pairs.history.codes, pairs.history.lengths, pairs.codes, pairs.present,
        )  # fmt: skip
        assert found.shape == (len(batch["items"]), 5, 3)
        assert present.tolist() == (batch["segments"].max(axis=1) > 0).tolist()
        for row in np.flatnonzero(present):
            length = int(lengths[row])
            chain = [*past[row, :length].tolist(), found[row, 0].tolist()]
            starts = [
                at
                for at in range(batch["items"].shape[1] - length)
                if batch["segments"][row, at] == batch["segments"][row, at + length] > 0
                and batch["positions"][row, at] == 0
                and codes[batch["items"][row, at : at + length + 1]].tolist() == chain
            ]
            assert starts, (row, length)
            seen.add((int(row), length))
    assert len(seen) > 8


MODEL = ItemDecoderConfig(
    codes_per_level=SIZES, width=16, heads=2, kv_heads=2, head_dim=8, mlp_dim=16, layers=1,
    max_items=6, dropout=0.0,
)  # fmt: skip
BASE = TrainConfig(
    steps=12, batch_size=6, learning_rate=0.02, warmup=0.1, log_every=4, apao_negatives=5,
    sampled_codes=16,
)  # fmt: skip
LOSSES: dict[str, dict[str, Any]] = {
    "level": {},
    "vocabulary": {"loss": "vocabulary", "label_smoothing": 0.1},
    "legal": {"loss": "legal", "label_smoothing": 0.1, "apao": "pointwise"},
    "sampled": {"loss": "sampled", "level_weights": (2.0, 1.0, 0.5)},
    "popular": {"loss": "sampled", "sampled_from": "popularity", "apao": "pointwise"},
    "pairwise": {"apao": "pairwise", "apao_rate": 0.1},
}


def histories() -> Histories:
    """Return histories in which item i is followed by i + 1 (mod 12)."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 10, 30)
    runs = [(rng.integers(12) + np.arange(n)) % 12 for n in lengths]
    return Histories.from_lists(runs)


def loss_of(name: str, packing: Any = "pack", **changes: Any) -> tuple[float, list[float]]:
    """Return the loss of the first batch, and the weights of the prefixes after it."""
    config = dataclasses.replace(BASE, **LOSSES[name], packing=packing)
    model = build_model(dataclasses.replace(MODEL, **changes), 0)
    codes, events = catalog(12), histories()
    ids = SemanticIds.from_codes(codes, codes_per_level=SIZES)
    objective = Objective.of(config, ids, events.item_counts(12))
    batch = next(iter(TrainingBatches(events, config, max_items=6, seed=0)))
    loss, weights = objective(
        model, jax.tree.map(jnp.asarray, batch), objective.first_weights, jax.random.key(0)
    )
    return float(loss), weights.tolist()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("item_decoder", "legal"),
        ("decoder_only", "vocabulary"),
        *(
            pytest.param(kind, name, marks=pytest.mark.slow)
            for kind, names in (
                ("item_decoder", ("level", "vocabulary", "sampled", "popular", "pairwise")),
                ("decoder_only", ("sampled", "pairwise")),
                ("encoder_decoder", ("legal", "pairwise")),
                ("one_pass", ("legal",)),
                ("rpg", ("level",)),
            )
            for name in names
        ),
    ],
)
def test_models_learn_with_every_loss(kind: Any, name: str) -> None:
    config = dataclasses.replace(BASE, **LOSSES[name])
    if kind == "encoder_decoder":  # T5's vectors start large
        config = dataclasses.replace(config, learning_rate=0.005)
    model = build_model(MODEL.as_kind(kind), 0)
    result = train(
        model,
        SemanticIds.from_codes(catalog(12), codes_per_level=SIZES),
        histories(),
        config,
        max_items=6,
    )
    assert result.losses[-1] < result.losses[0]


@pytest.mark.any_settings
@pytest.mark.parametrize(
    ("kind", "name", "dtype"),
    [
        ("item_decoder", "legal", "float32"),
        *(
            pytest.param(kind, name, dtype, marks=pytest.mark.slow)
            for kind, names, dtype in (
                ("item_decoder", ("popular", "pairwise", "vocabulary"), "bfloat16"),
                ("decoder_only", ("sampled", "pairwise"), "float32"),
                ("encoder_decoder", ("legal",), "float32"),
                ("one_pass", ("legal",), "float32"),
                ("rpg", ("level",), "bfloat16"),
                ("sasrec", ("level", "sampled"), "float32"),
            )
            for name in names
        ),
    ],
)
def test_training_under_the_settings_of_the_user(kind: Any, name: str, dtype: Any) -> None:
    config = dataclasses.replace(BASE, **LOSSES[name], steps=2, log_every=1)
    codes, sizes = catalog(12), SIZES
    if kind == "sasrec":  # has one level: the items
        codes, sizes = np.arange(12)[:, None], (12,)
        config = dataclasses.replace(config, level_weights=())
    shape = MODEL.as_kind(kind, dtype=dtype, codes_per_level=sizes, dropout=0.1)
    result = train(
        build_model(shape, 0),
        SemanticIds.from_codes(codes, codes_per_level=sizes),
        histories(),
        config,
        max_items=6,
    )
    assert np.isfinite(result.losses).all()


@pytest.mark.slow
def test_losses_of_one_batch_agree_where_they_must() -> None:
    level, same = loss_of("level")
    assert same == pytest.approx([1 / 3] * 3)
    uniform = sum(np.log(v) for v in SIZES)
    assert abs(level - uniform) < 1.5
    legal, _ = loss_of("legal")
    assert legal < level  # fewer codes compete
    vocabulary, _ = loss_of("vocabulary")
    assert vocabulary > level  # more codes compete
    _, weights = loss_of("pairwise")
    assert sum(weights) == pytest.approx(1.0)
    assert weights != pytest.approx([1 / 3] * 3, abs=1e-3)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(
        GenretError, match=r"level_weights: found 2, expected one for each of the 3"
    ):
        Objective.of(TrainConfig(level_weights=(1.0, 1.0)), SemanticIds.from_codes(catalog(4)))
    with pytest.raises(GenretError, match=r"label_smoothing: found 1\.0, expected 0 or more"):
        TrainConfig(label_smoothing=1.0)
    with pytest.raises(GenretError, match="label_smoothing: found with loss 'sampled'"):
        TrainConfig(loss="sampled", label_smoothing=0.1)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce_equals_its_numpy_twin(calibration: float) -> None:
    rng = np.random.default_rng(1)
    count, sample = 40, np.array([3, 7, 7, 21, 0])
    logits = 4 * rng.normal(size=(2, 3, count)).astype(np.float32)
    codes = rng.choice([7, 21, 5], (2, 3))
    own = np.take_along_axis(logits, codes[..., None], axis=2)[..., 0]
    given_ = (own, logits[:, :, sample], codes.astype(np.int32), sample)
    found = gbce_nll(*map(jnp.asarray, given_), count, calibration)
    alpha = 5 / 39
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    for place in np.ndindex(2, 3):
        sigmoid = 1 / (1 + np.exp(-logits[place].astype(np.float64)))
        others = sum(np.log(1 - sigmoid[j]) for j in sample if j != codes[place])
        wanted = -beta * np.log(sigmoid[codes[place]]) - others
        np.testing.assert_allclose(found[place], wanted, rtol=1e-4)


@pytest.mark.parametrize(("negatives", "smoothing"), [(0, 0.0), (6, 0.0), (12, 0.2), (6, 0.2)])
def test_the_dense_head_equals_its_numpy_twin(negatives: int, smoothing: float) -> None:
    """Items that training never saw do not compete; a sample is corrected by how often it is drawn."""
    rng = np.random.default_rng(3)
    codes = catalog(12)
    model = build_model(dataclasses.replace(MODEL, dense_head=True), 0)
    known = np.append(np.arange(1, 10), [0, 0, 0])
    config = TrainConfig(
        dense_negatives=negatives, sampled_from="popularity", dense_smoothing=smoothing
    )
    objective = Objective.of(config, SemanticIds.from_codes(codes, codes_per_level=SIZES), known)
    items = rng.integers(0, 9, (2, 4)).astype(np.int32)
    states = jnp.asarray(rng.normal(size=(2, 4, MODEL.width)), jnp.float32)
    key = jax.random.key(0)
    found = np.asarray(objective._dense_nll(model, states, jnp.asarray(items), key))[..., 0]
    logits = np.asarray(states, np.float64) @ np.asarray(model.item_vectors(objective.codes)).T
    shares = np.arange(1, 13) / 45.0
    sample = np.arange(9)
    if negatives == 12:
        negatives = 0  # as many as there are items: those that training knows compete
    if negatives:
        drawn = jax.random.choice(
            key, jnp.arange(12, dtype=jnp.int32), (negatives,), p=objective.item_shares
        )
        sample = np.asarray(drawn)
    for place in np.ndindex(2, 4):
        own, scores = items[place], logits[place]
        others = [
            np.exp(scores[j]) / (negatives * shares[j] if negatives else 1)
            for j in sample
            if j != own
        ]
        wanted = np.log(np.exp(scores[own]) + sum(others)) - (1 - smoothing) * scores[own]
        weights = 1 / shares[sample] if negatives else np.ones(9)
        wanted -= smoothing * (weights * scores[sample]).sum() / weights.sum()
        np.testing.assert_allclose(found[place], wanted, rtol=1e-4)


@pytest.mark.slow
def test_both_heads_are_trained_in_one_pass() -> None:
    codes = catalog(12)
    ids = SemanticIds.from_codes(codes, codes_per_level=SIZES)
    model = build_model(dataclasses.replace(MODEL, dense_head=True), 0)
    batch = {
        "items": jnp.asarray([[3, 1, 4, -1]]),
        "segments": jnp.asarray([[1, 1, 2, 0]]),
        "positions": jnp.asarray([[0, 1, 0, 0]]),
    }
    losses = {}
    for weight in (0.0, 1.0, 3.0):
        objective = Objective.of(TrainConfig(dense_weight=weight), ids, np.ones(12, np.int64))
        loss, _ = objective(model, batch, objective.first_weights, jax.random.key(1))
        losses[weight] = float(loss)
    # The dense head's parameters are drawn last: without it the others are the same.
    alone, _ = Objective.of(TrainConfig(), ids, np.ones(12, np.int64))(
        build_model(MODEL, 0), batch, objective.first_weights, jax.random.key(1)
    )
    assert losses[0.0] == pytest.approx(float(alone), rel=1e-5)
    dense = losses[1.0] - losses[0.0]
    assert losses[3.0] == pytest.approx(losses[0.0] + 3 * dense, rel=1e-5)
    assert dense > 0
