"""Semantic IDs: vectors of items become short rows of codes, and back; and other identifiers.

Item ``i`` of every array is item row ``i`` of the catalog. Equal vectors and seeds give equal
bytes.
"""

# Tokenizers
from genret.config import TOKENIZER_PRESETS as PRESETS
from genret.tokenizers._base import Tokenizer
from genret.tokenizers._fsq import FSQ
from genret.tokenizers._hierarchical import HierarchicalKMeans
from genret.tokenizers._pq import OPQ, PQ
from genret.tokenizers._rq_kmeans import RQKMeans
from genret.tokenizers._rq_vae import RQVAE
from genret.tokenizers._shape import code_shape
from genret.tokenizers._vector import VectorTokenizer, default_codebook_size

# Identifiers without vectors
from genret.tokenizers._schemes import (  # isort: skip
    category_paths,
    collaborative_identifiers,
    hybrid_identifiers,
    random_identifiers,
    semantic_identifiers,
    sequential_identifiers,
)
from genret.tokenizers._titles import (  # isort: skip
    DEFAULT_PIECES,
    END_CODE,
    Titles,
    title_identifiers,
)

# Collisions
from genret.tokenizers._collisions import (  # isort: skip
    Collisions,
    resolve_collisions,
    suffix_of_new,
)
from genret.tokenizers._reassign import reassign_collisions  # isort: skip

# Building blocks
from genret.tokenizers._kmeans import KMeans, kmeans  # isort: skip
from genret.tokenizers._spectral import spectral_clusters  # isort: skip

# Reports and the artifact codes/
from genret.tokenizers._report import code_report, nearest_by_prefix  # isort: skip
from genret.tokenizers._store import (  # isort: skip
    TOKENIZERS,
    load_codes,
    load_tokenizer,
    save_codes,
)

__all__ = [
    "DEFAULT_PIECES",
    "END_CODE",
    "FSQ",
    "OPQ",
    "PQ",
    "PRESETS",
    "RQVAE",
    "TOKENIZERS",
    "Collisions",
    "HierarchicalKMeans",
    "KMeans",
    "RQKMeans",
    "Titles",
    "Tokenizer",
    "VectorTokenizer",
    "category_paths",
    "code_report",
    "code_shape",
    "collaborative_identifiers",
    "default_codebook_size",
    "hybrid_identifiers",
    "kmeans",
    "load_codes",
    "load_tokenizer",
    "nearest_by_prefix",
    "random_identifiers",
    "reassign_collisions",
    "resolve_collisions",
    "save_codes",
    "semantic_identifiers",
    "sequential_identifiers",
    "spectral_clusters",
    "suffix_of_new",
    "title_identifiers",
]
