"""Logits of some codes of a level and the normaliser of all."""

from .api import project_level

__all__ = ["project_level"]
