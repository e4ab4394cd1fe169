"""A beam search with any method and any model: one loop, so that only the step differs."""

from functools import partial
from typing import Any

import jax

from benchmarks.methods import Beams, Method
from genret.typing import Array, Float


@partial(jax.jit, static_argnames=("levels", "beams"))
def decode(method: Method, model: Any, history: Any, *, levels: int, beams: int) -> Beams:
    """Search with a model's ``prefill`` and ``step``; return the last beams."""
    logits, cache = model.prefill(history)
    state = method.start(logits.shape[0])
    for level in range(levels):
        state = method.step(logits, state, beams)
        if level + 1 < levels:
            logits, cache = model.step(state.codes[..., -1], state.parents, cache)
    return state


@partial(jax.jit, static_argnames="beams")
def step(method: Method, logits: Float[Array, "B m V"], state: Beams, *, beams: int) -> Beams:
    """Take one step alone."""
    return method.step(logits, state, beams)
