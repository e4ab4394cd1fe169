"""The best candidates of a request, exactly."""

from .api import top_m

__all__ = ["top_m"]
