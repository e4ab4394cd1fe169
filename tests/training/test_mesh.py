"""Training on a mesh: the losses of one device, parameters in parts, and the messages that it takes."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from genret.config import DecoderOnlyConfig, ItemDecoderConfig, TrainConfig
from genret.errors import GenretError
from genret.histories import Histories
from genret.models import build_model, rematerializing
from genret.models._layers import Embedding, GatedMLP, Linear, as_block, dropout
from genret.semantic_ids import SemanticIds
from genret.training import Objective, TrainResult, make_optimizer, make_step, train
from genret.training._loop import _first_state
from genret.training._sharding import Placement

IDS = SemanticIds.from_codes(np.array([[i // 4, i % 4] for i in range(32)], np.int32))
"""Thirty-two items of two codes: eight and four of a level."""

CONFIG = TrainConfig(
    steps=6, batch_size=16, learning_rate=0.03, log_every=1, checkpoint_every=2, eval_every=6
)
BATCH = {
    "items": np.arange(128, dtype=np.int32).reshape(16, 8) % 32,
    "segments": np.ones((16, 8), np.int32),
    "positions": np.tile(np.arange(8, dtype=np.int32), (16, 1)),
}


class Tiny(nnx.Module):
    """A table, an MLP and a projection, each of which a mesh splits in a way of its own."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.embedding = Embedding(13, 16, rngs=rngs)
        self.mlp = GatedMLP(16, 32, rngs=rngs)
        self.heads = Linear(16, 12, rngs=rngs)

    def logits(
        self, codes: jax.Array, segments: jax.Array, positions: jax.Array, *, dropout_key: jax.Array
    ) -> tuple[jax.Array, ...]:
        before = jnp.pad(codes + jnp.array([1, 9])[None, None], ((0, 0), (1, 0), (0, 0)))[:, :-1]
        x = self.embedding(jnp.where(positions[:, :, None] > 0, before, 0), jnp.dtype("float32"))
        x = dropout(x.sum(axis=2), 0.25, dropout_key)
        scores = self.heads(x + as_block(self.mlp)(x))
        return scores[:, :, :8], scores[:, :, 8:]


def histories() -> Histories:
    """Return histories in which item i is followed by i + 3 (mod 32)."""
    rng = np.random.default_rng(0)
    return Histories.from_lists(
        [(rng.integers(32) + 3 * np.arange(n)) % 32 for n in rng.integers(1, 15, 90)]
    )


def run(mesh: str, model: Any = None, **options: Any) -> TrainResult:
    """Train the tiny model on a mesh; further fields of the configuration may be given."""
    names = {f.name for f in dataclasses.fields(TrainConfig)}
    fields = {name: options.pop(name) for name in list(options) if name in names}
    config = dataclasses.replace(CONFIG, mesh=mesh, **fields)
    return train(model or Tiny(), IDS, histories(), config, max_items=7, seed=3, **options)


def compiled_step(model: nnx.Module, **fields: Any) -> tuple[Any, Any]:
    """Return the compiled step of a model, and the state that it takes."""
    config = dataclasses.replace(CONFIG, **fields)
    graphdef, params = nnx.split(model)
    place, optimizer = Placement(config), make_optimizer(config)
    objective = place.replicate(Objective.of(config, IDS))
    params = place.put(jax.tree.map(jnp.copy, params))
    state = _first_state(params, optimizer, objective, place)
    step: Any = make_step(graphdef, optimizer, objective, seed=0, place=place)
    return step.lower(state, place.split(BATCH)).compile(), state


MESSAGES = re.compile(
    r" (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast)"
    r"(?:-start)?\("
)


def messages(program: Any) -> set[str]:
    """Return the kinds of collective operations of a compiled program."""
    return set(MESSAGES.findall(program.as_text()))


@pytest.fixture(scope="module")
def one_device() -> TrainResult:
    """Return a training on a mesh of one device."""
    return run("data=1")


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["pack", "bucket"])
def test_a_mesh_learns_what_one_device_learns(packing: str, one_device: TrainResult) -> None:
    expected = one_device if packing == "pack" else run("data=1", packing=packing)
    found = run("data=4,model=2", packing=packing)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(found.model), jax.tree.leaves(expected.model), strict=True):
        assert len(a.devices()) == 1
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_each_device_keeps_a_part_and_learns_what_one_learns() -> None:
    program, state = compiled_step(Tiny(), mesh="data=4,model=2")
    parts = {
        jax.tree_util.keystr(path): leaf.addressable_shards[0].data.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }
    for where in (".params", ".opt_state[1][0].mu", ".opt_state[1][0].nu"):
        found = {name: shape for name, shape in parts.items() if name.startswith(where)}
        assert sorted(found.values()) == [(4, 12), (4, 16), (4, 16), (13, 8), (16, 4)]
    assert messages(program) == {"all-gather", "all-reduce"}
    alone, whole = compiled_step(Tiny(), mesh="data=1")
    assert not messages(alone)
    for _ in range(3):
        state, whole = program(state, split(BATCH, state)), alone(whole, split(BATCH, whole))
    np.testing.assert_allclose(state.loss_sum, whole.loss_sum, rtol=1e-5)


def split(batch: dict[str, np.ndarray], state: Any) -> dict[str, jax.Array]:
    """Give each device of a state its rows of a batch."""
    return jax.device_put(batch, NamedSharding(state.step.sharding.mesh, PartitionSpec("data")))


@pytest.mark.slow
def test_a_run_goes_on_on_another_mesh(tmp_path: Path, one_device: TrainResult) -> None:
    class Killed(Exception):
        pass

    def die(record: dict[str, Any]) -> None:
        if record["step"] == 3:
            raise Killed

    with pytest.raises(Killed):
        run("data=4,model=2", checkpoint_dir=tmp_path, log=die)
    found = run("data=8", checkpoint_dir=tmp_path)
    assert found.records[0]["step"] == 1
    np.testing.assert_allclose(found.losses, one_device.losses, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mesh", ["data=1", "data=4"])
def test_accumulated_gradients_are_those_of_the_batch(mesh: str) -> None:
    whole, parts = (run(mesh, NoDropout(), accumulate=n) for n in (1, 4))
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=1e-5)


class NoDropout(Tiny):
    """The tiny model without dropout, whose draws depend on how a batch is cut."""

    def logits(self, *args: Any, **kwargs: Any) -> tuple[jax.Array, ...]:
        return super().logits(*args, **{**kwargs, "dropout_key": None})


@pytest.mark.slow
def test_rematerialization_changes_no_loss(one_device: TrainResult) -> None:
    found = run("data=1", remat=True)
    np.testing.assert_allclose(found.losses, one_device.losses, rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mesh": "data=3"}, "mesh: found 'data=3', 3 devices, expected a divisor of the 8 cpu"),
        ({"mesh": "data=16"}, "mesh: found 'data=16', 16 devices, expected a divisor of the 8 cpu"),
        (
            {"mesh": "data=8", "batch_size": 12},
            r"batch_size: found 12, expected a multiple of 8 \(data=8 times accumulate=1\)",
        ),
        (
            {"mesh": "data=2", "accumulate": 3},
            r"batch_size: found 16, expected a multiple of 6 \(data=2 times accumulate=3\)",
        ),
        ({"mesh": "modle=2"}, "mesh: found axis 'modle' in 'modle=2', expected data or model"),
        ({"mesh": "data=2,data=4"}, "mesh: found axis 'data' twice"),
        ({"mesh": "data=0"}, "mesh: found size '0' of axis 'data'"),
        ({"mesh": "data"}, "mesh: found size '' of axis 'data'"),
        ({"mesh": ""}, "mesh: found axis ''"),
        ({"accumulate": 2, "apao": "pointwise"}, "accumulate: found 2 with apao 'pointwise'"),
        ({"accumulate": 0}, "accumulate: found 0, expected at least 1"),
    ],
)
def test_a_bad_mesh_is_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(GenretError, match=message) as error:
        run(**{"mesh": "none", **fields})
    assert "\n" not in str(error.value)


def test_a_mesh_leaves_no_choice_of_devices() -> None:
    with pytest.raises(GenretError, match="mesh: found 'data=2' with devices"):
        run("data=2", devices=jax.devices()[:2])


@pytest.mark.slow
def test_fifty_steps_of_a_transformer_are_those_of_one_device() -> None:
    config = ItemDecoderConfig(
        codes_per_level=IDS.codes_per_level, width=32, heads=2, kv_heads=2, head_dim=16, mlp_dim=64,
        code_width=32, layers=1, code_layers=1, max_items=7, dropout=0.0, item_ids=True, num_items=32,
    )  # fmt: skip
    options = {"steps": 50, "learning_rate": 3e-3, "log_every": 1, "eval_every": 50}
    one = run("none", build_model(config, 0), **options)
    for mesh in ("data=8", "data=4,model=2", "data=2,model=4"):
        found = run(mesh, build_model(config, 0), **options)
        np.testing.assert_allclose(found.losses, one.losses, rtol=1e-5, err_msg=mesh)


def test_rematerialization_keeps_less_for_the_backward_pass() -> None:
    config = DecoderOnlyConfig(
        codes_per_level=IDS.codes_per_level, width=32, heads=2, kv_heads=2, layers=6, max_items=7
    )
    graphdef, params = nnx.split(build_model(config, 0))
    objective, batch = Objective.of(CONFIG, IDS), jax.tree.map(jnp.asarray, BATCH)

    def kept(remat: bool) -> int:
        """Return the bytes that the backward pass takes from the forward pass."""

        def loss(params: Any) -> jax.Array:
            model = nnx.merge(graphdef, params)
            return objective(model, batch, objective.first_weights, jax.random.key(0))[0]

        def backward(params: Any) -> Any:
            with rematerializing(remat):
                return jax.vjp(loss, params)[1]

        leaves = jax.tree.leaves(jax.eval_shape(backward, params))
        return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)

    assert kept(True) < 0.5 * kept(False)
