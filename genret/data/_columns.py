"""Finding the columns of the input files that are users, items, times and titles."""

import re
from collections.abc import Sequence

from genret import item_ids
from genret.data._source import Source
from genret.errors import GenretError

USUAL_NAMES = {
    "user": (
        "user_id", "user", "userid", "uid", "customer_id", "customer", "reviewer_id", "visitor_id",
        "member_id", "account_id", "session_id", "session",
    ),
    "item": item_ids.USUAL_NAMES,
    "time": (
        "timestamp", "time", "ts", "unix_review_time", "event_time", "time_stamp", "datetime",
        "date", "t_dat", "created_at",
    ),
    "title": (
        "title", "name", "movie_title", "item_title", "product_title", "item_name", "product_name",
        "prod_name", "book_title", "track_name",
    ),
}  # fmt: skip
"""Names by which columns are found (case, spaces and punctuation aside), the first one wins."""

_TIME_WORDS = ("at", "time", "date", "timestamp", "datetime", "ts")
"""Last words of names such as ``bought_at`` and ``orderDate``: where one column is called so, it is
that of the times."""

_VALUE = re.compile(r"^\s*[0-9]|^$|[|:]{2}")
"""What no name of a column looks like, but many a value does."""


def find_column(
    source: Source, role: str, chosen: str | None, *, needed: bool, also: tuple[str, ...] = ()
) -> str | None:
    """Return the column of a role.

    Args:
      source: the file.
      role: a key of :data:`USUAL_NAMES`.
      chosen: the name that the user gave; None searches the usual names.
      needed: whether its absence is an error; a chosen column is always needed.
      also: names to try after the usual ones.

    Returns:
      The column's name, or None.

    Raises:
      GenretError: it is not there; the message names the columns that are.
    """
    if chosen is not None:
        if chosen not in source.columns:
            raise GenretError(
                f"{source.name}: has no column {chosen!r}; its columns are {listed(source.columns)}"
            )
        return chosen
    own = [c for c in source.columns if c not in source.partitions]
    for columns in (own, list(source.partitions)):
        by_plain_name = {_plain(c): c for c in reversed(columns)}
        for name in USUAL_NAMES[role] + also:
            if _plain(name) in by_plain_name:
                return by_plain_name[_plain(name)]
    if role == "time":
        called_so = [c for c in own if _last_word(c) in _TIME_WORDS]
        if len(called_so) == 1:
            return called_so[0]
    if needed:
        hint = "name one with --" + role
        if any(_VALUE.search(c) for c in source.columns):
            hint = "that looks like a row of values: has the file no header? Add one, or " + hint
        raise GenretError(
            f"{source.name}: found no column of the {role}; its columns are "
            f"{listed(source.columns)}; {hint}"
        )
    return None


def listed(names: Sequence[str]) -> str:
    """Return names for a message, cut where a damaged file has absurdly many or long ones."""
    shown = ", ".join(repr(n if len(n) <= 40 else n[:40] + "…") for n in names[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _last_word(name: str) -> str:
    """Return the last word of a name, in lower case.

    >>> _last_word("bought_at"), _last_word("orderDate"), _last_word("chat"), _last_word("TS")
    ('at', 'date', 'chat', 'ts')
    """
    words = re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return words[-1].lower() if words else ""


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
