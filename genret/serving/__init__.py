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

__all__ = ["Request", "Service", "app", "refresh"]


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


def refresh(name: str = "default", timeout_s: float = 600.0) -> list[dict[str, Any]]:
    """Let an application answer from what its run and its file of filters have now.

    Call it in the cluster, after ``genret add-items``, ``remove-items``, ``compact``, a new training,
    or a change of the filters. Meanwhile all requests are answered, from what was there before; when it
    returns, no replica answers a request with an item that was removed.

    Args:
      name: name of the application, as ``serve.run`` or ``serve run --name`` gave it.
      timeout_s: seconds to wait for the replicas.

    Returns:
      What each replica answers now, as ``GET`` says it.

    Raises:
      GenretError: no such application, a replica that does not answer in time, or one that goes on
        with what it had, because an artifact is damaged or a filter cannot be used.
    """
    from genret.serving._ray import refresh_replicas

    return refresh_replicas(name, timeout_s)
