"""Tiny checkpoints as transformers writes them, without transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from genret.hf import load_checkpoint

GOLDEN = Path(__file__).parents[1] / "models" / "golden"
COMMON = {
    "attention_dropout": 0.0,
    "bos_token_id": None,
    "dtype": "float32",
    "hidden_act": "silu",
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_theta": 500.0, "rope_type": "default"},
    "transformers_version": "5.24.0",
    "use_cache": True,
    "vocab_size": 40,
}
FIELDS = {
    "llama": {
        **COMMON,
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "head_dim": 8,
        "mlp_bias": False,
        "model_type": "llama",
        "num_hidden_layers": 2,
        "pretraining_tp": 1,
        "tie_word_embeddings": False,
    },
    "qwen2": {
        **COMMON,
        "architectures": ["Qwen2ForCausalLM"],
        "layer_types": ["full_attention"],
        "max_window_layers": 28,
        "model_type": "qwen2",
        "num_hidden_layers": 1,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
    },
    "qwen3": {
        **COMMON,
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "head_dim": 16,
        "layer_types": ["full_attention", "full_attention"],
        "model_type": "qwen3",
        "num_hidden_layers": 2,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
    },
}
T5_COMMON = {
    "architectures": ["T5ForConditionalGeneration"],
    "classifier_dropout": 0.0,
    "d_ff": 32,
    "d_kv": 8,
    "d_model": 24,
    "dropout_rate": 0.1,
    "dtype": "float32",
    "eos_token_id": 1,
    "initializer_factor": 1.0,
    "is_decoder": False,
    "is_encoder_decoder": True,
    "layer_norm_epsilon": 1e-6,
    "model_type": "t5",
    "num_heads": 4,
    "num_layers": 2,
    "pad_token_id": 0,
    "relative_attention_max_distance": 40,
    "relative_attention_num_buckets": 12,
    "transformers_version": "5.24.0",
    "vocab_size": 40,
}
T5_FIELDS = {
    "t5": {**T5_COMMON, "feed_forward_proj": "relu", "num_decoder_layers": 1,
           "tie_word_embeddings": True, "scale_decoder_outputs": True},
    "t5-gated": {**T5_COMMON, "feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu_new",
                 "is_gated_act": True, "num_decoder_layers": 2, "tie_word_embeddings": False},
}  # fmt: skip
WORDS = [
    "<unk>",
    "<s>",
    *[
        "chose",
        ":",
        ",",
        "asks",
        "for",
        "next",
        "a",
        "b",
        "c",
        "red",
        "blue",
        "shoes",
        "hat",
        "then",
        "the",
    ],
]


def golden(family: str) -> dict[str, np.ndarray]:
    """Return weights, tokens and logits that transformers gave."""
    return dict(np.load(GOLDEN / f"{family}.npz", allow_pickle=False))


def write(folder: Path, family: str, shards: int = 1, **changes: object) -> Path:
    """Write a golden model as a checkpoint folder."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        k: v.astype(np.float32)
        for k, v in golden(family).items()
        if k not in ("tokens", "logits", "lengths", "spelled")
    }
    fields = {
        k: v for k, v in {**(FIELDS | T5_FIELDS)[family], **changes}.items() if v != "left out"
    }
    (folder / "config.json").write_text(json.dumps(fields))
    names = sorted(weights)
    if shards == 1:
        safetensors.numpy.save_file(weights, folder / "model.safetensors")
        return folder
    places = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        own = names[number::shards]
        safetensors.numpy.save_file({n: weights[n] for n in own}, folder / file)
        places |= dict.fromkeys(own, file)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer of words; a word that it does not know is token 0."""
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: number for number, word in enumerate(WORDS)},
            "unk_token": "<unk>",
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))


@pytest.fixture(scope="session")
def qwen3(tmp_path_factory):
    """A tiny Qwen3 with a tokenizer of words."""
    folder = write(tmp_path_factory.mktemp("qwen3"), "qwen3")
    write_tokenizer(folder)
    return load_checkpoint(folder)
