"""Item vectors: made from text and from histories, or brought from elsewhere.

Row ``i`` of every result is item row ``i`` of the catalog. Equal inputs and seeds give equal
bytes.
"""

# Made here
from genret.embed._cooccurrence import cooccurrence_vectors, count_pairs
from genret.embed._join import join_vectors
from genret.embed._text import TextEmbedder, text_vectors
from genret.embed._whiten import Whitening, whiten

# Brought from elsewhere
from genret.embed._brought import in_order, read_ids  # isort: skip
from genret.embed._load import read_vectors  # isort: skip
from genret.embed._sentence import sentence_vectors  # isort: skip

# The artifact vectors/
from genret.embed._embedder import Embedder  # isort: skip
from genret.embed._store import load_embedder, load_vectors, save_vectors  # isort: skip

__all__ = [
    "Embedder",
    "TextEmbedder",
    "Whitening",
    "cooccurrence_vectors",
    "count_pairs",
    "in_order",
    "join_vectors",
    "load_embedder",
    "load_vectors",
    "read_ids",
    "read_vectors",
    "save_vectors",
    "sentence_vectors",
    "text_vectors",
    "whiten",
]
