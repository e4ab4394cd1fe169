"""One optimizer step as a pure, jitted function of (state, batch)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from genret.models import rematerializing
from genret.training._objective import Objective, targets_of
from genret.training._sharding import Placement
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
    place: Placement | None = None,
) -> Step:
    """Return the jitted step; the state that it is given is consumed.

    The batch carries item rows only; their codes are looked up on the device. The dropout key is
    a function of the seed and the step's number, so a resumed run drops what the uninterrupted one
    would. Without a mesh the key uses the ``rbg`` generator: on CPUs its bits are several times
    cheaper than threefry's. In exchange, dropout masks differ between kinds of devices and numbers
    of them. On a mesh it is threefry, whose bits are the same however the arrays are split.

    With ``config.accumulate`` the batch is cut into parts, whose gradients are weighed by their
    targets and added: without dropout these are the gradients of the whole batch.

    Args:
      graphdef: the model's structure, from ``nnx.split``.
      optimizer: the optimizer.
      objective: the loss; its configuration says whether to accumulate and to rematerialize.
      seed: seed of the dropout and of what the loss draws.
      place: where parameters and batches lie; None: on one device.

    Returns:
      The step.
    """
    config, on_mesh = objective.config, place is not None and place.on_mesh

    def collect(params: Any) -> Any:
        return params if place is None else place.collect(params)

    def keep_parts(tree: Any) -> Any:
        return tree if place is None else place.keep_parts(tree)

    def loss_of(
        params: Any, batch: dict[str, Array], weights: Array, key: Array
    ) -> tuple[Array, Array]:
        with rematerializing(config.remat):
            return objective(nnx.merge(graphdef, collect(params)), batch, weights, key)

    def count(params: Any, batch: dict[str, Array]) -> Array:
        _, targets = targets_of(nnx.merge(graphdef, params), batch)
        return targets.sum(dtype=jnp.int32)

    def gradients_of(
        params: Any, batch: dict[str, Array], weights: Array, key: Array
    ) -> tuple[tuple[Array, Array], Any]:
        """Return ((the loss, the new weights), the gradients)."""
        found, gradients = jax.value_and_grad(loss_of, has_aux=True)(params, batch, weights, key)
        return found, keep_parts(gradients)

    def accumulated(
        params: Any, batch: dict[str, Array], weights: Array, key: Array
    ) -> tuple[tuple[Array, Array], Any]:
        """Do the same part by part; row r belongs to part r mod ``accumulate``."""
        parts = config.accumulate

        def add(sums: Any, numbered: tuple[Array, dict[str, Array]]) -> tuple[Any, None]:
            number, part = numbered
            (loss, _), gradients = gradients_of(
                params, part, weights, jax.random.fold_in(key, number)
            )
            share = count(params, part).astype(jnp.float32)
            return jax.tree.map(lambda s, x: s + share * x, sums, (loss, gradients)), None

        # Rows that lie on one device stay there: the axis of the rows is cut from within.
        cut = {
            name: x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)
            for name, x in batch.items()
        }
        nothing = (jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, params))
        sums, _ = jax.lax.scan(add, nothing, (jnp.arange(parts, dtype=jnp.int32), cut))
        targets = jnp.maximum(count(params, batch), 1).astype(jnp.float32)
        loss, gradients = jax.tree.map(lambda s: s / targets, sums)
        return (loss, weights), gradients

    @jax.jit(donate_argnums=0)
    def step(state: TrainState, batch: dict[str, Array]) -> TrainState:
        generator = "threefry2x32" if on_mesh else "rbg"
        key = jax.random.fold_in(jax.random.key(seed, impl=generator), state.step)
        differentiate = gradients_of if config.accumulate == 1 else accumulated
        (loss, weights), gradients = differentiate(state.params, batch, state.prefix_weights, key)
        targets = count(state.params, batch)
        # Optax counts its steps in integers and divides by them: it needs JAX's usual promotion.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
        following = TrainState(
            params=params,
            opt_state=opt_state,
            prefix_weights=weights,
            step=state.step + 1,
            loss_sum=state.loss_sum + loss,
            target_count=state.target_count + targets,
        )
        return keep_parts(following)

    return step
