"""Points of training on meshes: the losses beside those of one device."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.process import Figures
from benchmarks.record import Points
from genret.config import ItemDecoderConfig, TrainConfig
from genret.histories import Histories
from genret.models import build_model
from genret.semantic_ids import SemanticIds
from genret.training import train

MESHES = ("data=4,model=2", "data=8", "data=2,model=4")
SHAPE = ItemDecoderConfig(
    codes_per_level=(64, 64), width=32, code_width=32, layers=2, heads=4, kv_heads=4, mlp_dim=64
)
ITEMS, HISTORY = 1000, 16


def points(meshes: Sequence[str], steps: int) -> Points:
    """Compare the losses of each mesh with those of one device."""
    alone = functools.cache(functools.partial(_losses, "data=1", steps))
    return {f"mesh: {mesh}": functools.partial(_compared, mesh, steps, alone) for mesh in meshes}


def _compared(mesh: str, steps: int, alone: Callable[[], list[float]]) -> Figures:
    expected, found = np.array(alone()), np.array(_losses(mesh, steps))
    difference = float((np.abs(found - expected) / expected).max())
    return {"steps": steps, "relative_difference": difference, "last_loss": found[-1]}


def _losses(mesh: str, steps: int) -> list[float]:
    rng = np.random.default_rng(0)
    ids = SemanticIds.from_codes(rng.integers(0, 64, (ITEMS, 2)), codes_per_level=(64, 64))
    histories = Histories.from_lists([rng.integers(0, ITEMS, n) for n in rng.integers(2, 16, 400)])
    config = TrainConfig(steps=steps, batch_size=32, mesh=mesh, log_every=1, eval_every=steps)
    found = train(build_model(SHAPE, 0), ids, histories, config, max_items=HISTORY, seed=0)
    return found.losses
