"""Constrained decoding: the items that a generative model finds most probable, exactly.

Knows a model only as a protocol; any pytree with ``prefill`` and ``step`` will do.
"""

# The search
from genret.decoding.beams import BeamResult

# All items of a small catalog, and items that are given
from genret.decoding.exact import exact_search, score_items

# The model's side
from genret.decoding.protocol import GenerativeModel, ParallelHeads
from genret.decoding.readout import Projection
from genret.decoding.search import beam_search

# For loops that are not ours
from genret.index.legal import legal_codes

__all__ = [
    "BeamResult",
    "GenerativeModel",
    "ParallelHeads",
    "Projection",
    "beam_search",
    "exact_search",
    "legal_codes",
    "score_items",
]
