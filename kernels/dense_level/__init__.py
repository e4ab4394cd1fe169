"""One level of a search in which every code of every beam may be a child."""

from .api import dense_level

__all__ = ["dense_level"]
