"""DecoderOnly's transformer gives the logits of Hugging Face's Llama, Qwen2 and Qwen3."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from genret.config import ModelConfig
from genret.models._attention import causal_mask
from genret.models._decoder_only import LanguageModel

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
    "llama": ModelConfig(**COMMON, layers=2, head_dim=8, qk_norm=False, tie_embeddings=False),
    "qwen2": ModelConfig(**COMMON, layers=1, head_dim=8, qk_norm=False, qkv_bias=True),
    "qwen3": ModelConfig(**COMMON, layers=2, head_dim=16, qk_norm=True),
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
    logits = model.readout(hidden, 0, 40)
    np.testing.assert_allclose(np.asarray(logits), expected, atol=1e-4)
    # A block of the vocabulary is a slice of the whole.
    np.testing.assert_allclose(
        np.asarray(model.readout(hidden, 10, 7)), expected[:, :, 10:17], atol=1e-4
    )
    assert jax.tree.all(jax.tree.map(lambda x: x.dtype == jnp.float32, nnx.state(model)))
