"""``config.json`` of T5 to our architecture and back."""

from collections.abc import Mapping
from typing import Any

from genret.config import EncoderDecoderConfig
from genret.errors import GenretError
from genret.hf._config import WITHOUT_EFFECT, count, flag, number, short

_READ = {
    "model_type", "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers",
    "num_heads", "relative_attention_num_buckets", "relative_attention_max_distance",
    "layer_norm_epsilon", "feed_forward_proj", "tie_word_embeddings", "scale_decoder_outputs",
}  # fmt: skip

_FOLLOWS = {"dense_act_fn", "is_gated_act", "dropout_rate", "initializer_factor", "n_positions",
            "output_past", "classifier_dropout"}  # fmt: skip
"""Fields that follow from those that are read, or say something of training only."""

_MLPS = {"relu": False, "gated-gelu": True}

DEFAULTS = {
    "vocab_size": 32128, "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6,
    "num_decoder_layers": None, "num_heads": 8, "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6,
    "feed_forward_proj": "relu", "tie_word_embeddings": True,
}  # fmt: skip
"""What transformers takes for a field that the file does not have."""


def t5_config(fields: Mapping[str, Any], where: str) -> tuple[EncoderDecoderConfig, int]:
    """Translate the fields of a T5's ``config.json``.

    Args:
      fields: the fields.
      where: what to name in errors.

    Returns:
      The architecture (without codes) and the size of the vocabulary.

    Raises:
      GenretError: a field that we do not know or do not follow, or a missing one.
    """
    for name, value in fields.items():
        if (
            name not in _READ | _FOLLOWS | WITHOUT_EFFECT
            and value is not None
            and value is not False
        ):
            raise GenretError(f"{where}: {name[:80]}: an unsupported field (found {short(value)})")
    fields = {**DEFAULTS, **fields}
    mlp = fields["feed_forward_proj"]
    if not isinstance(mlp, str) or mlp not in _MLPS:
        raise GenretError(
            f"{where}: feed_forward_proj: found {short(mlp)}, expected 'relu' or 'gated-gelu'"
        )
    # T5 scales what it scores exactly where the embeddings are tied; T5 1.1 does neither.
    name = "tie_word_embeddings"
    tied = fields[name] is None or flag(fields, name, where)
    if fields.get("scale_decoder_outputs") is not None:
        tied = flag(fields, "scale_decoder_outputs", where)
    heads, layers = count(fields, "num_heads", where), count(fields, "num_layers", where)
    try:
        config = EncoderDecoderConfig(
            width=count(fields, "d_model", where),
            layers=layers,
            code_layers=count(fields, "num_decoder_layers", where, default=layers),
            heads=heads,
            head_dim=count(fields, "d_kv", where),
            mlp_dim=count(fields, "d_ff", where),
            dropout=0.0,
            norm_eps=number(fields["layer_norm_epsilon"], "layer_norm_epsilon", where),
            tie_embeddings=tied,
            gated_mlp=_MLPS[mlp],
            relative_buckets=count(fields, "relative_attention_num_buckets", where),
            relative_distance=count(fields, "relative_attention_max_distance", where),
        )
    except GenretError as e:
        text = str(e)
        raise GenretError(text if text.startswith(where) else f"{where}: {text}") from e
    return config, count(fields, "vocab_size", where)


def t5_fields(config: EncoderDecoderConfig, vocabulary: int) -> dict[str, Any]:
    """Return the ``config.json`` of an architecture."""
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "vocab_size": vocabulary,
        "d_model": config.width,
        "d_kv": config.head_dim,
        "d_ff": config.mlp_dim,
        "num_layers": config.layers,
        "num_decoder_layers": config.code_layers,
        "num_heads": config.heads,
        "relative_attention_num_buckets": config.relative_buckets,
        "relative_attention_max_distance": config.relative_distance,
        "layer_norm_epsilon": config.norm_eps,
        "feed_forward_proj": "gated-gelu" if config.gated_mlp else "relu",
        "tie_word_embeddings": config.tie_embeddings,
        "is_encoder_decoder": True,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "torch_dtype": "float32",
    }
