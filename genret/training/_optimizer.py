"""AdamW with a warm-up, a cosine and clipping."""

from typing import Any

import jax
import optax

from genret.config import TrainConfig
from genret.models import FROZEN

_FLOOR = 0.02
"""Share of the peak learning rate at which the cosine ends."""


def learning_rate(config: TrainConfig) -> optax.Schedule:
    """Return the schedule: linear from 0 to the peak, then a cosine down to 2 % of it.

    >>> schedule = learning_rate(TrainConfig(steps=100, warmup=0.1, learning_rate=1.0))
    >>> [round(float(schedule(step)), 3) for step in (0, 5, 10, 55, 100)]
    [0.0, 0.5, 1.0, 0.51, 0.02]
    """
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=config.learning_rate,
        warmup_steps=round(config.warmup * config.steps),
        decay_steps=config.steps,
        end_value=_FLOOR * config.learning_rate,
    )


def decay_mask(params: Any) -> Any:
    """Say for each parameter whether it decays: matrices do; norms, biases and what is frozen do not."""

    def decays(path: Any, parameter: Any) -> bool:
        return parameter.ndim >= 2 and FROZEN not in jax.tree_util.keystr(path)

    return jax.tree_util.tree_map_with_path(decays, params)


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Return the optimizer: clipping by the global norm, then AdamW (Loshchilov & Hutter, 2019)."""
    return optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.adamw(
            learning_rate(config),
            b2=0.98,
            weight_decay=config.weight_decay,
            mask=decay_mask,
        ),
    )
