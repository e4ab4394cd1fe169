"""Fields that a ``config.json`` leaves out are transformers' own defaults, family by family."""

import warnings
from typing import Any

import pytest

from genret.config import ModelConfig
from genret.errors import GenretError
from genret.hf._config import FAMILIES, model_config
from genret.hf._t5 import DEFAULTS, t5_config
from tests.edits import HOSTILE

READ = {**{kind: family.defaults for kind, family in FAMILIES.items()}, "t5": DEFAULTS}


def translated(fields: dict[str, Any]) -> tuple[ModelConfig, int]:
    translate = t5_config if fields["model_type"] == "t5" else model_config
    return translate(fields, "config.json")


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("qwen3", {"hidden_size": 1024, "num_attention_heads": 64}, {"head_dim": 128, "kv_heads": 32}),
        ("qwen2", {"hidden_size": 1024, "num_attention_heads": 64}, {"head_dim": 16, "kv_heads": 32}),
        ("llama", {"hidden_size": 1024, "num_attention_heads": 16}, {"head_dim": 64, "kv_heads": 16}),
        ("qwen3", {"num_attention_heads": 8, "num_key_value_heads": None}, {"head_dim": 128, "kv_heads": 8}),
        ("t5", {"num_layers": 3}, {"layers": 3, "code_layers": 3, "width": 512, "head_dim": 64}),
        ("t5", {"num_decoder_layers": 2}, {"layers": 6, "code_layers": 2, "gated_mlp": False}),
    ],
)  # fmt: skip
def test_what_is_left_out(kind: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    config, _ = translated({"model_type": kind, **given})
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize("kind", READ)
def test_defaults_are_those_of_transformers(kind: str) -> None:
    """Each field alone, and all of them, is left out of what the real configuration class writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers")
        names = {
            "llama": "LlamaConfig",
            "qwen2": "Qwen2Config",
            "qwen3": "Qwen3Config",
            "t5": "T5Config",
        }
        real = getattr(transformers, names[kind])
        whole = real().to_dict()
        assert translated({"model_type": kind}) == translated(whole)
        for name in READ[kind]:
            if name in whole:
                rest = {k: v for k, v in whole.items() if k != name}
                assert translated(rest) == translated(whole), name
        small = real(vocab_size=77, **({"d_model": 64} if kind == "t5" else {"hidden_size": 64}))
        assert translated(small.to_diff_dict() | {"model_type": kind}) == translated(
            small.to_dict()
        )


@pytest.mark.parametrize("kind", READ)
def test_hostile_values_are_refused_by_name_or_mean_something(kind: str) -> None:
    for name in [*READ[kind], "rope_scaling", "rope_parameters", "layer_types", "sliding_window",
                 "hidden_act", "attention_bias", "quantization_config", "model_type"]:  # fmt: skip
        for value in [*HOSTILE, {"rope_type": []}, {"rope_type": "llama3"}, {"factor": 10**400}]:
            try:
                config, vocabulary = translated({"model_type": kind, name: value})
            except GenretError as e:
                message = str(e)
                assert message.startswith("config.json: ")
                assert "\n" not in message
                assert len(message) < 300
            else:
                assert type(vocabulary) is int
                assert all(type(v) is not bool for v in (config.width, config.layers, config.heads))
