"""What a service is asked, and what it may not be asked."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from genret.config import ServeConfig, require
from genret.errors import GenretError
from genret.json_files import parse_json

MOST_BYTES = 1 << 20
"""Largest body of a request."""
SEVERAL = "requests"
"""The key of a body that has the requests of several users."""
_MOST_MICROSECONDS = 2**62


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One user's request.

    Attributes:
      history: text of the ids of what they took, oldest first.
      k: items to answer; None: as many as the service answers.
      filter: name of the filter that every answer meets; None: every item is allowed.
      times: microseconds since 1970 of each event, for models that read them; None: unknown.
      user: id of the user in the training data, for models that learned something about each.
    """

    history: tuple[str, ...] = ()
    k: int | None = None
    filter: str | None = None
    times: tuple[int, ...] | None = None
    user: str | None = None

    @classmethod
    def read(cls, values: Any, config: ServeConfig) -> "Request":
        """Read a request from JSON values.

        Args:
          values: an object with the attributes of this class; all of them may be left out.
          config: the service.

        Raises:
          GenretError: an unknown key, or a value that cannot be used.

        >>> Request.read({"history": ["tea", 7], "k": 3}, ServeConfig(run="runs/shop"))
        Request(history=('tea', '7'), k=3, filter=None, times=None, user=None)
        """
        if not isinstance(values, Mapping):
            raise GenretError(
                f"request: found {_shown(values)}, expected an object such as "
                '{"history": ["SKU17"], "k": 10}'
            )
        known = cls.__dataclass_fields__
        unknown = [name for name in values if name not in known]
        if unknown:
            raise GenretError(
                f"request: found the key {_shown(unknown[:1])}, expected some of {', '.join(known)}"
            )
        history = _history(values.get("history", []), config)
        k, name, user = (values.get(key) for key in ("k", "filter", "user"))
        require(
            k is None or (type(k) is int and 1 <= k <= config.k),
            f"k: found {_shown(k)}, expected 1 to {config.k}",
        )
        require(
            name is None or isinstance(name, str),
            f"filter: found {_shown(name)}, expected the name of a filter",
        )
        require(
            user is None or _is_id(user),
            f"user: found {_shown(user)}, expected a string or integer",
        )
        return cls(
            history=history,
            k=k,
            filter=name,
            times=_times(values.get("times"), len(history)),
            user=None if user is None else str(user),
        )


def read_body(body: bytes, config: ServeConfig) -> Request | list[Request | GenretError]:
    """Read the JSON body of one user's request, or of several: ``{"requests": [{...}, ...]}``.

    Returns:
      The request; or the requests of several users, with the error of each that cannot be used.

    Raises:
      GenretError: the body, or one user's request, cannot be used.
    """
    require(
        len(body) <= MOST_BYTES,
        f"request: found more than {MOST_BYTES:,} bytes, expected a smaller body",
    )
    values = parse_json(body, "request")
    if isinstance(values, Mapping) and SEVERAL in values:
        return read_several(values, config)
    return Request.read(values, config)


def read_several(values: Mapping[str, Any], config: ServeConfig) -> list[Request | GenretError]:
    """Read the requests of several users from JSON values.

    Args:
      values: ``{"requests": [{...}, ...]}``.
      config: the service.

    Returns:
      Each request, or why it cannot be used.

    Raises:
      GenretError: other keys, or not 1 to ``config.most_users`` requests.

    >>> read_several({"requests": [{"k": 3}, {"k": 0}]}, ServeConfig(run="runs/shop"))[1]
    GenretError('k: found 0, expected 1 to 10')
    """
    others = [name for name in values if name != SEVERAL]
    require(not others, f"request: found the key {_shown(others[:1])}, expected {SEVERAL} alone")
    every = values[SEVERAL]
    require(
        isinstance(every, list | tuple) and 1 <= len(every) <= config.most_users,
        f"{SEVERAL}: found {len(every) if isinstance(every, list | tuple) else _shown(every)}, "
        f"expected a list of 1 to {config.most_users} requests",
    )
    found: list[Request | GenretError] = []
    for one in every:
        try:
            found.append(Request.read(one, config))
        except GenretError as e:
            found.append(e)
    return found


def _history(values: Any, config: ServeConfig) -> tuple[str, ...]:
    if not isinstance(values, list | tuple):
        raise GenretError(f"history: found {_shown(values)}, expected a list of item ids")
    require(
        len(values) <= config.most_items,
        f"history: found {len(values):,} items, expected at most {config.most_items:,}, the newest",
    )
    if set(map(type, values)) == {str}:  # what nearly all requests are
        return tuple(values)
    for place, item in enumerate(values):
        if not _is_id(item):
            raise GenretError(
                f"history[{place}]: found {_shown(item)}, expected an item id: a string or integer"
            )
    return tuple(map(str, values))


def _times(values: Any, events: int) -> tuple[int, ...] | None:
    if values is None:
        return None
    if not isinstance(values, list | tuple) or len(values) != events:
        raise GenretError(
            f"times: found {_shown(values)}, expected a list of {events} times, one for each item "
            "of the history"
        )
    for place, time in enumerate(values):
        if type(time) is not int or abs(time) > _MOST_MICROSECONDS:
            raise GenretError(
                f"times[{place}]: found {_shown(time)}, expected microseconds since 1970"
            )
    return tuple(values)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) or type(value) is int


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
