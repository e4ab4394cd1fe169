"""Low-rank adapters on a model's projections, by ``flax.nnx.LoRA``."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from genret.errors import GenretError
from genret.models import PromptedDecoder

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")


def add_lora(
    model: PromptedDecoder, rank: int, *, targets: Sequence[str] = ATTENTION, seed: int = 0
) -> PromptedDecoder:
    """Return a model whose projections have adapters: ``x W + x A B``, B zero at first.

    The projections themselves are shared with the model that was given. There is no further factor:
    a learning rate takes its place.

    Source: Hu et al., LoRA, 2022.

    Args:
      model: the model.
      rank: columns of A.
      targets: projections to adapt: ``q_proj … o_proj`` of the attention, ``gate_proj, up_proj,
        down_proj`` of the MLP.
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


def merge_lora(model: PromptedDecoder) -> PromptedDecoder:
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


def _projections(model: PromptedDecoder, targets: Sequence[str]) -> list[tuple[Any, str]]:
    blocks = model.language_model.blocks.blocks
    parents: list[tuple[Any, tuple[str, ...]]]
    parents = [(block.attention, ATTENTION) for block in blocks]
    parents += [(block.mlp, MLP) for block in blocks]
    return [(parent, name) for parent, names in parents for name in names if name in targets]
