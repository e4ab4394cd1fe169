"""Ways to keep a beam search inside a catalog, behind one interface: see ``_base.Method``."""

from benchmarks.methods._base import Beams, Method, Unsupported, prefix_table
from benchmarks.methods._masks import DenseBitmask, DictTrie, HashBitmap, MarisaTrie, Unconstrained
from benchmarks.methods._ours import Ours
from benchmarks.methods._ppv import PPV, ApproximatePPV, IncrementalPPV
from benchmarks.methods._static_style import StaticStyle
from benchmarks.methods.static_code import NAME, StaticCode

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        Unconstrained, Ours, StaticStyle, IncrementalPPV, PPV, ApproximatePPV, HashBitmap,
        DenseBitmask, DictTrie, MarisaTrie,
    )
}  # fmt: skip
"""By name, in the order of tables."""
EVERY = METHODS | {NAME: StaticCode}
"""These, and STATIC's own code, which needs a checkout."""

__all__ = [
    "EVERY",
    "METHODS",
    "Beams",
    "HashBitmap",
    "Method",
    "Ours",
    "StaticCode",
    "Unsupported",
    "prefix_table",
]
