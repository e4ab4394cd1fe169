"""Constrained decoding: the items that a generative model finds most probable, exactly.

Knows a model only as a protocol; any pytree with ``prefill`` and ``step`` will do.
"""

# The search
from genret.decoding.beams import BeamResult

# All items of a small catalog
from genret.decoding.exact import exact_search

# Several searches at once, and items that are given
from genret.decoding.fusion import Channel, Fused, check_fuse, fused_scores, fused_search
from genret.decoding.given import score_items

# The model's side
from genret.decoding.protocol import GenerativeModel, ParallelHeads
from genret.decoding.readout import Projection
from genret.decoding.search import beam_search

# For loops that are not ours
from genret.index.legal import legal_codes

__all__ = [
    "BeamResult",
    "Channel",
    "Fused",
    "GenerativeModel",
    "ParallelHeads",
    "Projection",
    "beam_search",
    "check_fuse",
    "exact_search",
    "fused_scores",
    "fused_search",
    "legal_codes",
    "score_items",
]
