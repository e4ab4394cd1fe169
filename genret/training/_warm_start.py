"""Warm starts: a trained model as the beginning of the next training."""

from typing import Any, TypeVar

import jax
from flax import nnx

from genret.config import require
from genret.errors import GenretError
from genret.models import FROZEN

Model = TypeVar("Model", bound=nnx.Module)


def shrink_and_perturb(
    trained: Model, fresh: Model, *, shrink: float = 0.5, perturb: float = 0.1
) -> Model:
    r"""Pull a trained model part of the way back to a fresh one.

    .. math:: \theta \leftarrow \lambda\,\theta_{trained} + \gamma\,\theta_{fresh}

    for every matrix; norms, biases and frozen vectors keep their trained values. A model that
    simply goes on training with new data generalizes worse than one trained anew; shrunk and
    perturbed it does not, and still needs fewer steps.

    Source: Ash and Adams, On Warm-Starting Neural Network Training, 2020.

    Args:
      trained: the model to start from.
      fresh: a model of the same architecture with initial parameters.
      shrink: lambda, what is kept of the trained parameters; 1 keeps all.
      perturb: gamma, what is added of the initial ones; 0 adds nothing.

    Returns:
      A new model.

    Raises:
      GenretError: other architectures, or factors that are negative or not finite.

    >>> from genret.config import ItemDecoderConfig
    >>> from genret.models import build_model
    >>> config = ItemDecoderConfig(codes_per_level=(8, 4), width=16, heads=2, kv_heads=2, head_dim=8)
    >>> one, two = build_model(config, 0), build_model(config, 1)
    >>> mixed = shrink_and_perturb(one, two, shrink=0.5, perturb=0.0)
    >>> bool((mixed.embedding.table[...] == 0.5 * one.embedding.table[...]).all())
    True
    """
    for name, value in (("shrink", shrink), ("perturb", perturb)):
        require(
            0 <= value < float("inf"), f"{name}: found {value}, expected a finite number, 0 or more"
        )
    graphdef, params = nnx.split(trained)
    _, initial = nnx.split(fresh)
    if _shapes(params) != _shapes(initial):
        raise GenretError("warm start: the trained model has another architecture than the new one")

    def mix(path: Any, old: Any, new: Any) -> Any:
        if old.ndim < 2 or FROZEN in jax.tree_util.keystr(path):
            return old
        return shrink * old + perturb * new

    return nnx.merge(graphdef, jax.tree_util.tree_map_with_path(mix, params, initial))


def _shapes(params: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}
