"""Semantic IDs: vectors of items become short rows of codes, and back.

Item ``i`` of every array is item row ``i`` of the catalogue. Equal vectors and seeds give equal
bytes.
"""

# Tokenizers
from genret.tokenizers._base import SemanticTokenizer, check_codes
from genret.tokenizers._rq_kmeans import RQKMeans, default_codebook_size
from genret.tokenizers._shape import code_shape

# Collisions
from genret.tokenizers._collisions import (  # isort: skip
    Collisions,
    resolve_collisions,
    suffix_of_new,
)

# Building blocks
from genret.tokenizers._kmeans import KMeans, kmeans  # isort: skip

# Reports and the artefact codes/
from genret.tokenizers._report import code_report, nearest_by_prefix  # isort: skip
from genret.tokenizers._store import load_codes, load_tokenizer, save_codes  # isort: skip

__all__ = [
    "Collisions",
    "KMeans",
    "RQKMeans",
    "SemanticTokenizer",
    "check_codes",
    "code_report",
    "code_shape",
    "default_codebook_size",
    "kmeans",
    "load_codes",
    "load_tokenizer",
    "nearest_by_prefix",
    "resolve_collisions",
    "save_codes",
    "suffix_of_new",
]
