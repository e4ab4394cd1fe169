"""The codes of the few items below each beam, read into the beams' records."""

from .api import load_rows

__all__ = ["load_rows"]
