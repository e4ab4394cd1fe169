"""genret: generative retrieval whose every answer is an item of the catalog.

The public names load on first use, so that ``import genret`` and ``genret --help`` stay quick.

>>> import genret
>>> codes = [[0, 1], [0, 2], [3, 1]]
>>> genret.TrieIndex.from_codes(codes).num_items
3
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    # Recommending
    "Recommender": "genret.recommend",
    # Index
    "TrieIndex": "genret.index",
    "LiveIndex": "genret.index",
    "ItemFilter": "genret.index",
    # Decoding
    "BeamResult": "genret.decoding",
    "GenerativeModel": "genret.decoding",
    "beam_search": "genret.decoding",
    # Models
    "DecoderOnly": "genret.models",
    "History": "genret.models",
    "ItemDecoder": "genret.models",
    "load_model": "genret.models",
    # Tokenizers
    "RQKMeans": "genret.tokenizers",
    # Data and errors
    "Catalog": "genret.data",
    "Histories": "genret.histories",
    "SemanticIds": "genret.semantic_ids",
    "GenretError": "genret.errors",
}

if TYPE_CHECKING:
    from genret.data import Catalog
    from genret.decoding import BeamResult, GenerativeModel, beam_search
    from genret.errors import GenretError
    from genret.histories import Histories
    from genret.index import ItemFilter, LiveIndex, TrieIndex
    from genret.models import DecoderOnly, History, ItemDecoder, load_model
    from genret.recommend import Recommender
    from genret.semantic_ids import SemanticIds
    from genret.tokenizers import RQKMeans

__all__ = [
    "BeamResult",
    "Catalog",
    "DecoderOnly",
    "GenerativeModel",
    "GenretError",
    "Histories",
    "History",
    "ItemDecoder",
    "ItemFilter",
    "LiveIndex",
    "RQKMeans",
    "Recommender",
    "SemanticIds",
    "TrieIndex",
    "__version__",
    "beam_search",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'genret' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
