"""Frozen configurations of every stage, and how they become JSON and come back.

The command line is made from these classes: a field is an option, the text under it is its help.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from genret.errors import GenretError

C = TypeVar("C", bound="Config")


class Config:
    """Base of the frozen configuration dataclasses: strict conversion from and to JSON values."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values (tuples become lists)."""
        return {
            k: list(v) if isinstance(v, tuple) else v
            for k, v in dataclasses.asdict(self).items()  # type: ignore[call-overload]
        }

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any], *, where: str = "config") -> C:
        """Build the configuration from JSON values.

        Args:
          values: field name -> value.
          where: what to name in errors.

        Returns:
          The configuration.

        Raises:
          GenretError: an unknown key, a missing one, or a value of the wrong type.

        >>> TrainConfig.from_dict({"step": 3})
        Traceback (most recent call last):
        ...
        genret.errors.GenretError: config: unknown key 'step' of TrainConfig; did you mean 'steps'?
        """
        import difflib

        hints = typing.get_type_hints(cls)
        fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        checked = {}
        for key, value in values.items():
            if key not in fields:
                close = difflib.get_close_matches(key, fields, 1)
                hint = f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(fields)}"
                raise GenretError(f"{where}: unknown key {key!r} of {cls.__name__}{hint}")
            checked[key] = _checked(value, hints[key], f"{where}: {cls.__name__}.{key}")
        try:
            return cls(**checked)
        except TypeError as e:
            raise GenretError(f"{where}: {cls.__name__}: {e}") from e


def _checked(value: Any, hint: Any, where: str) -> Any:
    """Return ``value`` as the hinted type (a list as a tuple, an int as a float) or refuse it."""
    origin = typing.get_origin(hint)
    args = typing.get_args(hint)
    if origin is Literal:
        if value not in args:
            raise GenretError(
                f"{where}: found {value!r}, expected one of {', '.join(map(repr, args))}"
            )
        return value
    if origin in (typing.Union, types.UnionType):
        for option in args:
            try:
                return _checked(value, option, where)
            except GenretError:
                continue
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(_checked(v, args[0], where) for v in value)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif hint is type(None):
        if value is None:
            return None
    elif isinstance(hint, type) and type(value) is hint:
        return value
    name = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise GenretError(f"{where}: found {value!r}, expected {name}")


def require(condition: bool, message: str) -> None:
    """Raise :class:`~genret.errors.GenretError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise GenretError(message)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColumnsConfig(Config):
    """Which columns of the input files mean what; None finds the usual names."""

    user: str | None = None
    """Column of the user id in the interactions."""
    item: str | None = None
    """Column of the item id, in the interactions and in the items."""
    time: str | None = None
    """Column of the time in the interactions."""
    title: str | None = None
    """Column of the title in the items."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IngestConfig(Config):
    """Rules of ingestion."""

    min_user_events: int = 1
    """Iterative k-core: users with fewer events are dropped, again and again."""
    min_item_events: int = 1
    """Iterative k-core: items with fewer events lose their events (they stay in the catalogue)."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Rows equal in user, item and time: keep the first, or keep all."""
    unknown_items: Literal["drop", "error"] = "drop"
    """Events whose item is not in the items file: drop and count them, or refuse the input."""
    split: Literal["leave-one-out", "by-time"] = "leave-one-out"
    """Last item of each user for the test, or everything after a moment."""
    valid_fraction: float = 0.1
    """by-time: share of the events, just before the test's, that are for validation."""
    test_fraction: float = 0.1
    """by-time: share of the events, the newest, that are for the test."""

    def __post_init__(self) -> None:
        require(
            self.min_user_events >= 1,
            f"min_user_events: found {self.min_user_events}, expected at least 1",
        )
        require(
            self.min_item_events >= 1,
            f"min_item_events: found {self.min_item_events}, expected at least 1",
        )
        for name in ("valid_fraction", "test_fraction"):
            value = getattr(self, name)
            require(
                0 < value < 0.5, f"{name}: found {value}, expected more than 0 and less than 0.5"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbedConfig(Config):
    """How item vectors are made when none are brought."""

    text_columns: tuple[str, ...] = ()
    """Columns of the items that are read as text; empty takes every column of text, title first."""
    text_dim: int = 64
    """Width of the text part; 0 leaves it out."""
    cooccurrence_dim: int = 64
    """Width of the part from items that occur together in training histories; 0 leaves it out."""
    cooccurrence_window: int = 10
    """Two items of a training history count as together up to this many positions apart."""
    text_weight: float = 1.0
    """Weight of the text part, whose rows have unit length before."""
    cooccurrence_weight: float = 1.0
    """Weight of the co-occurrence part, whose rows have unit length before."""
    pieces: int = 4000
    """Size of the sentencepiece vocabulary that is trained on the catalogue (an upper bound)."""

    def __post_init__(self) -> None:
        for name in ("text_dim", "cooccurrence_dim"):
            require(
                getattr(self, name) >= 0, f"{name}: found {getattr(self, name)}, expected 0 or more"
            )
        require(
            self.text_dim + self.cooccurrence_dim > 0, "text_dim and cooccurrence_dim: both are 0"
        )
        for name in ("text_weight", "cooccurrence_weight"):
            require(
                0 <= getattr(self, name) < float("inf"),
                f"{name}: found {getattr(self, name)}, expected a finite number, 0 or more",
            )
        require(
            self.cooccurrence_window >= 1,
            f"cooccurrence_window: found {self.cooccurrence_window}, expected at least 1",
        )
        require(self.pieces >= 16, f"pieces: found {self.pieces}, expected at least 16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizeConfig(Config):
    """Residual k-means over item vectors."""

    levels: int = 3
    """Residual levels: codes of an item before a collision suffix."""
    codebook_size: int = 0
    """Codes of each level; 0 takes 256, or fewer for a small catalogue."""
    collisions: Literal["suffix", "keep"] = "suffix"
    """Items with equal codes: tell them apart by one more code, or let them share a leaf."""
    iterations: int = 50
    """Lloyd iterations (passes over the vectors) of each level."""
    batch_size: int = 65536
    """Vectors in a mini-batch; catalogues up to this size use full batches."""

    def __post_init__(self) -> None:
        require(1 <= self.levels <= 63, f"levels: found {self.levels}, expected 1 to 63")
        require(
            self.codebook_size == 0 or self.codebook_size >= 2,
            f"codebook_size: found {self.codebook_size}, expected 0 or at least 2",
        )
        require(self.iterations >= 1, f"iterations: found {self.iterations}, expected at least 1")
        require(self.batch_size >= 1, f"batch_size: found {self.batch_size}, expected at least 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """Architecture of a model; the code counts come from the tokenizer.

    Attributes:
      codes_per_level: codes of each level, [L].
    """

    kind: Literal["item_decoder", "decoder_only"] = "item_decoder"
    """Items as positions and a small code decoder, or flattened codes (Llama/Qwen)."""
    codes_per_level: tuple[int, ...] = ()
    """Codes of each level; filled from codes/."""
    width: int = 128
    """Width of the residual stream."""
    layers: int = 2
    """Blocks over the history."""
    code_layers: int = 1
    """item_decoder: blocks of the code decoder."""
    code_width: int = 0
    """item_decoder: width of the code decoder; 0 takes half of width."""
    heads: int = 4
    """Query heads."""
    kv_heads: int = 4
    """Key/value heads (grouped-query attention when fewer than heads)."""
    head_dim: int = 32
    """Width of a head."""
    mlp_dim: int = 384
    """Width of the gated MLP."""
    max_items: int = 20
    """Longest history, in items; older items are cut."""
    dropout: float = 0.1
    """Dropout of the residual branches and the embeddings, in training."""
    rope_theta: float = 10000.0
    """Base of the rotary position embedding."""
    qk_norm: bool = True
    """RMS-normalise queries and keys (Qwen3)."""
    qkv_bias: bool = False
    """Biases in the query, key and value projections (Qwen2)."""
    norm_eps: float = 1e-6
    """Epsilon of RMSNorm."""
    tie_embeddings: bool = True
    """The output embedding is the input embedding."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of activations; parameters stay float32."""

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "kv_heads", "head_dim", "mlp_dim", "max_items"):
            require(
                getattr(self, name) >= 1,
                f"{name}: found {getattr(self, name)}, expected at least 1",
            )
        require(
            self.heads % self.kv_heads == 0,
            f"kv_heads: found {self.kv_heads}, expected a divisor of heads {self.heads}",
        )
        require(
            self.head_dim % 2 == 0,
            f"head_dim: found {self.head_dim}, expected an even number (rotary pairs)",
        )
        require(
            0 <= self.dropout < 1,
            f"dropout: found {self.dropout}, expected 0 or more and less than 1",
        )
        require(
            all(v >= 1 for v in self.codes_per_level),
            f"codes_per_level: found {self.codes_per_level}, expected positive counts",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Optimisation."""

    steps: int = 2000
    """Optimiser steps at most."""
    batch_size: int = 64
    """Rows of a batch; a row holds max_items positions, filled with one history or several."""
    packing: Literal["pack", "bucket", "pad"] = "pack"
    """Several histories in a row, rows of a few lengths, or one padded history a row."""
    learning_rate: float = 3e-3
    """Peak of the learning rate."""
    warmup: float = 0.05
    """Share of the steps with a linearly rising learning rate; a cosine follows."""
    weight_decay: float = 0.01
    """AdamW's decoupled decay of the matrices (not of norms and biases)."""
    clip: float = 1.0
    """Global norm to which gradients are clipped."""
    eval_every: int = 200
    """Steps between validations."""
    eval_users: int = 1000
    """Users of a validation (the first ones in a seeded order); 0 takes all."""
    patience: int = 5
    """Validations without a better NDCG@10 after which training stops; 0 never stops early."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between lines of metrics."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "eval_every", "checkpoint_every", "log_every"):
            require(
                getattr(self, name) >= 1,
                f"{name}: found {getattr(self, name)}, expected at least 1",
            )
        require(
            self.learning_rate > 0,
            f"learning_rate: found {self.learning_rate}, expected more than 0",
        )
        require(
            0 <= self.warmup < 1, f"warmup: found {self.warmup}, expected 0 or more and less than 1"
        )
        require(self.clip > 0, f"clip: found {self.clip}, expected more than 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Config):
    """Evaluation over the whole catalogue."""

    split: Literal["valid", "test"] = "test"
    """Which held-out items."""
    k: tuple[int, ...] = (5, 10, 20)
    """Cut-offs of the metrics."""
    beams: int = 50
    """Beams of the search; at least the largest cut-off."""
    exact: bool = False
    """Score every item instead of searching with beams: for catalogues of some ten thousand."""
    exclude_seen: bool = True
    """Forbid the items of the history, for every method alike (inside the beam)."""
    users: int = 0
    """Users to evaluate (the first ones in a seeded order); 0 takes all."""
    batch_size: int = 128
    """Users in a batch."""
    bootstrap: int = 1000
    """Resamples of the 95 % intervals."""

    def __post_init__(self) -> None:
        require(bool(self.k) and min(self.k) >= 1, f"k: found {self.k}, expected positive cut-offs")
        require(
            self.exact or self.beams >= max(self.k),
            f"beams: found {self.beams}, expected at least the largest k, {max(self.k)}",
        )
        require(self.batch_size >= 1, f"batch_size: found {self.batch_size}, expected at least 1")
