"""Online answers: a run behind Ray Serve.

``serve run genret.serving:app run=runs/shop`` starts it; see docs/serving.md.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genret.serving._options import config_of
from genret.serving._requests import Request
from genret.serving._service import Service

if TYPE_CHECKING:
    from ray.serve import Application

__all__ = ["Request", "Service", "app"]


def app(options: Mapping[str, Any]) -> "Application":
    """Build the application: what ``serve run genret.serving:app run=runs/shop k=20`` calls.

    Args:
      options: fields of :class:`genret.config.ServeConfig`; of a command line, their text.

    Raises:
      GenretError: an option that cannot be used, or Ray is not installed.
    """
    config = config_of(options)
    from genret.serving._ray import deployment_of

    return deployment_of(config)
