"""What the architectures of all kinds of models have."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

from genret.config._base import Config, require, require_counts, require_finite

M = TypeVar("M", bound="ModelConfig")

MODEL_KINDS: dict[str, type["ModelConfig"]] = {}
"""The class of each kind of model, by the name of the kind; filled as the classes are defined."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """Base of the architectures; make one of a kind, such as :class:`ItemDecoderConfig`.

    Attributes:
      kind: name of the kind of model.
    """

    kind: ClassVar[str] = ""

    codes_per_level: tuple[int, ...] = ()
    """Codes of each level; filled from codes/."""
    width: int = 128
    """Width of the residual stream."""
    layers: int = 2
    """Blocks over the history."""
    heads: int = 4
    """Query heads."""
    mlp_dim: int = 384
    """Width of the hidden layer of the MLP."""
    max_items: int = 20
    """Longest history, in items; older items are cut."""
    dropout: float = 0.1
    """Dropout of the residual branches and the embeddings, in training."""
    norm_eps: float = 1e-6
    """Epsilon of the normalization layers."""
    tie_embeddings: bool = True
    """The output embedding is the input embedding."""
    normalize: Literal["level", "catalog", "legal"] = "level"
    """Codes over which a search normalizes: those of a level, those that lead to an item, or those
    that lead to an allowed item. Training with the loss "legal" sets it to "catalog"."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of activations; parameters stay float32."""

    def __init_subclass__(cls, kind: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kind is not None:
            cls.kind = kind
            MODEL_KINDS[kind] = cls

    def __post_init__(self) -> None:
        require_counts(self, "width", "layers", "heads", "mlp_dim", "max_items")
        require_finite(self, "norm_eps")
        require(
            0 <= self.dropout < 1,
            f"dropout: found {self.dropout}, expected 0 or more and less than 1",
        )
        require(
            all(v >= 1 for v in self.codes_per_level),
            f"codes_per_level: found {self.codes_per_level}, expected positive counts",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the kind and the fields as JSON values."""
        return {"kind": self.kind, **super().to_dict()}

    @classmethod
    def from_dict(cls: type[M], values: Mapping[str, Any], *, where: str = "config") -> M:
        """Build the architecture of the kind that ``values["kind"]`` names.

        Raises:
          GenretError: an unknown kind, or another than that of the class; a key that the kind does
            not have; a value of the wrong type.

        >>> from genret.config import ModelConfig
        >>> ModelConfig.from_dict({"kind": "decoder_only", "width": 64}).width
        64
        >>> ModelConfig.from_dict({"kind": "decoder_only", "code_width": 64})
        Traceback (most recent call last):
        ...
        genret.errors.GenretError: config: unknown key 'code_width' of DecoderOnlyConfig; did you mean \
'width'?
        """
        fields = dict(values)
        kind = fields.pop("kind", cls.kind)
        chosen = MODEL_KINDS.get(kind) if isinstance(kind, str) else None
        require(
            chosen is not None and issubclass(chosen, cls),
            f"{where}: kind: found {kind!r}, expected one of "
            f"{', '.join(repr(name) for name, c in MODEL_KINDS.items() if issubclass(c, cls))}",
        )
        assert chosen is not None
        assert issubclass(chosen, cls)
        if chosen is cls:
            return super().from_dict(fields, where=where)
        return chosen.from_dict(fields, where=where)

    def as_kind(self, kind: str, **changes: Any) -> "ModelConfig":
        """Return an architecture of another kind, with the fields that both kinds have.

        >>> from genret.config import ItemDecoderConfig
        >>> ItemDecoderConfig(width=64, heads=2, kv_heads=1).as_kind("encoder_decoder").width
        64
        """
        names = {f.name for f in dataclasses.fields(MODEL_KINDS[kind])}
        kept = {name: value for name, value in vars(self).items() if name in names}
        return model_config(kind, **kept | changes)


def model_config(kind: str, **fields: Any) -> ModelConfig:
    """Return the architecture of a kind.

    Args:
      kind: name of the kind, a key of :data:`MODEL_KINDS`.
      fields: values for its fields; the others keep their defaults.

    Raises:
      GenretError: an unknown kind, a field that the kind does not have, or a value out of range.

    >>> from genret.config import model_config
    >>> model_config("sasrec", width=64).kind
    'sasrec'
    >>> model_config("sasrec", kv_heads=2)
    Traceback (most recent call last):
    ...
    genret.errors.GenretError: kv_heads: a model of kind 'sasrec' has none; this one is for \
decoder_only, item_decoder, one_pass, rpg
    """
    require(kind in MODEL_KINDS, f"kind: found {kind!r}, expected one of {', '.join(MODEL_KINDS)}")
    cls = MODEL_KINDS[kind]
    names = {f.name for f in dataclasses.fields(cls)}
    for name in fields:
        others = [
            other
            for other, c in MODEL_KINDS.items()
            if name in {f.name for f in dataclasses.fields(c)}
        ]
        hint = f"; this one is for {', '.join(sorted(others))}" if others else ""
        require(name in names, f"{name}: a model of kind {kind!r} has none{hint}")
    return cls(**fields)
