"""One optimiser step as a pure, jitted function of (state, batch)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from genret.training._losses import code_loss
from genret.typing import Array, Float, Int

Step = Callable[["TrainState", dict[str, Array]], "TrainState"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything that an optimiser step changes.

    Attributes:
      params: the model's parameters, a pytree.
      opt_state: the optimiser's state.
      step: steps done, int32.
      loss_sum: sum of the losses since the last line of metrics, float32.
      target_count: targets (items) seen since then, int32.
    """

    # JAX rebuilds the tree with descriptions in the place of arrays: no shapes can be checked here.
    params: Any
    opt_state: Any
    step: Any
    loss_sum: Any
    target_count: Any

    @classmethod
    def init(cls, params: Any, optimizer: optax.GradientTransformation) -> "TrainState":
        """Return the state before the first step."""
        # The counters are arrays of their own: a buffer can be donated only once.
        step, targets = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        return cls(params, optimizer.init(params), step, jnp.zeros((), jnp.float32), targets)


def make_step(
    graphdef: Any,
    optimizer: optax.GradientTransformation,
    codes: Int[Array, "N L"],
    *,
    seed: int,
) -> Step:
    """Return the jitted step; the state that it is given is consumed.

    The batch carries item rows only; their codes are looked up on the device. The dropout key is
    a function of the seed and the step's number, so a resumed run drops what the uninterrupted one
    would. The key uses the ``rbg`` generator: on CPUs its bits are several times cheaper than
    threefry's. In exchange, dropout masks differ between kinds of devices and numbers of them.

    Args:
      graphdef: the model's structure, from ``nnx.split``.
      optimizer: the optimiser.
      codes: semantic ID of every item.
      seed: seed of the dropout.

    Returns:
      The step.
    """

    def loss_of(params: Any, batch: dict[str, Array], key: Array) -> Float[Array, ""]:
        model = nnx.merge(graphdef, params)
        targets = batch["segments"] > 0
        wanted = codes.at[jnp.maximum(batch["items"], 0)].get(mode="clip")
        logits = model.logits(wanted, batch["segments"], batch["positions"], dropout_key=key)
        return code_loss(logits, wanted, targets)[0]

    @jax.jit(donate_argnums=0)
    def step(state: TrainState, batch: dict[str, Array]) -> TrainState:
        key = jax.random.fold_in(jax.random.key(seed, impl="rbg"), state.step)
        loss, gradients = jax.value_and_grad(loss_of)(state.params, batch, key)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        return TrainState(
            params=optax.apply_updates(state.params, updates),
            opt_state=opt_state,
            step=state.step + 1,
            loss_sum=state.loss_sum + loss,
            target_count=state.target_count + (batch["segments"] > 0).sum(),
        )

    return step
