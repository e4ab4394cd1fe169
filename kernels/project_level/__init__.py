"""Logits of some codes of a level and the normalizer of all."""

from .api import project_level

__all__ = ["project_level"]
