"""Configuration of the training."""

import dataclasses
import math
from typing import Any, Literal

from genret.config._base import Config, require, require_counts, require_finite
from genret.config._mesh import NO_MESH, mesh_axes

_SINCE = (
    ("accumulate", 1), ("dense_weight", 1.0), ("dense_negatives", 0), ("gbce_calibration", 0.75),
    ("dense_smoothing", 0.0), ("epochs", 0.0), ("crop", 0.0), ("drop_items", 0.0), ("shuffle", 0.0),
    ("reverse", 0.0),
)  # fmt: skip
"""Fields that older checkpoints do not have, at what they did."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Optimization."""

    steps: int = 2000
    """Optimizer steps at most."""
    epochs: float = 0.0
    """Passes over the training events, which then decide the number of steps; 0 takes steps."""
    batch_size: int = 64
    """Rows of a batch; a row holds max_items positions, filled with one history or several."""
    packing: Literal["pack", "bucket", "pad"] = "pack"
    """Several histories in a row, rows of a few lengths, or one padded history a row."""
    crop: float = 0.0
    """Share of the histories of which an epoch sees a random part only, of half of it or more."""
    drop_items: float = 0.0
    """Probability with which an epoch leaves an event out of its history."""
    shuffle: float = 0.0
    """Share of the histories that an epoch sees in random order."""
    reverse: float = 0.0
    """Share of the histories that an epoch sees backwards, of those that are not shuffled."""
    learning_rate: float = 3e-3
    """Peak of the learning rate."""
    warmup: float = 0.05
    """Share of the steps with a linearly rising learning rate; a cosine follows."""
    weight_decay: float = 0.01
    """AdamW's decoupled decay of the matrices (not of norms and biases)."""
    clip: float = 1.0
    """Global norm to which gradients are clipped."""
    loss: Literal["level", "vocabulary", "legal", "sampled", "gbce"] = "level"
    """Codes that a code competes with: those of its level, of all levels, those that the codes
    before it allow (as searches then do), or a sample of its level's, in a softmax or in gBCE."""
    label_smoothing: float = 0.0
    """Share of the target that is spread evenly over the codes that compete."""
    level_weights: tuple[float, ...] = ()
    """Weight of each level's loss; empty weighs all by 1."""
    sampled_codes: int = 256
    """sampled, gbce: codes drawn at each level in each step."""
    sampled_from: Literal["uniform", "popularity"] = "uniform"
    """sampled: draw codes evenly, or as often as they occur in the training events."""
    gbce_calibration: float = 0.75
    """gbce: 0 is the binary cross-entropy, 1 gives probabilities as of a full softmax (t)."""
    dense_weight: float = 1.0
    """Weight of the loss of the dense head, for a model that has one: the cross-entropy of the item."""
    dense_negatives: int = 0
    """Items drawn in each step that the dense head's target competes with, as sampled_from says; 0, or
    as many as the catalog has: all that training knows."""
    dense_smoothing: float = 0.0
    """Share of the dense head's target that is spread evenly over the items that compete."""
    apao: Literal["none", "pointwise", "pairwise"] = "none"
    """Prefix loss of APAO beside the cross-entropy: of the item alone, or against other items."""
    apao_weight: float = 0.3
    """apao: weight of the prefix loss (beta)."""
    apao_rate: float = 1e-4
    """apao: how fast weight moves to the worst prefix (eta)."""
    apao_negatives: int = 100
    """apao pairwise: items drawn evenly that the target competes with."""
    transitions: bool = False
    """Count which items followed which in the training histories, and fuse the counts with the model
    by the weight that is the best on the validation split; where that is 0 they are dropped."""
    eval_every: int = 200
    """Steps between validations."""
    exclude_seen: bool = True
    """Forbid the items of the history in validations, as an evaluation does by default."""
    eval_users: int = 1000
    """Users of a validation (the first ones in a seeded order); 0 takes all."""
    patience: int = 5
    """Validations without a better NDCG@10 after which training stops; 0 never stops early."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between lines of metrics."""
    mesh: str = NO_MESH
    """Mesh of devices, such as data=4,model=2: data splits the rows of a batch and keeps parts of
    the parameters, model splits embeddings and MLPs; none trains on one device, or on --devices."""
    accumulate: int = 1
    """Parts into which each batch is cut; they are run one after another and their gradients are
    added, which takes less memory."""
    remat: bool = False
    """Compute the inside of each block again in the backward pass instead of keeping it: less
    memory, about a third more work."""

    def __post_init__(self) -> None:
        require_counts(
            self, "steps", "batch_size", "eval_every", "checkpoint_every", "log_every",
            "accumulate", "sampled_codes", "apao_negatives",
        )  # fmt: skip
        require_counts(self, "eval_users", "patience", "dense_negatives", least=0)
        require_finite(self, "learning_rate", positive=True)
        require_finite(self, "weight_decay", "apao_weight", "apao_rate", "dense_weight", "epochs")
        require(
            0 <= self.warmup < 1, f"warmup: found {self.warmup}, expected 0 or more and less than 1"
        )
        require(self.clip > 0, f"clip: found {self.clip}, expected more than 0")
        for name in ("label_smoothing", "dense_smoothing", "drop_items"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name}: found {value}, expected 0 or more and less than 1")
        for name in ("crop", "shuffle", "reverse"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"{name}: found {value}, expected 0 to 1")
        require(
            self.label_smoothing == 0 or self.loss not in ("sampled", "gbce"),
            f"label_smoothing: found with loss {self.loss!r}, expected another loss",
        )
        require(
            0 <= self.gbce_calibration <= 1,
            f"gbce_calibration: found {self.gbce_calibration}, expected 0 to 1",
        )
        require(
            all(0 <= w < math.inf for w in self.level_weights),
            f"level_weights: found {self.level_weights}, expected 0 or more",
        )
        require(
            self.accumulate == 1 or self.apao == "none",
            f"accumulate: found {self.accumulate} with apao {self.apao!r}, expected 1: its weights "
            "follow from the losses of a whole batch",
        )
        if self.mesh != NO_MESH:
            mesh_axes(self.mesh)

    def for_events(self, events: int, events_per_row: int) -> "TrainConfig":
        """Return it with the number of steps that its epochs take.

        Args:
          events: training events.
          events_per_row: events that a row of a batch holds when it is full: positions that are
            targets.

        >>> TrainConfig(epochs=10.0, batch_size=2).for_events(200, 10).steps
        100
        """
        if self.epochs == 0:
            return self
        steps = round(self.epochs * events / (self.batch_size * events_per_row))
        return dataclasses.replace(self, steps=max(1, steps), epochs=0.0)

    def what_is_learned(self) -> dict[str, Any]:
        """Return the fields that decide what is learned, as JSON values.

        Where it is computed, what is kept in memory and what is counted after it is left out: a
        training may go on on another mesh. What is at the default since it exists is left out too, so
        that older checkpoints go on.
        """
        fields = self.to_dict()
        return {
            name: value
            for name, value in fields.items()
            if name not in ("mesh", "remat", "transitions") and (name, value) not in _SINCE
        }
