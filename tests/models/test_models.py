"""The models: what a position may see, packing, padding, precision, and decoding with a cache."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.config import ItemDecoderConfig
from genret.errors import GenretError
from genret.models import History, build_model

CODES = (7, 5, 6, 3)
BASE = ItemDecoderConfig(
    codes_per_level=CODES, width=32, heads=4, kv_heads=4, head_dim=8, mlp_dim=48, dropout=0.5
)
CONFIGS = {
    "items": BASE,
    "items-deep": dataclasses.replace(
        BASE, kv_heads=2, code_layers=2, code_width=24, tie_embeddings=False, qk_norm=False
    ),
    "items-latent": dataclasses.replace(BASE, latent_positions=3),
    "flat": BASE.as_kind("decoder_only"),
    "flat-gqa": BASE.as_kind(
        "decoder_only", kv_heads=2, qk_norm=False, qkv_bias=True, tie_embeddings=False
    ),
}
TIGER = BASE.as_kind("encoder_decoder", code_layers=2, relative_distance=40)
CONFIGS["tiger"] = TIGER  # one target a row: the last item
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name == "items-latent" else name
    for name in CONFIGS
]
each_model = pytest.mark.parametrize("name", NAMES)
each_of_many_targets = pytest.mark.parametrize("name", [n for n in NAMES if n != "tiger"])


def random_codes(rng, *shape):
    return np.stack([rng.integers(0, v, shape) for v in CODES], axis=-1).astype(np.int32)


@functools.cache
def make(name, **changes):
    """Return a model with NumPy's random numbers in the place of its initial ones.

    Nothing is compiled for them, and no bias or scale is left at 0 or 1, where errors hide.
    """
    config = dataclasses.replace(CONFIGS[name], **changes)
    rng = np.random.default_rng(1)

    def fill(path, x):
        scale = x.shape[-1] ** -0.5 if "table" in str(path) else x.shape[0] ** -0.5
        offset = 1.0 if "scale" in str(path) else 0.0
        if "q_proj" in str(path) and config.kind == "encoder_decoder":
            scale *= config.head_dim**-0.5  # its attention has no other scale
        return jnp.asarray(offset + scale * rng.normal(size=x.shape), jnp.float32)

    return jax.tree.map_with_path(fill, jax.eval_shape(lambda: build_model(config, 0)))


@jax.jit
def logits_of(model, codes, segments, positions, dropout_key=None):
    return model.logits(codes, segments, positions, dropout_key=dropout_key)


@jax.jit
def prefill(model, history):
    return model.prefill(history)


@jax.jit
def step(model, codes, parents, cache):
    return model.step(codes, parents, cache)


@jax.jit
def score_tail(model, codes, parents, cache):
    return model.score_tail(codes, parents, cache)


def rows_of(*lengths, width):
    """Return segments and positions of rows that hold histories of the given lengths."""
    segments, positions = np.zeros((2, len(lengths), width), np.int32)
    for row, parts in enumerate(lengths):
        start = 0
        for number, length in enumerate(parts, 1):
            segments[row, start : start + length] = number
            positions[row, start : start + length] = np.arange(length)
            start += length
    return jnp.asarray(segments), jnp.asarray(positions)


@each_of_many_targets
def test_a_code_depends_on_the_past_of_its_segment_and_on_nothing_else(name) -> None:
    """Change one code at a time and see exactly which logits move."""
    model, rng = make(name), np.random.default_rng(0)
    segments, positions = rows_of((3, 2), (6,), (), width=6)
    codes = random_codes(rng, 3, 6)
    before = logits_of(model, codes, segments, positions)
    assert [x.shape for x in before] == [(3, 6, v) for v in CODES]
    assert all(x.dtype == jnp.float32 for x in before)
    for t, level in itertools.product(range(6), range(4)):
        changed = codes.copy()
        changed[0, t, level] = (changed[0, t, level] + 1) % CODES[level]
        after = logits_of(model, changed, segments, positions)
        for u, k in itertools.product(range(6), range(4)):
            moved = np.abs(after[k][0, u] - before[k][0, u]).max()
            later = u > t or (u == t and k > level)
            if segments[0, t] == segments[0, u] and later:
                assert moved > 1e-4, (t, level, u, k)
            else:
                assert moved == 0, (t, level, u, k)


@each_of_many_targets
def test_packed_rows_equal_separate_rows(name) -> None:
    model, rng = make(name), np.random.default_rng(1)
    codes = random_codes(rng, 3, 6)
    codes[:, 5:] = -1  # padding may hold anything
    segments, positions = rows_of((2, 1, 2), (5,), (1, 4), width=6)
    packed = logits_of(model, codes, segments, positions)
    assert all(np.isfinite(x).all() for x in packed)
    starts = {0: (0, 2, 3), 2: (0, 1)}
    for row, first in starts.items():
        lengths = np.diff([*first, 5])
        alone = np.zeros_like(codes)
        for i, (start, length) in enumerate(zip(first, lengths, strict=True)):
            alone[i, :length] = codes[row, start : start + length]
        widths = [(int(n),) for n in lengths] + [()] * (3 - len(lengths))
        separate = logits_of(model, alone, *rows_of(*widths, width=6))
        for x, y in zip(packed, separate, strict=True):
            for i, (start, length) in enumerate(zip(first, lengths, strict=True)):
                np.testing.assert_allclose(x[row, start : start + length], y[i, :length], atol=2e-5)


@each_of_many_targets
def test_only_differences_of_positions_matter(name) -> None:
    """A chunk from the middle of a history may count its positions from anywhere."""
    model, rng = make(name), np.random.default_rng(2)
    codes = random_codes(rng, 3, 6)
    segments, positions = rows_of((6,), (2, 4), (5,), width=6)
    first = logits_of(model, codes, segments, positions)
    moved = logits_of(model, codes, segments, positions + 7)
    for x, y in zip(first, moved, strict=True):
        np.testing.assert_allclose(x, y, atol=5e-5)


@each_model
def test_padding_codes_never_matter_in_prefill(name) -> None:
    model, rng = make(name), np.random.default_rng(3)
    lengths = jnp.asarray([0, 2, 5])
    codes = random_codes(rng, 3, 5)
    other = codes.copy()
    for row, length in enumerate(lengths):
        other[row, length:] = 2**31 - 1 - 100 if row else -5
    first, _ = prefill(model, History(codes=jnp.asarray(codes), lengths=lengths))
    second, _ = prefill(model, History(codes=jnp.asarray(other), lengths=lengths))
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all()


def teacher_forced(model, codes, lengths, targets):
    """Return for each level the logits [B, V] of one target item [B, L] after each history."""
    rows, items = codes.shape[:2]
    codes = np.concatenate([codes, np.zeros_like(codes[:, :1])], axis=1)
    codes[np.arange(rows), lengths] = targets
    segments, positions = rows_of(*[(n + 1,) for n in lengths], width=items + 1)
    found = logits_of(model, codes, segments, positions)
    if model.capabilities.one_target_a_row:
        return [np.asarray(x)[:, 0] for x in found]
    return [np.asarray(x)[np.arange(rows), lengths] for x in found]


@each_model
def test_cached_decoding_equals_teacher_forcing(name) -> None:
    """Beams grow, shrink, are reordered and share parents; histories are ragged, one is empty.

    At every level the step's logits and the scores of all remaining codes are compared.
    """
    model, rng = make(name), np.random.default_rng(4)
    lengths = np.array([0, 3, 5])
    history_codes = random_codes(rng, 3, 5)
    history = History(codes=jnp.asarray(history_codes), lengths=jnp.asarray(lengths))
    logits, cache = prefill(model, history)
    chosen = np.zeros((3, 1, 0), np.int32)
    for level in range(4):
        assert cache.level == level
        assert cache.shared_keys[0].shape[0] == 3  # stored once a request, whatever the beams
        parents = rng.integers(0, chosen.shape[1], (3, 6)).astype(np.int32)
        tails = random_codes(rng, 3, 6)[:, :, level:]
        scores = score_tail(model, jnp.asarray(tails), jnp.asarray(parents), cache)
        assert scores.dtype == jnp.float32
        for candidate in range(6):
            prefix = chosen[np.arange(3), parents[:, candidate]]
            targets = np.concatenate([prefix, tails[:, candidate]], axis=1)
            expected = teacher_forced(model, history_codes, lengths, targets)
            np.testing.assert_allclose(
                logits[np.arange(3), parents[:, candidate]], expected[level], atol=5e-5
            )
            for k in range(level, 4):
                log_probs = np.asarray(jax.nn.log_softmax(expected[k]))[np.arange(3), targets[:, k]]
                np.testing.assert_allclose(scores[:, candidate, k - level], log_probs, atol=1e-4)
        if level < 3:
            beams = (6, 4, 5)[level]
            parents = rng.integers(0, chosen.shape[1], (3, beams)).astype(np.int32)
            codes = rng.integers(0, CODES[level], (3, beams)).astype(np.int32)
            kept = np.take_along_axis(chosen, parents[:, :, None], axis=1)
            chosen = np.concatenate([kept, codes[:, :, None]], axis=2)
            logits, cache = step(model, jnp.asarray(codes), jnp.asarray(parents), cache)
            assert logits.shape == (3, beams, CODES[level + 1])


@each_model
def test_many_beams_take_the_other_order_of_products(name) -> None:
    """More beams than codes: the projections of ItemDecoder change their order, not the result."""
    model, rng = make(name), np.random.default_rng(6)
    history = History(codes=jnp.asarray(random_codes(rng, 3, 5)), lengths=jnp.asarray([3, 0, 5]))
    _, cache = prefill(model, history)
    codes = jnp.asarray(rng.integers(0, CODES[0], (3, 50)), jnp.int32)
    many, _ = step(model, codes, jnp.zeros_like(codes), cache)
    few, _ = step(model, codes[:, :6], jnp.zeros_like(codes[:, :6]), cache)
    np.testing.assert_allclose(many[:, :6], few, atol=2e-5)


@each_model
def test_dropout_needs_a_key_and_follows_it(name) -> None:
    model, rng = make(name), np.random.default_rng(7)
    codes = jnp.asarray(random_codes(rng, 3, 6))
    segments, positions = rows_of((6,), (2, 4), (5,), width=6)

    def run(key):
        return np.concatenate(
            [x.ravel() for x in logits_of(model, codes, segments, positions, key)]
        )

    plain, one, two = run(None), run(jax.random.key(1)), run(jax.random.key(2))
    np.testing.assert_array_equal(one, run(jax.random.key(1)))
    assert np.abs(one - plain).max() > 0.1
    assert np.abs(one - two).max() > 0.1


@each_model
def test_bfloat16_is_close_to_float32(name) -> None:
    rng = np.random.default_rng(8)
    history = History(codes=jnp.asarray(random_codes(rng, 3, 5)), lengths=jnp.asarray([5, 0, 2]))
    results = {}
    for dtype in ("float32", "bfloat16"):
        model = make(name, dtype=dtype)
        assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(model))
        first, cache = prefill(model, history)
        assert cache.shared_keys[0].dtype == dtype
        codes = jnp.asarray([[1, 2, 0, 3, 4, 5]] * 3)
        second, cache = step(model, codes, jnp.zeros_like(codes), cache)
        assert first.dtype == second.dtype == jnp.float32
        codes = jnp.pad(history.codes, ((0, 0), (0, 1), (0, 0)))
        full = logits_of(model, codes, *rows_of((5,), (2, 3), (4,), width=6))
        results[dtype] = [first, second, *full]
    for exact, rough in zip(results["float32"], results["bfloat16"], strict=True):
        scale = np.abs(exact).max()
        assert np.abs(exact - rough).max() < 0.05 * scale
        assert np.abs(exact - rough).max() > 0


@each_model
def test_every_parameter_gets_a_gradient(name) -> None:
    model, rng = make(name), np.random.default_rng(9)
    codes = jnp.asarray(random_codes(rng, 3, 6))
    segments, positions = rows_of((6,), (3, 3), (1, 4), width=6)

    @jax.jit
    @jax.grad
    def gradient(model):
        return sum(jnp.sin(x).sum() for x in model.logits(codes, segments, positions))

    for path, leaf in jax.tree.leaves_with_path(gradient(model)):
        assert np.isfinite(leaf).all(), path
        if "k_proj" not in str(path) or "bias" not in str(path):  # softmax ignores a key's shift
            assert np.abs(leaf).max() > 0, path


@pytest.mark.parametrize("name", ["items", "flat", "tiger"])
def test_initial_logits_are_of_order_one(name) -> None:
    """The first loss is near that of a uniform guess; 256 is far from the width of the others."""
    config = dataclasses.replace(CONFIGS[name], width=256)
    model = jax.jit(lambda: build_model(config, seed=0))()
    codes = random_codes(np.random.default_rng(10), 3, 6)
    # T5 divides the states that its tied embedding scores by the root of the width.
    scale = 256**-0.5 if name == "tiger" else 1.0
    for logits in logits_of(model, codes, *rows_of((6,), (6,), (6,), width=6)):
        assert 0.2 * scale < np.std(logits) < 2.0 * scale


@each_model
def test_misuse_is_refused(name) -> None:
    model = make(name)
    history = History(codes=jnp.zeros((3, 5, 4), jnp.int32), lengths=jnp.asarray([2, 0, 5]))
    _, cache = prefill(model, history)
    zeros = jnp.zeros((3, 6), jnp.int32)
    with pytest.raises(GenretError, match="score_tail: found 2 codes a candidate, expected 4"):
        score_tail(model, jnp.zeros((3, 6, 2), jnp.int32), zeros, cache)
    for _ in range(3):
        _, cache = step(model, zeros, zeros, cache)
    with pytest.raises(GenretError, match="step: the cache is at level 3, the last of 4"):
        step(model, zeros, zeros, cache)
    with pytest.raises(GenretError, match="codes_per_level: found none"):
        build_model(dataclasses.replace(CONFIGS[name], codes_per_level=()), 0)


def test_a_decoder_of_codes_needs_layers() -> None:
    for config in (BASE, TIGER):
        with pytest.raises(GenretError, match="code_layers: found 0"):
            build_model(dataclasses.replace(config, code_layers=0), 0)
    assert not hasattr(TIGER, "kv_heads")  # T5 has no groups of heads to set


def test_an_encoder_decoder_reads_the_history_and_predicts_its_last_item() -> None:
    """Every code of the history matters, of the target those before; what follows never does."""
    model, rng = make("tiger"), np.random.default_rng(0)
    segments, positions = rows_of((4,), (1,), (6,), width=6)
    codes = random_codes(rng, 3, 6)
    before = logits_of(model, codes, segments, positions)
    assert [x.shape for x in before] == [(3, 1, v) for v in CODES]
    for t, level in itertools.product(range(6), range(4)):
        changed = codes.copy()
        changed[0, t, level] = (changed[0, t, level] + 1) % CODES[level]
        after = logits_of(model, changed, segments, positions)
        for k in range(4):
            moved = np.abs(after[k][0] - before[k][0]).max()
            assert (moved > 1e-4) if t < 3 or (t == 3 and k > level) else (moved == 0), (
                t,
                level,
                k,
            )


@each_model
def test_one_level_of_codes(name) -> None:
    """Ready item ids: one code an item, nothing to step."""
    model = make(name, codes_per_level=(9,))
    codes = jnp.asarray([[[1], [8], [3]]])
    history = History(codes=codes, lengths=jnp.asarray([2]))
    logits, cache = prefill(model, history)
    full = logits_of(model, codes, *rows_of((3,), width=3))
    np.testing.assert_allclose(logits[:, 0], full[0][:, -1], atol=2e-5)
    scores = score_tail(model, jnp.asarray([[[4], [0]]]), jnp.asarray([[0, 0]]), cache)
    expected = jax.nn.log_softmax(logits[0, 0])[jnp.asarray([4, 0])]
    np.testing.assert_allclose(scores[0, :, 0], expected, atol=2e-5)


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("name", ["items", "items-deep"])
def test_states_meet_vectors_in_either_width(name, level) -> None:
    """Few states are projected up, many meet vectors that are projected down: to the same logits."""
    model = make(name)
    many = jnp.asarray(np.random.default_rng(3).normal(size=(4000, 24)), jnp.float32)
    many = many[:, : model.output_proj.kernel.shape[1]]
    shapes = [str(jax.make_jaxpr(lambda x: model.readout(x, level))(x)) for x in (many, many[:2])]
    assert shapes[0].count("transpose") < shapes[1].count("transpose")  # of the projection
    found = np.concatenate([model.readout(many[i : i + 2], level) for i in (0, 2)])
    np.testing.assert_allclose(found, model.readout(many, level)[:4], rtol=1e-4, atol=1e-5)
    some = jnp.asarray([2, 0, 2])
    np.testing.assert_allclose(
        model.readout(many[:2], level, some), found[:2, some], rtol=1e-4, atol=1e-5
    )
