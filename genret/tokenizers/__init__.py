"""Semantic IDs: vectors of items become short rows of codes.

>>> import numpy as np
>>> from genret.config import TokenizeConfig
>>> from genret.tokenizers import RQKMeans, resolve_collisions
>>> vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
>>> tokenizer = RQKMeans.fit(vectors, TokenizeConfig(levels=2, codebook_size=4), seed=0)
>>> resolve_collisions(tokenizer.encode(vectors), "suffix").depth
3

Row ``i`` of every array is the item in row ``i`` of the catalog. Equal vectors and seeds give equal
bytes. Further modules are imported by name:

- :mod:`genret.tokenizers.identifiers` and :mod:`genret.tokenizers.titles` make identifiers without
  vectors: random, sequential, from categories, from histories, from titles.
- :mod:`genret.tokenizers.collisions` and :mod:`genret.tokenizers.reassign` count collisions and
  resolve them.
- :mod:`genret.tokenizers.report` and :mod:`genret.tokenizers.shape` describe codes.
- :mod:`genret.tokenizers.store` saves and loads them.
"""

# Tokenizers
from genret.tokenizers._base import Tokenizer
from genret.tokenizers._fsq import FSQ
from genret.tokenizers._hierarchical import HierarchicalKMeans
from genret.tokenizers._pq import OPQ, PQ
from genret.tokenizers._rq_kmeans import RQKMeans
from genret.tokenizers._rq_vae import RQVAE
from genret.tokenizers.collisions import resolve_collisions

# The artifact codes/
from genret.tokenizers.store import load_codes, load_tokenizer, save_codes

__all__ = [
    "FSQ",
    "OPQ",
    "PQ",
    "RQVAE",
    "HierarchicalKMeans",
    "RQKMeans",
    "Tokenizer",
    "load_codes",
    "load_tokenizer",
    "resolve_collisions",
    "save_codes",
]
