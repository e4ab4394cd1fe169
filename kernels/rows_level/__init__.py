"""One level of a search whose beams carry the codes of all items below them."""

from . import layout
from .api import rows_level

__all__ = ["layout", "rows_level"]
