"""Attention of beams over the history that they share and over their own codes."""

from .api import shared_prefix_attention

__all__ = ["shared_prefix_attention"]
