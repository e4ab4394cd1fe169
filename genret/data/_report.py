"""What ingestion did: a count for each of its rules."""

import dataclasses
from typing import Any


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
    """

    files: tuple[str, ...]
    users: int
    items: int
    events: int
    valid: int
    test: int
    rules: tuple[Rule, ...]

    def count(self, name: str) -> int:
        """Return how often a rule applied (0 where it is not reported)."""
        return next((rule.count for rule in self.rules if rule.name == name), 0)

    def rows(self) -> list[tuple[str, int, str]]:
        """Return the rows of a table: rule, count, what was done."""
        totals = [
            ("users", self.users, "have a history"),
            ("items", self.items, "are in the catalog"),
            ("events", self.events, "are in histories"),
            ("validation", self.valid, "users have a held-out item"),
            ("test", self.test, "users have a held-out item"),
        ]
        return [(r.name, r.count, r.action) for r in self.rules] + totals

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        values = dataclasses.asdict(self)
        return values | {"files": list(self.files), "rules": [vars(r) for r in self.rules]}
