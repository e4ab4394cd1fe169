"""Whole lines of a table in HBM."""

from .api import load_lines

__all__ = ["load_lines"]
