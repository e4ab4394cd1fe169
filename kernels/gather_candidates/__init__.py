"""Scores of the children of each beam."""

from .api import gather_candidates

__all__ = ["gather_candidates"]
