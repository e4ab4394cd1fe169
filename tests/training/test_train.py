"""The loop: learns, stops, resumes bit-identically, spreads over devices, refuses foreign checkpoints."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from genret.config import TrainConfig
from genret.data import pipeline
from genret.data._columns_on_disk import joined
from genret.data.pipeline import TrainingBatches
from genret.errors import GenretError
from genret.histories import Histories
from genret.semantic_ids import SemanticIds
from genret.training import TrainResult, decay_mask, make_optimizer, train

IDS = SemanticIds.from_codes(np.array([[i // 4, i % 4] for i in range(12)], np.int32))
"""Twelve items of two codes: three and four of a level."""


class Bigram(nnx.Module):
    """The codes of an item given the item before it: the smallest model with the right face."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Param(rngs.normal((13, 3)) * 0.1)
        self.second = nnx.Param(rngs.normal((13, 3, 4)) * 0.1)

    def logits(
        self, codes: jax.Array, segments: jax.Array, positions: jax.Array, *, dropout_key: jax.Array
    ) -> tuple[jax.Array, ...]:
        before = jnp.pad(codes[:, :-1] @ jnp.array([4, 1]) + 1, ((0, 0), (1, 0)))
        before = jnp.where(positions > 0, before, 0)
        noise = 1 + 0.1 * jax.random.normal(dropout_key, (3,))[None, None]
        return self.first[before] * noise, self.second[before, jnp.clip(codes[..., 0], 0, 2)]


def histories(users: int = 60, seed: int = 0) -> Histories:
    """Return histories in which item i is followed by i + 1 (mod 12)."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 15, users)
    runs = [(rng.integers(12) + np.arange(n)) % 12 for n in lengths]
    return Histories.from_lists(runs)


CONFIG = TrainConfig(
    steps=20, batch_size=8, learning_rate=0.3, log_every=4, eval_every=6, checkpoint_every=5
)


def run(config: TrainConfig = CONFIG, **options: Any) -> TrainResult:
    """Train the bigram model."""
    options = {"max_items": 7, "seed": 3} | options
    return train(Bigram(nnx.Rngs(0)), IDS, histories(), config, **options)


def leaves(result: TrainResult) -> list[np.ndarray]:
    """Return the parameters as host arrays."""
    return [np.asarray(x) for x in jax.tree.leaves(result.model)]


def assert_equal(a: Iterable[np.ndarray], b: Iterable[np.ndarray]) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_only_matrices_decay() -> None:
    params = {"matrix": jnp.ones((2, 2)), "norm": jnp.ones(2)}
    assert decay_mask(params) == {"matrix": True, "norm": False}
    optimizer = make_optimizer(TrainConfig(steps=10, warmup=0.0, weight_decay=0.5))
    updates, _ = optimizer.update(
        jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params
    )
    new = optax.apply_updates(params, updates)
    assert float(new["matrix"].max()) < 1.0 == float(new["norm"].max())


def test_it_learns() -> None:
    result = run(dataclasses.replace(CONFIG, steps=120))
    assert result.losses[-1] < 1.0 < 2.0 < result.losses[0]
    assert result.items_per_second > 0
    assert result.steps == result.best_step == 120


def test_the_callers_model_stays_whole() -> None:
    model = Bigram(nnx.Rngs(0))
    before = [np.asarray(x) for x in jax.tree.leaves(model)]
    train(model, IDS, histories(), CONFIG, max_items=7)
    assert_equal(before, [np.asarray(x) for x in jax.tree.leaves(model)])


def test_equal_seeds_give_equal_bytes_and_others_do_not() -> None:
    assert_equal(leaves(run()), leaves(run()))
    assert run().losses != run(seed=4).losses


@pytest.mark.parametrize(
    "stop", [1, 10, *(pytest.param(step, marks=pytest.mark.slow) for step in (4, 7, 13, 16, 19))]
)
def test_resuming_equals_never_stopping(tmp_path: Path, stop: int) -> None:
    def validate(model: Any) -> dict[str, float]:
        return {"ndcg@10": float(jnp.sin(model.first[...].sum() * 50))}

    class Killed(Exception):
        pass

    config = dataclasses.replace(CONFIG, checkpoint_every=1)
    whole = run(config, validate=validate)

    calls = []

    def die(record: dict[str, Any]) -> None:
        calls.append(record)
        if record["step"] >= stop:
            raise Killed

    with pytest.raises(Killed):
        run(config, validate=validate, checkpoint_dir=tmp_path, log=die)
    resumed = run(config, validate=validate, checkpoint_dir=tmp_path)
    assert_equal(leaves(whole), leaves(resumed))
    assert whole.records == resumed.records
    assert (whole.best, whole.best_step) == (resumed.best, resumed.best_step)


def test_histories_in_a_file_train_as_those_in_memory(tmp_path: Path) -> None:
    """Window after window, and resumed between two of them; the order is that of the seed."""
    held = histories()
    mapped = joined([held.slice(0, 20), held.slice(20, 60)], tmp_path, timed=False, named=False)
    options: dict[str, Any] = {"max_items": 7, "seed": 3}
    with mock.patch.object(pipeline, "WINDOW_EVENTS", 50):
        assert TrainingBatches(mapped, CONFIG, **options).windows == 10
        expected = train(Bigram(nnx.Rngs(0)), IDS, held, CONFIG, **options)
        found = train(Bigram(nnx.Rngs(0)), IDS, mapped, CONFIG, **options)
        options["checkpoint_dir"] = tmp_path / "checkpoints"

        def stop(record: dict[str, Any]) -> None:
            if record["step"] >= 12:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(Bigram(nnx.Rngs(0)), IDS, mapped, CONFIG, log=stop, **options)
        resumed = train(Bigram(nnx.Rngs(0)), IDS, mapped, CONFIG, **options)
    assert found.losses == expected.losses == resumed.losses
    assert_equal(leaves(found), leaves(expected))
    assert_equal(leaves(resumed), leaves(expected))


def test_early_stopping_keeps_the_best_parameters() -> None:
    values = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.1])
    seen = []

    def validate(model: Any) -> dict[str, float]:
        seen.append(np.asarray(model.first[...]))
        return {"ndcg@10": next(values)}

    config = dataclasses.replace(CONFIG, steps=100, eval_every=5, patience=2)
    result = run(config, validate=validate)
    assert (result.steps, result.best_step, result.best) == (20, 10, 0.5)
    np.testing.assert_array_equal(result.model.first[...], seen[1])


@pytest.mark.parametrize("packing", ["pack", "bucket", "pad"])
def test_eight_devices_equal_one(packing: str) -> None:
    config = dataclasses.replace(CONFIG, packing=packing)
    one = run(config, devices=jax.devices()[:1])
    eight = run(config, devices=jax.devices()[:8])
    np.testing.assert_allclose(one.losses, eight.losses, rtol=2e-2)
    assert eight.losses[-1] < eight.losses[0]


def test_devices_must_divide_the_batch() -> None:
    with pytest.raises(
        GenretError, match="batch_size: found 9, expected a multiple of the 8 devices"
    ):
        run(dataclasses.replace(CONFIG, batch_size=9), devices=jax.devices()[:8])


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(GenretError, match="the loss is"):
        train(Explodes(nnx.Rngs(0)), IDS, histories(), CONFIG, max_items=7)


class Explodes(Bigram):
    """Its loss is infinite from the start."""

    def logits(self, *args: Any, **kwargs: Any) -> tuple[jax.Array, ...]:
        return tuple(x * jnp.inf for x in super().logits(*args, **kwargs))


def test_foreign_and_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    run(checkpoint_dir=tmp_path, identity={"codes": "abc"})
    with pytest.raises(GenretError, match=r"model\.width = None, but this one has 32"):
        run(checkpoint_dir=tmp_path, identity={"codes": "abc", "model": {"width": 32}})
    with pytest.raises(
        GenretError, match="belongs to a run with codes = 'abc', but this one has 'xyz'"
    ):
        run(checkpoint_dir=tmp_path, identity={"codes": "xyz"})
    with pytest.raises(GenretError, match=r"with learning_rate = 0\.3, but this one has 0\.1"):
        run(
            dataclasses.replace(CONFIG, learning_rate=0.1),
            checkpoint_dir=tmp_path,
            identity={"codes": "abc"},
        )
    newest = max(tmp_path.glob("step-*"))
    assert len(list(tmp_path.iterdir())) == 2
    file = max((f for f in newest.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(GenretError, match="damaged"):
        run(checkpoint_dir=tmp_path, identity={"codes": "abc"})


def test_records_are_json(tmp_path: Path) -> None:
    records = run(checkpoint_dir=tmp_path).records
    assert json.loads(json.dumps(records)) == records
    assert [r["step"] for r in records] == [4, 8, 12, 16, 20]
