"""Our names of parameters to those of a checkpoint."""

import re

from genret.config import DecoderOnlyConfig, EncoderDecoderConfig

_DECODER = (
    (r"^embedding\.table$", "model.embed_tokens.weight"),
    (r"^output\.table$", "lm_head.weight"),
    (r"^blocks\.norm\.", "model.norm."),
    (r"^blocks\.blocks\.", "model.layers."),
    (r"\.attention_norm\.", ".input_layernorm."),
    (r"\.mlp_norm\.", ".post_attention_layernorm."),
    (r"\.attention\.", ".self_attn."),
    (r"\.(scale|kernel)$", ".weight"),
)

_ENCODER_DECODER = (
    (r"^embedding\.table$", "shared.weight"),
    (r"^output\.table$", "lm_head.weight"),
    (r"\.relative_bias\.table$", ".block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
    (r"^(encoder|decoder)\.norm\.", r"\1.final_layer_norm."),
    (r"\.blocks\.(\d+)\.attention_norm\.", r".block.\1.layer.0.layer_norm."),
    (r"\.blocks\.(\d+)\.attention\.", r".block.\1.layer.0.SelfAttention."),
    (r"\.blocks\.(\d+)\.cross_norm\.", r".block.\1.layer.1.layer_norm."),
    (r"\.blocks\.(\d+)\.cross\.", r".block.\1.layer.1.EncDecAttention."),
    (r"^encoder\.blocks\.(\d+)\.mlp_norm\.", r"encoder.block.\1.layer.1.layer_norm."),
    (r"^encoder\.blocks\.(\d+)\.mlp\.", r"encoder.block.\1.layer.1.DenseReluDense."),
    (r"^decoder\.blocks\.(\d+)\.mlp_norm\.", r"decoder.block.\1.layer.2.layer_norm."),
    (r"^decoder\.blocks\.(\d+)\.mlp\.", r"decoder.block.\1.layer.2.DenseReluDense."),
    (r"\.([qkvo])_proj\.", r".\1."),
    (r"\.out_proj\.", ".wo."),
    (r"\.(scale|kernel)$", ".weight"),
)


def hf_name(ours: str, config: DecoderOnlyConfig | EncoderDecoderConfig) -> tuple[str, bool]:
    """Return the name of a parameter in a checkpoint, and whether it is stored transposed.

    >>> hf_name("blocks.blocks.3.attention.q_proj.kernel", DecoderOnlyConfig())
    ('model.layers.3.self_attn.q_proj.weight', True)
    """
    name = ours
    rules: tuple[tuple[str, str], ...] = _DECODER
    if isinstance(config, EncoderDecoderConfig):
        rules = _ENCODER_DECODER
        # The MLP without a gate has one projection in, the other one two.
        name = re.sub(r"\.in_proj\.", ".wi_1." if config.gated_mlp else ".wi.", name)
        name = re.sub(r"\.mlp\.gate_proj\.", ".mlp.wi_0.", name)
    for old, new in rules:
        name = re.sub(old, new, name)
    return name, ours.endswith(".kernel")
