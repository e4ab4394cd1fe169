"""The transformers give the logits of Hugging Face's Llama, Qwen2, Qwen3 and T5."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from genret.config import DecoderOnlyConfig, EncoderDecoderConfig
from genret.models._attention import causal_mask
from genret.models._decoder_only import LanguageModel
from genret.models._encoder_decoder import T5
from genret.models._layers import readout

GOLDEN = Path(__file__).parent / "golden"
COMMON = {
    "width": 32,
    "mlp_dim": 48,
    "heads": 4,
    "kv_heads": 2,
    "norm_eps": 1e-5,
    "rope_theta": 500.0,
    "dropout": 0.0,
}
CONFIGS = {
    "llama": DecoderOnlyConfig(**COMMON, layers=2, head_dim=8, qk_norm=False, tie_embeddings=False),
    "qwen2": DecoderOnlyConfig(**COMMON, layers=1, head_dim=8, qk_norm=False, qkv_bias=True),
    "qwen3": DecoderOnlyConfig(**COMMON, layers=2, head_dim=16, qk_norm=True),
}
NAMES = {
    "embedding.table": "model.embed_tokens.weight",
    "output.table": "lm_head.weight",
    "blocks.norm": "model.norm",
    "blocks.blocks": "model.layers",
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "attention.": "self_attn.",
    ".scale": ".weight",
    ".kernel": ".weight",
}


@pytest.mark.parametrize("family", CONFIGS)
def test_logits_equal_hugging_face(family: str) -> None:
    golden = dict(np.load(GOLDEN / f"{family}.npz", allow_pickle=False))
    tokens, expected = jnp.asarray(golden.pop("tokens")), golden.pop("logits")
    model = LanguageModel(CONFIGS[family], 40, rngs=nnx.Rngs(0))
    for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        ours = ".".join(map(str, path))
        theirs = ours
        for old, new in NAMES.items():
            theirs = theirs.replace(old, new)
        weight = golden.pop(theirs).astype(np.float32)
        weight = weight.T if ours.endswith("kernel") else weight
        assert variable.shape == weight.shape, ours
        variable[...] = jnp.asarray(weight)
    assert not golden, "weights that have no place"

    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    hidden, _, _ = model(model.embed(tokens), positions, causal_mask(jnp.ones_like(tokens)))
    logits = readout(hidden, model.output_table)
    np.testing.assert_allclose(np.asarray(logits), expected, atol=1e-4)
    assert jax.tree.all(jax.tree.map(lambda x: x.dtype == jnp.float32, nnx.state(model)))


T5_COMMON: dict[str, Any] = {
    "width": 24,
    "head_dim": 8,
    "mlp_dim": 32,
    "heads": 4,
    "layers": 2,
    "relative_buckets": 12,
    "relative_distance": 40,
    "dropout": 0.0,
}
T5_CONFIGS = {
    "t5": EncoderDecoderConfig(**T5_COMMON, code_layers=1),
    "t5-gated": EncoderDecoderConfig(
        **T5_COMMON, code_layers=2, gated_mlp=True, tie_embeddings=False
    ),
}
T5_NAMES = {
    "embedding.table": "shared.weight",
    "output.table": "lm_head.weight",
    "relative_bias.table": "block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    "coder.norm": "coder.final_layer_norm",
    ".blocks": ".block",
    "attention_norm": "layer.0.layer_norm",
    "cross_norm": "layer.1.layer_norm",
    "attention.": "layer.0.SelfAttention.",
    "cross.": "layer.1.EncDecAttention.",
    "_proj.kernel": ".weight",
    ".scale": ".weight",
}


def t5_name(ours: str, gated: bool) -> str:
    """Return the name of a parameter in Hugging Face's T5."""
    last = 1 if ours.startswith("encoder") else 2
    theirs = ours.replace("mlp_norm", f"layer.{last}.layer_norm")
    inside = f"layer.{last}.DenseReluDense."
    theirs = theirs.replace("mlp.gate_proj", inside + "wi_0_proj")
    theirs = theirs.replace("mlp.in_proj", inside + ("wi_1_proj" if gated else "wi_proj"))
    theirs = theirs.replace("mlp.out_proj", inside + "wo_proj")
    for old, new in T5_NAMES.items():
        theirs = theirs.replace(old, new)
    return theirs


@pytest.mark.parametrize("family", T5_CONFIGS)
def test_t5_equals_hugging_face(family: str) -> None:
    """Inputs are longer than the farthest distance of its own; one of them is padded."""
    golden = dict(np.load(GOLDEN / f"{family}.npz", allow_pickle=False))
    tokens, lengths, spelled, expected = (
        jnp.asarray(golden.pop(name)) for name in ("tokens", "lengths", "spelled", "logits")
    )
    config = T5_CONFIGS[family]
    model = T5(config, 40, rngs=nnx.Rngs(0))
    for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        ours = ".".join(map(str, path))
        weight = golden.pop(t5_name(ours, config.gated_mlp)).astype(np.float32)
        weight = weight.T if ours.endswith("kernel") else weight
        assert variable.shape == weight.shape, ours
        variable[...] = jnp.asarray(weight)
    assert not golden, "weights that have no place"

    @jax.jit
    def logits_of(model: T5) -> jax.Array:
        cache = model.encode(model.embed(tokens), lengths)
        states, _ = model.decode(model.embed(spelled)[:, None], cache)
        return readout(states[:, 0], model.output_table)

    np.testing.assert_allclose(np.asarray(logits_of(model)), expected, atol=2e-4, rtol=1e-4)
