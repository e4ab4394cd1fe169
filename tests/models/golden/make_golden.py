"""Makes the golden files: tiny random Hugging Face models, their weights and their logits.

Needs torch and transformers, which the tests do not: run it by hand, in its own environment.

    python -m venv .venv-hf && .venv-hf/bin/pip install torch transformers
    .venv-hf/bin/python tests/models/golden/make_golden.py
"""

from pathlib import Path
from typing import Any

import numpy as np

FAMILIES = {
    "Llama": {"tie": False, "layers": 2},
    "Qwen2": {"tie": True, "layers": 1},
    "Qwen3": {"tie": True, "layers": 2, "head_dim": 16},
}
COMMON = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
}
T5_FAMILIES: dict[str, dict[str, Any]] = {
    "t5": {"feed_forward_proj": "relu", "tie_word_embeddings": True, "num_decoder_layers": 1},
    "t5-gated": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
}
T5_COMMON: dict[str, Any] = {
    "vocab_size": 40,
    "d_model": 24,
    "d_kv": 8,
    "d_ff": 32,
    "num_heads": 4,
    "num_layers": 2,
    "relative_attention_num_buckets": 12,
    "relative_attention_max_distance": 40,
}


def main() -> None:
    """Write one .npz a family."""
    import torch  # here, because pytest looks into this file for doctests
    import transformers

    for name, choice in FAMILIES.items():
        torch.manual_seed(0)
        config = getattr(transformers, f"{name}Config")(
            **COMMON,
            num_hidden_layers=choice["layers"],
            tie_word_embeddings=choice["tie"],
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
            **({"head_dim": choice["head_dim"]} if "head_dim" in choice else {}),
        )
        model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                # Large enough that every part matters (norms and biases too), and numbers that
                # float16 holds exactly, so that the file is half as large.
                offset = 1.0 if parameter.ndim == 1 and parameter.mean() > 0.5 else 0.0
                values = offset + 0.2 * torch.randn(parameter.shape)
                parameter.copy_(values.half().float())
            tokens = torch.randint(0, COMMON["vocab_size"], (2, 11))
            logits = model(tokens).logits
        weights = {
            key: value.numpy().astype(np.float16)
            for key, value in model.state_dict().items()
            if not (choice["tie"] and key == "lm_head.weight")
        }
        np.savez_compressed(
            Path(__file__).parent / f"{name.lower()}.npz",
            tokens=tokens.numpy().astype(np.int32),
            logits=logits.numpy(),
            **weights,
        )
    for name, choice in T5_FAMILIES.items():
        _write_t5(name, choice)


def _write_t5(name: str, choice: dict[str, Any]) -> None:
    """Write an encoder-decoder: long inputs, so that all buckets of distance occur."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.T5Config(**T5_COMMON, **choice)
    model = transformers.T5ForConditionalGeneration(config).eval()
    if not choice["tie_word_embeddings"]:  # T5 1.1; transformers 5 ties it all the same
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
    with torch.no_grad():
        for parameter in model.parameters():
            offset = 1.0 if parameter.ndim == 1 else 0.0
            values = offset + 0.2 * torch.randn(parameter.shape)
            parameter.copy_(values.half().float())
        tokens = torch.randint(1, T5_COMMON["vocab_size"], (2, 90))
        lengths = torch.tensor([90, 13])
        mask = (torch.arange(90)[None] < lengths[:, None]).long()
        spelled = torch.randint(0, T5_COMMON["vocab_size"], (2, 12))
        logits = model(input_ids=tokens, attention_mask=mask, decoder_input_ids=spelled).logits
    weights = {
        key: value.numpy().astype(np.float16)
        for key, value in model.state_dict().items()
        if "embed_tokens" not in key and not (choice["tie_word_embeddings"] and "lm_head" in key)
    }
    np.savez_compressed(
        Path(__file__).parent / f"{name}.npz",
        tokens=tokens.numpy().astype(np.int32),
        lengths=lengths.numpy().astype(np.int32),
        spelled=spelled.numpy().astype(np.int32),
        logits=logits.numpy().astype(np.float32),
        **weights,
    )


if __name__ == "__main__":
    main()
