"""Training: losses, optimizer, step, loop, checkpoints."""

# Losses
from genret.training._legal import LegalCodes

# The loop and what it gives
from genret.training._loop import TrainResult, train
from genret.training._losses import code_nll, gbce_nll, mean_by_level, sampled_nll
from genret.training._objective import Objective

# Parts of the loop
from genret.training._optimizer import decay_mask, learning_rate, make_optimizer

# Several processes
from genret.training._processes import LostProcessError, is_first, joined, wait_for_all
from genret.training._step import TrainState, make_step

# Going on from a trained model
from genret.training._warm_start import shrink_and_perturb

__all__ = [
    "LegalCodes",
    "LostProcessError",
    "Objective",
    "TrainResult",
    "TrainState",
    "code_nll",
    "decay_mask",
    "gbce_nll",
    "is_first",
    "joined",
    "learning_rate",
    "make_optimizer",
    "make_step",
    "mean_by_level",
    "sampled_nll",
    "shrink_and_perturb",
    "train",
    "wait_for_all",
]
