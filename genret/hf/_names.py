"""Our names of parameters to those of a checkpoint."""

import re

from genret.config import ModelConfig

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


def hf_name(ours: str, config: ModelConfig) -> tuple[str, bool]:
    """Return the name of a parameter in a checkpoint, and whether it is stored transposed.

    >>> hf_name("blocks.blocks.3.attention.q_proj.kernel", ModelConfig(kind="decoder_only"))
    ('model.layers.3.self_attn.q_proj.weight', True)
    """
    name = ours
    for old, new in _DECODER:
        name = re.sub(old, new, name)
    return name, ours.endswith(".kernel")
