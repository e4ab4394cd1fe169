"""What ingestion read and did: columns and formats, a count for each rule, what was left out."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from genret.data._times import date_text

REJECTED_FILE = "rejected.parquet"
_KINDS = ("text", "conditions", "numbers", "dates", "lists", "other")


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule of ingestion and how often it applied.

    Attributes:
      name: what it is about.
      count: rows, users or items that it applied to.
      action: what was done with them.
    """

    name: str
    count: int
    action: str


@dataclasses.dataclass(frozen=True)
class SourceReport:
    """What a file was taken for.

    Attributes:
      name: the file.
      format: its format.
      roles: role -> the column that was taken for it; empty where there is none.
    """

    name: str
    format: str
    roles: Mapping[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class IngestReport:
    """The outcome of an ingestion.

    Attributes:
      files: names of the files read.
      users: users with a history.
      items: items of the catalog.
      events: events of all histories.
      valid: users with a held-out item for validation.
      test: users with a held-out item for the test.
      rules: what was found and done, in the order in which the rules apply. The rows read, less
        those that rules say were dropped, are the events.
      sources: what each file was taken for.
      kinds: column of the items -> "text", "conditions", "numbers", "dates", "lists" or "other".
      first_time: time of the first event in microseconds since 1970; None: there are no times.
      last_time: likewise, of the last one.
      rejected: examples of rows that were left out: file, row (from 1), line (null where a row is
        not a line), reason. Rows of histories count their events.
      on_disk: whether the events were sorted on disk.
    """

    files: tuple[str, ...]
    users: int
    items: int
    events: int
    valid: int
    test: int
    rules: tuple[Rule, ...]
    sources: tuple[SourceReport, ...] = ()
    kinds: Mapping[str, str] = dataclasses.field(default_factory=dict)
    first_time: int | None = None
    last_time: int | None = None
    rejected: pa.Table | None = None
    on_disk: bool = False

    def count(self, name: str) -> int:
        """Return how often a rule applied (0 where it is not reported)."""
        return next((rule.count for rule in self.rules if rule.name == name), 0)

    def rows(self) -> list[tuple[str, int, str]]:
        """Return the rows of a table: rule, count, what was done; rules that did nothing not."""
        totals = [
            ("users", self.users, "have a history"),
            ("items", self.items, "are in the catalog"),
            ("events", self.events, "are in histories"),
            ("validation", self.valid, "users have a held-out item"),
            ("test", self.test, "users have a held-out item"),
        ]
        return [(r.name, r.count, r.action) for r in self.rules if r.count] + totals

    def said(self) -> list[str]:
        """Return lines that say what was read as what.

        Files that were taken for the same share a line.
        """
        groups: dict[tuple[str, str], list[str]] = {}
        for source in self.sources:
            roles = ", ".join(f"{role} = {name}" for role, name in source.roles.items() if name)
            groups.setdefault((source.format, roles), []).append(source.name)
        lines = []
        for (kind, roles), names in groups.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            lines.append(f"{names[0]}{more} ({kind}): {roles}")
        by_kind = {k: [c for c, found in self.kinds.items() if found == k] for k in _KINDS}
        kinds = "; ".join(f"{k} = {', '.join(names)}" for k, names in by_kind.items() if names)
        if kinds:
            lines.append(f"items: {kinds}")
        if self.first_time is not None and self.last_time is not None:
            first, last = (date_text(t) for t in (self.first_time, self.last_time))
            lines.append(f"events from {first} to {last} (UTC)")
        elif any("user" in source.roles for source in self.sources):
            lines.append(
                "no column of times was found: the events of a user are in the order of the rows "
                "(--time NAME names one)"
            )
        if not self.test:
            lines.append(
                "no user has a test item, so nothing can be measured: users need at least 3 events"
            )
        idle = [rule.name for rule in self.rules if not rule.count]
        if idle:
            lines.append(f"there were no {', no '.join(idle)}")
        return lines

    def save(self, folder: Path) -> None:
        """Write ``rejected.parquet`` into a folder, where anything was left out."""
        if self.rejected is not None and self.rejected.num_rows:
            pa.parquet.write_table(self.rejected, folder / REJECTED_FILE)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        parts = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del parts["rejected"], parts["on_disk"]
        return parts | {
            "files": list(self.files),
            "rules": [vars(r) for r in self.rules],
            "sources": [vars(s) | {"roles": dict(s.roles)} for s in self.sources],
            "kinds": dict(self.kinds),
        }
