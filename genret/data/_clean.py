"""The rules of ingestion that look at one row at a time."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genret.config import IngestConfig
from genret.data._events import EventLog
from genret.data._ids import IdEncoder
from genret.data._rejected import Rejected
from genret.data._report import Rule
from genret.data._rules import Events
from genret.data._times import BAD_TIME, EXPECTED, NO_TIME, spelled
from genret.errors import GenretError
from genret.typing import Bool

_EXAMPLES = 3
_COMPARED = 10_000
"""Unknown ids that are compared with the known ones for a hint."""


class Cleaner:
    """Drops the rows that cannot be events, and counts them.

    Args:
      log: the rows.
      items: the encoder of the items.
      known: number of items in the items files; None: there are no such files.
      config: the rules.
      rejected: takes the rows that are dropped.
    """

    def __init__(
        self,
        log: EventLog,
        items: IdEncoder,
        known: int | None,
        config: IngestConfig,
        rejected: Rejected,
    ) -> None:
        self._log = log
        self._items = items
        self._known = known
        self._config = config
        self._rejected = rejected
        self._counts = dict.fromkeys(("user", "item", "time", "bad time", "unknown"), 0)
        self._bad_times: list[str] = []
        self._used = np.zeros(len(items), bool)
        self._unknown = np.zeros(len(items), bool)

    def pieces(self) -> Iterator[Events]:
        """Yield the rows that are events, in order; then the counts are complete.

        Raises:
          GenretError: after the last one, rows that the rules refuse.
        """
        times = self._log.times
        for chunk in self._log.store.chunks():
            row = chunk.first_row + np.arange(len(chunk.user))
            time = None if times is None or chunk.time is None else times.microseconds(chunk.time)
            keep = np.ones(len(row), bool)
            self._drop(keep, chunk.user < 0, row, "user", "no user")
            self._drop(keep, chunk.item < 0, row, "item", "no item")
            if time is not None:
                self._drop(keep, time == NO_TIME, row, "time", "no time")
                bad = time == BAD_TIME
                for at in np.flatnonzero(bad & keep)[: _EXAMPLES - len(self._bad_times)].tolist():
                    assert chunk.time is not None
                    self._bad_times.append(self._example(int(row[at]), spelled(chunk.time, at)))
                self._drop(keep, bad, row, "bad time", "a time that cannot be used")
            if self._known is not None:
                unknown = chunk.item >= self._known
                self._unknown[chunk.item[unknown & keep]] = True
                self._drop(keep, unknown, row, "unknown", "the item is not in the items files")
            self._used[chunk.item[keep]] = True
            yield Events(chunk.user, chunk.item, time, row).take(keep)
        self._refuse()

    def used_items(self) -> np.ndarray:
        """Return the numbers of the items of all events."""
        return np.flatnonzero(self._used)

    def rules(self) -> list[Rule]:
        """Return the counts of the rules."""
        counts, log = self._counts, self._log
        rules = []
        if log.list_rows:
            rules += [
                Rule("rows that hold histories", log.list_rows, f"hold {log.store.rows} events"),
                Rule("histories that cannot be read", log.bad_lists, "dropped"),
                Rule("histories within longer ones", log.repeated_lists, "nothing added"),
            ]
        rules += [
            Rule("rows read", log.store.rows, f"from {len(log.roles)} file(s)"),
            Rule("rows without a user", counts["user"], "dropped"),
            Rule("rows without an item", counts["item"], "dropped"),
        ]
        if log.times is not None:
            rules.append(Rule("rows without a time", counts["time"], "dropped"))
            bad = f"dropped ({'; '.join(self._bad_times)})" if self._bad_times else "dropped"
            rules.append(Rule("rows with a bad time", counts["bad time"], bad))
        if self._known is not None:
            distinct = int(self._unknown.sum())
            hint = self.hint()
            action = f"dropped ({distinct} items{': ' if hint else ''}{hint})"
            rules.append(Rule("rows of items not in the items files", counts["unknown"], action))
        return rules

    def hint(self) -> str:
        """Say how unknown items are spelled beside the known ones, where that may be the reason."""
        unknown = np.flatnonzero(self._unknown)
        if not len(unknown) or not self._known:
            return ""
        texts = self._items.texts(unknown[:_COMPARED])
        known = self._items.texts(np.arange(self._known))
        at = pc.index_in(_normalized(texts), value_set=_normalized(known))
        close = np.flatnonzero(pc.is_valid(at).to_numpy(zero_copy_only=False))
        if len(close):
            k = int(close[0])
            return (
                f"{texts[k].as_py()!r}, say, where the items have {known[at[k].as_py()].as_py()!r}"
            )
        if self._counts["unknown"] * 2 > self._log.store.rows:
            some = [", ".join(map(repr, side[:3].to_pylist())) for side in (texts, known)]
            return f"{some[0]}, say, where the items have {some[1]}"
        return ""

    def _drop(
        self, keep: np.ndarray, bad: Bool[np.ndarray, "E"], row: np.ndarray, name: str, reason: str
    ) -> None:
        dropped = bad & keep
        count = int(dropped.sum())
        if count:
            self._counts[name] += count
            self._rejected.add(reason, row[dropped])
            keep &= ~dropped

    def _example(self, row: int, text: str) -> str:
        source, number = self._rejected.place(row)
        return f"{source.name} row {number}: found {text}"

    def _refuse(self) -> None:
        bad = self._counts["bad time"]
        if bad and self._config.bad_times == "refuse":
            rows = self._log.store.rows
            name = next(name for name in self._log.time_names if name is not None)
            raise GenretError(
                f"column {name!r}: {bad} of {rows} rows have a time that cannot be used "
                f"({'; '.join(self._bad_times)}), {EXPECTED}; --bad-times drop leaves such "
                "rows out"
            )
        if self._counts["unknown"] and self._config.unknown_items == "error":
            unknown = np.flatnonzero(self._unknown)
            name = self._items.text_of(int(unknown[0]))
            hint = self.hint()
            raise GenretError(
                f"interactions: item {name!r} is not in the items files "
                f"({self._counts['unknown']} rows of {len(unknown)} unknown items"
                f"{'; ' + hint if hint else ''})"
            )


def _normalized(texts: pa.Array) -> pa.Array:
    """Return ids without what other programs add to them: spaces, ``.0``, zeros, other case."""
    texts = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    return pc.replace_substring_regex(texts, r"^0*([0-9]+)(\.0+)?$", r"\1")
