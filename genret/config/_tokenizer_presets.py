"""Tokenizers of published systems by name: methods, code counts and network shapes."""

from genret.config._autoencoder import AutoencoderConfig
from genret.config._tokenize import TokenizeConfig

TOKENIZER_PRESETS: dict[str, TokenizeConfig] = {
    "tiger": TokenizeConfig(
        method="rq_vae",
        levels=3,
        codebook_size=256,
        autoencoder=AutoencoderConfig(
            hidden=(512, 256, 128),
            latent=32,
            commitment=0.25,
            gradients="straight_through",
            codebooks="loss",
            sinkhorn=0.0,
        ),
    ),
    "mender": TokenizeConfig(
        method="rq_vae",
        levels=3,
        codebook_size=256,
        autoencoder=AutoencoderConfig(
            hidden=(512, 256),
            latent=128,
            training_batch=2048,
            weight_decay=0.1,
            gradients="straight_through",
            codebooks="loss",
            sinkhorn=0.0,
        ),
    ),
    "lc-rec": TokenizeConfig(
        method="rq_vae",
        levels=4,
        codebook_size=256,
        collisions="reassign",
        autoencoder=AutoencoderConfig(
            hidden=(2048, 1024, 512, 256, 128, 64),
            latent=32,
            commitment=0.25,
            gradients="straight_through",
            codebooks="loss",
            sinkhorn=0.003,
        ),
    ),
    "letter": TokenizeConfig(
        method="rq_vae",
        levels=4,
        codebook_size=256,
        collisions="reassign",
        autoencoder=AutoencoderConfig(
            hidden=(2048, 1024, 512, 256, 128, 64),
            latent=32,
            commitment=0.25,
            gradients="straight_through",
            codebooks="loss",
            sinkhorn=0.003,
            contrast=0.02,
        ),
    ),
    "grid": TokenizeConfig(
        method="rq_kmeans", levels=3, codebook_size=256, normalize_residuals=True
    ),
    "apao": TokenizeConfig(method="rq_kmeans", levels=4, codebook_size=256, collisions="keep"),
    "onerec": TokenizeConfig(method="rq_kmeans", levels=3, codebook_size=8192, collisions="keep"),
    "recgpt": TokenizeConfig(method="fsq", levels=4, fsq_levels=(8, 8, 8, 6, 5), collisions="keep"),
    "rpg": TokenizeConfig(method="opq", levels=32, codebook_size=256),
}
"""Name -> configuration. What the papers do beside that is not copied: our autoencoders start at
principal axes and train for ``training_steps``, where theirs start at noise and take thousands of
passes; GRID divides each residual by its own length, ours
by its code's spread; LETTER's contrast is with vectors of SASRec and adds a diversity term, ours is InfoNCE
between items of one training history.

>>> PRESETS["recgpt"].fsq_levels
(8, 8, 8, 6, 5)
"""
