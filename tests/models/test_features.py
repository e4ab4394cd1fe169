"""What models read beside codes: it matters, it does not leak, and a cache gives the same."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.config import ItemDecoderConfig
from genret.data import bucket_gaps, bucket_users
from genret.errors import GenretError
from genret.histories import Histories
from genret.models import History, SideFeatures, build_model, load_model, save_model

CODES = (7, 5, 3)
CONFIG = ItemDecoderConfig(
    codes_per_level=CODES, width=16, heads=2, kv_heads=2, head_dim=8, mlp_dim=24, layers=1,
    item_ids=True, item_vectors=True, num_items=20, vector_dim=6, time_buckets=9, user_buckets=4,
)  # fmt: skip
KINDS = ["item_decoder", "decoder_only", "encoder_decoder", "one_pass", "rpg"]
WIDTH = 5


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    made = jax.jit(lambda: build_model(CONFIG.as_kind(request.param), 0))()
    vectors = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    made.features.set_vectors(vectors)
    return made


@jax.jit
def logits_of(model, codes, segments, positions, side):
    return model.logits(codes, segments, positions, side=side)


def side_of(parts):
    return SideFeatures(**jax.tree.map(jnp.asarray, parts))


def rows(rng):
    """Return one batch of two rows: codes, segments, positions and what is beside them."""
    codes = np.stack([rng.integers(0, v, (2, WIDTH)) for v in CODES], axis=-1).astype(np.int32)
    segments = jnp.asarray([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    positions = jnp.broadcast_to(jnp.arange(WIDTH), (2, WIDTH))
    side = {
        "items": rng.integers(0, 20, (2, WIDTH)),
        "gaps": rng.integers(0, 9, (2, WIDTH)),
        "users": np.array([[1] * WIDTH, [3] * WIDTH]),
    }
    return jnp.asarray(codes), segments, positions, side


def test_each_part_matters_and_none_leaks(model) -> None:
    """Item and time of an item change what follows it, and never its own prediction."""
    codes, segments, positions, side = rows(np.random.default_rng(1))
    before = logits_of(model, codes, segments, positions, side_of(side))
    for name, at in [(n, t) for n in ("items", "gaps") for t in range(WIDTH)]:
        changed = {k: v.copy() for k, v in side.items()}
        changed[name][0, at] = (changed[name][0, at] + 1) % 9
        after = logits_of(model, codes, segments, positions, side_of(changed))
        for x, y in zip(before, after, strict=True):
            moved = np.abs(np.asarray(x) - np.asarray(y)).max(axis=2)
            assert (moved[1] == 0).all()
            if model.capabilities.one_target_a_row:
                assert (moved[0, 0] > 1e-6) if at < 3 else (moved[0, 0] == 0), (name, at)
            else:
                assert (moved[0, : at + 1] == 0).all(), (name, at)
                assert (moved[0, at + 1 : 4] > 1e-6).all(), (name, at)
    changed = side | {"users": side["users"] * 0 + 2}
    after = logits_of(model, codes, segments, positions, side_of(changed))
    assert all(
        (np.abs(x - y).max(axis=(1, 2)) > 1e-6).all() for x, y in zip(before, after, strict=True)
    )


def test_cached_decoding_equals_the_full_forward(model) -> None:
    """Histories from the host's lists: cut, empty, with an item that training did not know."""
    rng = np.random.default_rng(2)
    table = np.stack([rng.integers(0, v, 22) for v in CODES], axis=-1)
    histories = Histories(
        offsets=np.array([0, 6, 6, 8]),
        items=np.array([1, 4, 2, 19, 3, 0, 21, 7]),
        times=np.array([0, 5, 9, 4000, 4001, 9_000_000, 3, 8]) * 1_000_000,
        users=np.array([5, -1, 0]),
    )
    history = History.from_items(table, histories, 4, time_buckets=9, user_buckets=4)
    np.testing.assert_array_equal(history.side.users[:, 0], bucket_users(histories, 4))
    np.testing.assert_array_equal(history.side.gaps[0], bucket_gaps(histories, 9)[2:6])
    target = jnp.asarray(table[[5, 6, 7]])
    first, cache = jax.jit(lambda m, h: m.prefill(h))(model, history)
    tail = jax.jit(lambda m, c, k: m.score_tail(c, jnp.zeros((3, 1), jnp.int32), k))
    scores = tail(model, target[:, None].astype(jnp.int32), cache)[:, 0]

    lengths = np.array([4, 0, 2])
    codes = np.zeros((3, WIDTH, 3), np.int32)
    codes[:, :4] = history.codes
    codes[np.arange(3), lengths] = target
    side = SideFeatures(
        items=jnp.pad(history.side.items, ((0, 0), (0, 1))),  # the target's is never read
        gaps=jnp.pad(history.side.gaps, ((0, 0), (0, 1))),
        users=jnp.broadcast_to(history.side.users, (3, WIDTH)),
    )
    segments = jnp.asarray(np.arange(WIDTH)[None] <= lengths[:, None], jnp.int32)
    positions = jnp.broadcast_to(jnp.arange(WIDTH), (3, WIDTH))
    full = logits_of(model, jnp.asarray(codes), segments, positions, side)
    at = np.zeros(3, int) if model.capabilities.one_target_a_row else lengths
    expected = jax.nn.log_softmax(full[0][np.arange(3), at])
    np.testing.assert_allclose(jax.nn.log_softmax(first[:, 0]), expected, atol=2e-5)
    for level, logits in enumerate(full):
        own = jax.nn.log_softmax(logits[np.arange(3), at])[np.arange(3), target[:, level]]
        np.testing.assert_allclose(scores[:, level], own, atol=5e-5)


def test_models_are_whole_on_disk(model, tmp_path) -> None:
    save_model(tmp_path, model)
    codes, segments, positions, side = rows(np.random.default_rng(3))
    inputs = (codes, segments, positions, side_of(side))
    for x, y in zip(
        logits_of(model, *inputs), logits_of(load_model(tmp_path), *inputs), strict=True
    ):
        np.testing.assert_array_equal(x, y)


def test_vectors_stay_as_they_are(model) -> None:
    codes, segments, positions, side = rows(np.random.default_rng(4))

    @jax.jit
    @jax.grad
    def gradient(model):
        return sum(
            jnp.sin(x).sum() for x in model.logits(codes, segments, positions, side=side_of(side))
        )

    found = gradient(model).features
    assert not np.asarray(found.frozen_vectors[...]).any()
    for part in (found.items.table, found.gaps.table, found.users.table, found.vector_proj.kernel):
        assert np.asarray(part[...]).any()


def test_what_is_missing_is_refused(model) -> None:
    table = np.zeros((3, 3), int)
    for options, missing in [({}, "gaps"), ({"time_buckets": 9}, "users")]:
        history = History.from_items(table, [[2]], 4, **options)
        with pytest.raises(GenretError, match=f"history: has no {missing}"):
            model.prefill(history)


def test_vectors_of_other_items_are_refused(model) -> None:
    with pytest.raises(GenretError, match=r"item_vectors: found \(19, 6\), expected \(20, 6\)"):
        model.features.set_vectors(np.zeros((19, 6), np.float32))
    plain = build_model(dataclasses.replace(CONFIG, item_vectors=False), 0)
    with pytest.raises(GenretError, match="for a model that reads none"):
        plain.features.set_vectors(np.zeros((20, 6), np.float32))


def test_an_incomplete_architecture_is_refused() -> None:
    for changes, match in [
        ({"num_items": 0}, "num_items: found 0"),
        ({"vector_dim": 0}, "vector_dim: found 0"),
        ({"user_buckets": 1}, "user_buckets: found 1, expected 0 or at least 2"),
    ]:
        with pytest.raises(GenretError, match=match):
            build_model(dataclasses.replace(CONFIG, **changes), 0)
