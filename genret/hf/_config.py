"""``config.json`` of Llama, Qwen2 and Qwen3 to our architecture and back; the rest is refused by name."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genret.config import DecoderOnlyConfig
from genret.errors import GenretError
from genret.json_files import read_json

CONFIG = "config.json"
MAX_CONFIG_BYTES = 256 << 20
"""Largest ``config.json``, or index of shards, that is read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """What sets one model type apart from the others.

    Attributes:
      architecture: the class that transformers makes of it.
      qk_norm: queries and keys are normalized.
      qkv_bias: the projections have biases; None: the field ``attention_bias`` says it.
      defaults: what transformers takes for a field that the file does not have. A ``config.json``
        names only the fields that differ from them.
    """

    architecture: str
    qk_norm: bool
    qkv_bias: bool | None
    defaults: Mapping[str, Any]


_QWEN = {
    "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32, "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False, "rope_theta": 10000.0, "max_position_embeddings": 32768,
}  # fmt: skip
FAMILIES = {
    "llama": Family(
        architecture="LlamaForCausalLM",
        qk_norm=False,
        qkv_bias=None,
        defaults={
            "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": None,
            "head_dim": None, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
            "attention_bias": False, "rope_theta": 10000.0, "max_position_embeddings": 2048,
        },
    ),
    "qwen2": Family(
        architecture="Qwen2ForCausalLM",
        qk_norm=False,
        qkv_bias=True,
        defaults=_QWEN,
    ),
    "qwen3": Family(
        architecture="Qwen3ForCausalLM",
        qk_norm=True,
        qkv_bias=None,
        defaults=_QWEN | {"head_dim": 128, "attention_bias": False},
    ),
}  # fmt: skip
"""Families of causal language models, by ``model_type``."""

_READ = {
    "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
    "num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps", "rope_theta",
    "rope_scaling", "rope_parameters", "tie_word_embeddings", "attention_bias",
}  # fmt: skip

WITHOUT_EFFECT = {
    # on what a model computes from given tokens
    "architectures", "attention_dropout", "auto_map", "bos_token_id", "chunk_size_feed_forward",
    "classifier_dropout", "decoder_start_token_id", "dtype", "eos_token_id", "finetuning_task",
    "id2label", "initializer_range", "is_decoder", "is_encoder_decoder", "label2id",
    "max_position_embeddings", "max_window_layers", "name_or_path", "output_attentions",
    "output_hidden_states", "pad_token_id", "prefix", "problem_type", "return_dict", "sep_token_id",
    "task_specific_params", "tokenizer_class", "torch_dtype", "torchscript",
    "transformers_version", "unsloth_version", "use_cache", "use_bfloat16",
    "default_theta", "unsloth_fixed", "_name_or_path", "_attn_implementation",
    "_attn_implementation_autoset",
}  # fmt: skip

_EXPECTED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "mlp_bias": (False, None),
    "use_sliding_window": (False, None),
    "pretraining_tp": (1, None),
    "partial_rotary_factor": (1, 1.0, None),
    "quantization_config": (None,),
    "add_cross_attention": (False, None),
    "tie_encoder_decoder": (False, None),
    "pruned_heads": ({}, None),
    "cross_attention_hidden_size": (None,),
}
"""Fields that we follow for these values only."""


def read_object(file: Path) -> dict[str, Any]:
    """Return the JSON object of a file, or refuse it by name."""
    fields = read_json(file, max_bytes=MAX_CONFIG_BYTES)
    if not isinstance(fields, dict):
        raise GenretError(f"{file}: found {type(fields).__name__}, expected an object")
    return fields


def model_config(fields: Mapping[str, Any], where: str) -> tuple[DecoderOnlyConfig, int]:
    """Translate the fields of a ``config.json``.

    Args:
      fields: the fields.
      where: what to name in errors.

    Returns:
      The architecture (without codes) and the size of the vocabulary.

    Raises:
      GenretError: another family, a field that we do not know or do not follow, a missing one.

    >>> fields = {"model_type": "qwen3", "vocab_size": 9, "hidden_size": 8, "intermediate_size": 12,
    ...     "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    >>> model_config(fields | {"hidden_act": "gelu"}, "config.json")
    Traceback (most recent call last):
    ...
    genret.errors.GenretError: config.json: hidden_act: found 'gelu', expected one of 'silu', 'swish'
    """
    kind = fields.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise GenretError(
            f"{where}: model_type: found {short(kind)}, expected one of "
            f"{', '.join(map(repr, sorted([*FAMILIES, 't5'])))}"
        )
    _refuse_unsupported(fields, where)
    fields = {**family.defaults, **fields}
    heads = count(fields, "num_attention_heads", where)
    width = count(fields, "hidden_size", where)
    theta, scaling = _rope(fields, where)
    bias = family.qkv_bias
    try:
        config = DecoderOnlyConfig(
            width=width,
            layers=count(fields, "num_hidden_layers", where),
            heads=heads,
            kv_heads=count(fields, "num_key_value_heads", where, default=heads),
            head_dim=count(
                fields,
                "head_dim",
                where,
                default=None if family.defaults.get("head_dim") else max(1, width // heads),
            ),
            mlp_dim=count(fields, "intermediate_size", where),
            dropout=0.0,
            rope_theta=theta,
            rope_scaling=scaling,
            qk_norm=family.qk_norm,
            qkv_bias=flag(fields, "attention_bias", where) if bias is None else bias,
            norm_eps=number(fields["rms_norm_eps"], "rms_norm_eps", where),
            tie_embeddings=flag(fields, "tie_word_embeddings", where),
        )
    except GenretError as e:
        text = str(e)
        raise GenretError(text if text.startswith(where) else f"{where}: {text}") from e
    return config, count(fields, "vocab_size", where)


def fields_of(
    config: DecoderOnlyConfig, vocabulary: int, positions: int, kind: str | None = None
) -> dict[str, Any]:
    """Return the ``config.json`` of an architecture.

    Args:
      config: the architecture.
      vocabulary: tokens of the vocabulary.
      positions: the longest sequence that it is meant for.
      kind: the ``model_type`` to take where it has what the architecture asks for.

    Returns:
      The fields: of a Qwen3 where queries and keys are normalized, else of a Qwen2 or a Llama.
    """
    family = FAMILIES.get(kind or "")
    fits = family and family.qk_norm == config.qk_norm
    if not fits or kind is None or (kind == "qwen2" and not config.qkv_bias):
        bare = "qwen2" if config.qkv_bias else "llama"
        kind = "qwen3" if config.qk_norm else bare
    rope: dict[str, Any] = {"rope_type": "default"}
    if len(config.rope_scaling) == 1:
        rope = {"rope_type": "linear", "factor": config.rope_scaling[0]}
    elif config.rope_scaling:
        names = ("factor", "low_freq_factor", "high_freq_factor")
        rope = {"rope_type": "llama3", **dict(zip(names, config.rope_scaling[:3], strict=True))}
        rope["original_max_position_embeddings"] = int(config.rope_scaling[3])
    fields = {
        "architectures": [FAMILIES[kind].architecture],
        "model_type": kind,
        "vocab_size": vocabulary,
        "hidden_size": config.width,
        "intermediate_size": config.mlp_dim,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": positions,
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tie_embeddings,
        # Both spellings: releases before the fifth read the older one.
        "rope_theta": config.rope_theta,
        "rope_parameters": {**rope, "rope_theta": config.rope_theta},
        "torch_dtype": "float32",
    }
    if config.rope_scaling:
        fields["rope_scaling"] = rope
    if kind != "qwen2":
        fields["attention_bias"] = config.qkv_bias
    else:
        fields["use_sliding_window"] = False
    return fields


def _refuse_unsupported(fields: Mapping[str, Any], where: str) -> None:
    known = _READ | WITHOUT_EFFECT | _EXPECTED.keys() | {"sliding_window", "layer_types"}
    for name, value in fields.items():
        if name in _EXPECTED and not _is_one_of(value, _EXPECTED[name]):
            wanted = ", ".join(repr(v) for v in _EXPECTED[name] if v is not None) or "None"
            raise GenretError(f"{where}: {name}: found {short(value)}, expected one of {wanted}")
        if (
            name == "sliding_window"
            and value is not None
            and fields.get("use_sliding_window", True)
        ):
            raise GenretError(f"{where}: sliding_window: found {short(value)}, expected None")
        if name == "layer_types" and value is not None:
            kinds = value if isinstance(value, list) else [value]
            for kind in kinds:
                if kind != "full_attention":
                    raise GenretError(
                        f"{where}: layer_types: found {short(kind)}, expected 'full_attention'"
                    )
        if name not in known and value is not None and value is not False:
            raise GenretError(f"{where}: {name[:80]}: an unsupported field (found {short(value)})")


def _is_one_of(value: Any, expected: tuple[Any, ...]) -> bool:
    """Compare as JSON does: true is not 1."""
    return any(type(value) is type(e) and value == e for e in expected) or (
        type(value) in (int, float) and value in [e for e in expected if type(e) in (int, float)]
    )


def _rope(fields: Mapping[str, Any], where: str) -> tuple[float, tuple[float, ...]]:
    """Return the base and our form of the scaling."""
    rope: dict[str, Any] = {}
    for name in ("rope_scaling", "rope_parameters"):
        found = fields.get(name)
        if found is not None and not isinstance(found, dict):
            raise GenretError(f"{where}: {name}: found {short(found)}, expected an object")
        rope |= found or {}
    theta = number(rope.pop("rope_theta", fields["rope_theta"]), "rope_theta", where)
    kind = rope.pop("rope_type", rope.pop("type", "default"))
    rope.pop("type", None)
    if rope.pop("partial_rotary_factor", 1) != 1:
        raise GenretError(f"{where}: rope_parameters.partial_rotary_factor: expected 1")
    names = {
        "default": (),
        "linear": ("factor",),
        "llama3": (
            "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
        ),
    }.get(kind if isinstance(kind, str) else "")  # fmt: skip
    if names is None:
        raise GenretError(
            f"{where}: rope scaling: found {short(kind)}, expected 'default', 'linear' or 'llama3'"
        )
    if kind == "llama3":
        rope.setdefault(names[3], fields.get("max_position_embeddings"))
    unknown = sorted(rope.keys() - set(names) - {"original_max_position_embeddings"})
    if unknown:
        raise GenretError(f"{where}: rope scaling: {unknown[0][:80]}: unsupported for {kind!r}")
    scaling = tuple(number(rope.get(name), f"rope scaling: {name}", where) for name in names)
    return theta, scaling


def count(fields: Mapping[str, Any], name: str, where: str, default: int | None = None) -> int:
    """Return a positive integer below 2**31, or refuse it by name; ``default`` stands for null."""
    value = fields.get(name)
    value = default if value is None else value
    if type(value) is not int or not 1 <= value < 2**31:
        raise GenretError(
            f"{where}: {name}: found {short(value)}, expected a positive integer below 2**31"
        )
    return value


def number(value: Any, name: str, where: str) -> float:
    """Return a positive finite number, or refuse it by name."""
    right = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    try:
        found = float(value) if right else math.nan
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise GenretError(f"{where}: {name}: found {short(value)}, expected a positive number")
    return found


def flag(fields: Mapping[str, Any], name: str, where: str) -> bool:
    """Return true or false, or refuse the value by name; null is false."""
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise GenretError(f"{where}: {name}: found {short(value)}, expected true or false")
    return bool(value)


def short(value: Any) -> str:
    """Show a value of a JSON file in at most 60 characters."""
    if isinstance(value, int) and abs(value) > 10**40:
        return "an integer of more than 40 digits"
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
