"""Tokenizers of published systems by name: methods, code counts and network shapes."""

import dataclasses

from genret.config._autoencoder import AutoencoderConfig
from genret.config._base import require
from genret.config._tokenize import TokenizeConfig

_PUBLISHED = AutoencoderConfig(gradients="straight_through", codebooks="loss", sinkhorn=0.0)
"""What the published RQ-VAEs have in common."""
_DEEP = dataclasses.replace(
    _PUBLISHED,
    hidden=(2048, 1024, 512, 256, 128, 64),
    latent=32,
    commitment=0.25,
    sinkhorn=0.003,
)

TOKENIZER_PRESETS: dict[str, TokenizeConfig] = {
    "tiger": TokenizeConfig(
        method="rq_vae",
        levels=3,
        codebook_size=256,
        autoencoder=dataclasses.replace(
            _PUBLISHED, hidden=(512, 256, 128), latent=32, commitment=0.25
        ),
    ),
    "mender": TokenizeConfig(
        method="rq_vae",
        levels=3,
        codebook_size=256,
        autoencoder=dataclasses.replace(
            _PUBLISHED, hidden=(512, 256), latent=128, training_batch=2048, weight_decay=0.1
        ),
    ),
    "lc-rec": TokenizeConfig(
        method="rq_vae", levels=4, codebook_size=256, collisions="reassign", autoencoder=_DEEP
    ),
    "letter": TokenizeConfig(
        method="rq_vae",
        levels=4,
        codebook_size=256,
        collisions="reassign",
        autoencoder=dataclasses.replace(_DEEP, contrast=0.02),
    ),
    "grid": TokenizeConfig(
        method="rq_kmeans", levels=3, codebook_size=256, normalize_residuals=True
    ),
    "apao": TokenizeConfig(method="rq_kmeans", levels=4, codebook_size=256, collisions="keep"),
    "onerec": TokenizeConfig(method="rq_kmeans", levels=3, codebook_size=8192, collisions="keep"),
    "recgpt": TokenizeConfig(method="fsq", levels=4, fsq_levels=(8, 8, 8, 6, 5), collisions="keep"),
    "rpg": TokenizeConfig(method="opq", levels=32, codebook_size=256),
}
"""Name -> configuration.

The methods and sizes are those of the papers; their training is not. Our autoencoders start from
principal axes and train for ``training_steps``, while theirs start from noise and take thousands of
epochs. GRID divides each residual by its own length, ours by the spread of its code. LETTER's
contrastive loss compares with vectors of SASRec and adds a diversity term; ours is InfoNCE between
items of one training history.
"""


def tokenizer_preset(name: str) -> TokenizeConfig:
    """Return the tokenizer of a published system by its name.

    Raises:
      GenretError: there is none of that name.

    >>> tokenizer_preset("recgpt").fsq_levels
    (8, 8, 8, 6, 5)
    """
    require(
        name in TOKENIZER_PRESETS,
        f"--preset: found {name!r}, expected one of {', '.join(TOKENIZER_PRESETS)}",
    )
    return TOKENIZER_PRESETS[name]
