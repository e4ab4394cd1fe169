"""A ragged level of a search, whose beams' children lie in lines of a table."""

from . import layout
from .api import lines_level
from .layout import LinesLayout

__all__ = ["LinesLayout", "layout", "lines_level"]
