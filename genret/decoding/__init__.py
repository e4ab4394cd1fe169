"""Constrained decoding: the items that a generative model finds most probable, exactly.

Knows a model only as a protocol; any pytree with ``prefill`` and ``step`` will do.
"""

# The search
from genret.decoding._beam_search import beam_search

# The slow, obvious twins
from genret.decoding._brute_force import (
    RankedItem,
    protocol_logits,
    rank_all_items,
    slow_beam_search,
)

# All items of a small catalog
from genret.decoding._exact import exact_search

# For loops that are not ours
from genret.decoding._legal import legal_codes

# The model's side
from genret.decoding._parallel import ParallelHeads
from genret.decoding._protocol import GenerativeModel
from genret.decoding._readout import Projection
from genret.decoding._state import BeamResult

__all__ = [
    "BeamResult",
    "GenerativeModel",
    "ParallelHeads",
    "Projection",
    "RankedItem",
    "beam_search",
    "exact_search",
    "legal_codes",
    "protocol_logits",
    "rank_all_items",
    "slow_beam_search",
]
