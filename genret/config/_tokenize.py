"""Configuration of the tokenizer."""

import dataclasses
from typing import Literal

from genret.config._autoencoder import AutoencoderConfig
from genret.config._base import Config, require, require_counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizeConfig(Config):
    """How items get their codes."""

    method: Literal[
        "rq_kmeans",
        "rq_vae",
        "fsq",
        "pq",
        "opq",
        "hierarchical",
        "random",
        "sequential",
        "collaborative",
        "semantic",
        "hybrid",
        "titles",
    ] = "rq_kmeans"
    """Read vectors: rq_kmeans, rq_vae, fsq, pq, opq, hierarchical (k-means). Need none: random,
    sequential, collaborative (spectral clusters), semantic (categories), hybrid, titles (pieces)."""
    levels: int = 3
    """Codes of an item before a collision suffix (hierarchical, collaborative, semantic, hybrid: how
    deep the tree is; titles: see --title-pieces)."""
    codebook_size: int = 0
    """Codes of each level; 0 takes 256 or fewer for a small catalog (random, sequential: as few as
    suffice; collaborative: 16; titles: 1000 pieces). fsq and semantic have sizes of their own."""
    collisions: Literal["suffix", "reassign", "keep"] = "suffix"
    """Items with equal codes: tell them apart by one more code, move them to the nearest free codes
    (needs vectors), or let them share a leaf, where the lower row of the catalog ranks first."""
    iterations: int = 50
    """k-means: Lloyd iterations (passes over the vectors) of each level."""
    batch_size: int = 65536
    """k-means: vectors in a mini-batch; catalogs up to this size use full batches."""
    balanced: bool = False
    """rq_kmeans, hierarchical: every code gets about as many items as any other."""
    normalize_residuals: bool = False
    """rq_kmeans, rq_vae: what a code leaves over is divided by the code's spread, so that dense
    clusters are cut as finely, for their size, as wide ones: fewer items collide."""
    local_last: bool = False
    """rq_kmeans, rq_vae: the last level is cut around the center of the items that share the codes
    before, in units of their spread, and each of them gets a last code of its own as long as there
    are enough (--collisions reassign finds one elsewhere); keeps a vector for every prefix that
    items share."""
    fsq_levels: tuple[int, ...] = (8, 6, 5)
    """fsq: steps of each number of a code; their product is the number of codes of a level."""
    title_pieces: int = 16
    """titles: codes of an item at most; longer titles are cut."""
    hybrid_of: Literal["collaborative", "semantic"] = "collaborative"
    """hybrid: what stands before the item's own code."""
    cooccurrence_window: int = 10
    """collaborative, hybrid, --contrast: two items of a training history count as together up to
    this many positions apart."""
    category_column: str = "categories"
    """semantic, hybrid: column of the items with the path of categories, outermost first: a list,
    or text with commas."""
    autoencoder: AutoencoderConfig = AutoencoderConfig()
    """Networks of rq_vae and fsq."""

    def __post_init__(self) -> None:
        require(1 <= self.levels <= 63, f"levels: found {self.levels}, expected 1 to 63")
        require(
            self.codebook_size == 0 or 2 <= self.codebook_size < 2**31,
            f"codebook_size: found {self.codebook_size}, expected 0, or 2 to {2**31 - 1}",
        )
        require(
            2 <= self.title_pieces <= 64,
            f"title_pieces: found {self.title_pieces}, expected 2 to 64",
        )
        require_counts(self, "cooccurrence_window", "iterations", "batch_size")
        require(
            len(self.fsq_levels) >= 1 and all(2 <= steps <= 4096 for steps in self.fsq_levels),
            f"fsq_levels: found {self.fsq_levels}, expected numbers of at least 2",
        )
