"""Low-rank adapters on a model's projections, by ``flax.nnx.LoRA``."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from genret.errors import GenretError
from genret.models import Prompted

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj", "in_proj", "out_proj")


def add_lora(
    model: Prompted, rank: int, *, targets: Sequence[str] = ATTENTION, seed: int = 0
) -> Prompted:
    """Return a model whose projections have adapters: ``x W + x A B``, B zero at first.

    The projections themselves are shared with the model that was given. There is no further factor:
    a learning rate takes its place.

    Source: Hu et al., LoRA, 2022.

    Args:
      model: the model.
      rank: columns of A.
      targets: projections to adapt: ``q_proj … o_proj`` of the attention, those of the MLP
        (``gate_proj, up_proj, down_proj``; of a T5 ``gate_proj, in_proj, out_proj``).
      seed: seed of A.

    Raises:
      GenretError: a rank below 1, an unknown projection, or a model that has adapters.
    """
    if rank < 1:
        raise GenretError(f"rank: found {rank}, expected at least 1")
    unknown = sorted(set(targets) - {*ATTENTION, *MLP})
    if unknown or not targets:
        raise GenretError(f"targets: found {list(targets)}, expected some of {[*ATTENTION, *MLP]}")
    adapted = nnx.clone(model)
    rngs = nnx.Rngs(seed)
    for parent, name in _projections(adapted, targets):
        base = getattr(parent, name)
        if isinstance(base, nnx.LoRA):
            raise GenretError("model: has adapters already: merge_lora first")
        inputs, outputs = base.kernel.shape
        lora = nnx.LoRA(
            inputs, rank, outputs,
            base_module=base, dtype=jnp.dtype(model.config.dtype), rngs=rngs,
        )  # fmt: skip
        setattr(parent, name, lora)
    return adapted


def merge_lora(model: Prompted) -> Prompted:
    """Return a model with its adapters added to its projections: ``W + A B``."""
    merged = nnx.clone(model)
    for parent, name in _projections(merged, [*ATTENTION, *MLP]):
        lora = getattr(parent, name)
        if isinstance(lora, nnx.LoRA):
            base: Any = lora.base_module
            kernel = base.kernel[...]
            base.kernel[...] = kernel + (lora.lora_a[...] @ lora.lora_b[...]).astype(kernel.dtype)
            setattr(parent, name, base)
    return merged


def _projections(model: Prompted, targets: Sequence[str]) -> list[tuple[Any, str]]:
    """Return the modules that hold projections of these names, and the names."""
    return [
        (module, name)
        for _, module in nnx.iter_modules(model)
        for name in targets
        if isinstance(getattr(module, name, None), nnx.Module)
    ]
