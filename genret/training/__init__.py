"""Training: losses, optimiser, step, loop, checkpoints."""

# The loop and what it gives
from genret.training._loop import TrainResult, train

# Parts
from genret.training._losses import code_loss
from genret.training._optimizer import decay_mask, learning_rate, make_optimizer
from genret.training._step import TrainState, make_step

__all__ = [
    "TrainResult",
    "TrainState",
    "code_loss",
    "decay_mask",
    "learning_rate",
    "make_optimizer",
    "make_step",
    "train",
]
