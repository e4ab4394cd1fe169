"""Named architectures."""

from genret.config.models import ItemDecoderConfig

MODEL_PRESETS: dict[str, ItemDecoderConfig] = {
    "tiny": ItemDecoderConfig(width=64, code_width=64, layers=2, heads=2, kv_heads=2, mlp_dim=192),
    "small": ItemDecoderConfig(width=128, layers=2, heads=4, kv_heads=4, mlp_dim=384),
    "base": ItemDecoderConfig(width=256, layers=4, heads=8, kv_heads=8, mlp_dim=768, max_items=50),
    "large": ItemDecoderConfig(
        width=512,
        layers=8,
        code_layers=2,
        heads=8,
        kv_heads=8,
        head_dim=64,
        mlp_dim=1536,
        max_items=50,
    ),
    "xlarge": ItemDecoderConfig(
        width=768,
        layers=12,
        code_layers=2,
        heads=12,
        kv_heads=4,
        head_dim=64,
        mlp_dim=2560,
        max_items=100,
    ),
}
"""Architectures by name; those of other kinds come by ``as_kind``. As ItemDecoder with four levels of 256 codes they have 0.25 M, 0.7 M, 4.2 M,
31 M and 97 M parameters."""
