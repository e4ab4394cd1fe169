"""Against the real transformers: the logits of tiny random checkpoints, in and out."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.errors import GenretError
from genret.hf import load_checkpoint, save_checkpoint

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

COMMON = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
CASES = {
    "llama": ("Llama", {}),
    "llama-all-heads-tied": ("Llama", {"num_key_value_heads": 4, "tie_word_embeddings": True}),
    "llama-rope3": ("Llama", {"rope_parameters": LLAMA3}),
    "llama-linear": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 500.0}},
    ),
    "llama-bias": ("Llama", {"attention_bias": True}),
    "qwen2": ("Qwen2", {}),
    "qwen2-tied": ("Qwen2", {"tie_word_embeddings": True}),
    "t5": ("T5", {}),
    "t5-1.1": (
        "T5",
        {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "num_decoder_layers": 3},
    ),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "qwen3-tied": ("Qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
}


T5 = {
    "vocab_size": 60,
    "d_model": 32,
    "d_ff": 48,
    "d_kv": 8,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 20,
    "decoder_start_token_id": 0,
}


def make(family, seed=0, **changes):
    """Return a random model of transformers whose norms and biases are not at 1 and 0."""
    common = T5 if family == "T5" else COMMON
    config = getattr(transformers, f"{family}Config")(**{**common, **changes})
    torch.manual_seed(seed)
    kind = "ConditionalGeneration" if family == "T5" else "CausalLM"
    model = getattr(transformers, f"{family}For{kind}")(config).eval()
    if changes.get("tie_word_embeddings") is False and family == "T5":
        model.lm_head.weight = torch.nn.Parameter(torch.randn(60, 32))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or ("bias" in name and "o_proj" not in name):
                parameter.add_(0.3 * torch.randn_like(parameter))
            else:
                parameter.mul_(1.2 if family == "T5" else 6)
    return model


def their_logits(model, tokens):
    more = {}
    if model.config.is_encoder_decoder:
        more = {"decoder_input_ids": torch.tensor(tokens[:, ::-1].copy())}
    with torch.no_grad():
        return model(torch.tensor(tokens), **more).logits.float().numpy()


def our_logits(checkpoint, tokens):
    from genret.models._attention import causal_mask

    model = checkpoint.language_model
    tokens = jnp.asarray(tokens)
    if checkpoint.config.kind == "encoder_decoder":
        cache = model.encode(model.embed(tokens), jnp.full(len(tokens), tokens.shape[1]))
        states, _ = model.decode(model.embed(tokens[:, None, ::-1]), cache)
        return np.asarray(states[:, 0] @ model.output_table.T)
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    hidden, _, _ = model(model.embed(tokens), positions, causal_mask(jnp.ones_like(tokens)))
    return np.asarray(hidden @ model.output_table.T)


TOKENS = np.random.default_rng(0).integers(0, 60, (3, 40))


@pytest.mark.parametrize("case", CASES)
def test_logits_are_equal_in_and_out(case, tmp_path) -> None:
    family, changes = CASES[case]
    model = make(family, **changes)
    model.save_pretrained(tmp_path / "theirs", max_shard_size="10KB" if "tied" in case else "1GB")
    expected = their_logits(model, TOKENS)
    assert np.abs(expected).max() > 1
    loaded = load_checkpoint(tmp_path / "theirs")
    assert np.abs(our_logits(loaded, TOKENS) - expected).max() < 1e-4

    save_checkpoint(tmp_path / "ours", loaded, max_shard_bytes=20_000)
    back, report = type(model).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert np.abs(their_logits(back.eval(), TOKENS) - expected).max() < 1e-5
    again = load_checkpoint(tmp_path / "ours")
    assert again.config == loaded.config
    for x, y in zip(
        jax.tree.leaves(again.language_model), jax.tree.leaves(loaded.language_model), strict=True
    ):
        np.testing.assert_array_equal(x, y)


def test_half_precision_files(tmp_path) -> None:
    model = make("Qwen3", head_dim=16).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "m")
    loaded = load_checkpoint(tmp_path / "m")
    # Read again: a model that was made float once more keeps its rotary frequencies rounded.
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype=torch.float32)
    expected = their_logits(model, TOKENS)
    assert np.abs(our_logits(loaded, TOKENS) - expected).max() < 1e-4
    kept = load_checkpoint(tmp_path / "m", parameters="bfloat16", dtype="bfloat16")
    assert kept.language_model.embedding.table[...].dtype == jnp.bfloat16
    save_checkpoint(tmp_path / "out", kept, parameters="bfloat16")
    back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert np.abs(their_logits(back, TOKENS) - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("Qwen2", {"use_sliding_window": True, "max_window_layers": 1, "sliding_window": 8},
         "layer_types: found 'sliding_attention'"),
        ("Llama", {"hidden_act": "gelu"}, "hidden_act: found 'gelu'"),
        ("Llama", {"mlp_bias": True}, "mlp_bias: found True"),
        ("Llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
         "rope scaling: found 'dynamic'"),
        ("Mistral", {}, "model_type: found 'mistral', expected one of"),
    ],
)  # fmt: skip
def test_what_we_do_not_follow_is_refused_by_name(family, changes, message, tmp_path) -> None:
    make(family, **changes).save_pretrained(tmp_path / "m")
    with pytest.raises(GenretError, match=message) as caught:
        load_checkpoint(tmp_path / "m")
    assert "config.json" in str(caught.value)
    json.loads((tmp_path / "m" / "config.json").read_text())
