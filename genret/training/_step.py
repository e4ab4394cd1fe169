"""One optimizer step as a pure, jitted function of (state, batch)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from genret.training._objective import Objective, targets_of
from genret.typing import Array

Step = Callable[["TrainState", dict[str, Array]], "TrainState"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything that an optimizer step changes.

    Attributes:
      params: the model's parameters, a pytree.
      opt_state: the optimizer's state.
      prefix_weights: APAO's weights of the prefixes, float32 [L].
      step: steps done, int32.
      loss_sum: sum of the losses since the last line of metrics, float32.
      target_count: targets (items) seen since then, int32.
    """

    # JAX rebuilds the tree with descriptions in the place of arrays: no shapes can be checked here.
    params: Any
    opt_state: Any
    prefix_weights: Any
    step: Any
    loss_sum: Any
    target_count: Any

    @classmethod
    def init(
        cls, params: Any, optimizer: optax.GradientTransformation, objective: Objective
    ) -> "TrainState":
        """Return the state before the first step."""
        return cls(
            params=params,
            opt_state=optimizer.init(params),
            prefix_weights=objective.first_weights,
            # The counters are arrays of their own: a buffer can be donated only once.
            step=jnp.zeros((), jnp.int32),
            loss_sum=jnp.zeros((), jnp.float32),
            target_count=jnp.zeros((), jnp.int32),
        )


def make_step(
    graphdef: Any,
    optimizer: optax.GradientTransformation,
    objective: Objective,
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
      optimizer: the optimizer.
      objective: the loss.
      seed: seed of the dropout and of what the loss draws.

    Returns:
      The step.
    """

    def loss_of(
        params: Any, batch: dict[str, Array], weights: Array, key: Array
    ) -> tuple[Array, Array]:
        return objective(nnx.merge(graphdef, params), batch, weights, key)

    @jax.jit(donate_argnums=0)
    def step(state: TrainState, batch: dict[str, Array]) -> TrainState:
        key = jax.random.fold_in(jax.random.key(seed, impl="rbg"), state.step)
        (loss, weights), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            state.params, batch, state.prefix_weights, key
        )
        _, targets = targets_of(nnx.merge(graphdef, state.params), batch)
        # Optax counts its steps in integers and divides by them: it needs JAX's usual promotion.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
        return TrainState(
            params=params,
            opt_state=opt_state,
            prefix_weights=weights,
            step=state.step + 1,
            loss_sum=state.loss_sum + loss,
            target_count=state.target_count + targets.sum(dtype=jnp.int32),
        )

    return step
