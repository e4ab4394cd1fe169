"""Records of `benchmarks.quality` on disk, and what several seeds say together."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._common import write_json

Record = dict[str, Any]


class Records:
    """One JSON file for each (data, method, seed), written when it is whole.

    Args:
      folder: where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, data: str, method: str, seed: int, settings: Any) -> Record | None:
        """Return a record that was made with these settings; None where there is none."""
        file = self._file(data, method, seed)
        if not file.is_file():
            return None
        found: Record = json.loads(file.read_text(encoding="utf-8"))
        # Through JSON: what was a tuple comes back as a list.
        return found if found["settings"] == json.loads(json.dumps(settings)) else None

    def put(self, data: str, method: str, seed: int, settings: Any, figures: Record) -> Record:
        """Write a record."""
        record = {"data": data, "method": method, "seed": seed, "settings": settings, **figures}
        write_json(self._file(data, method, seed), record)
        return record

    def all(self, data: str, method: str) -> list[Record]:
        """Return the records of all seeds, in their order."""
        files = self.folder.glob(f"{data}-{method}-[0-9]*.json")
        found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        return sorted(found, key=lambda record: record["seed"])

    def _file(self, data: str, method: str, seed: int) -> Path:
        return self.folder / f"{data}-{method}-{seed}.json"


def over_seeds(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Put the figures of several seeds together.

    The interval has two parts: the users are a sample, which the bootstrap interval of a seed says
    (they are the same for all seeds, so more seeds do not narrow it), and so are the seeds. With h
    the mean half-width of the seeds' intervals and d the standard deviation between seeds,

        mean ± sqrt(h² + (1.96 d)² / S).

    Args:
      results: what ``measure`` returned, a seed each.

    Returns:
      Metric -> ``mean``, ``low``, ``high`` (95 %) and the value of each seed, ``by_seed``.

    >>> one = {"recall@10": 0.5, "intervals": {"recall@10": [0.4, 0.6]}}
    >>> {name: round(v, 2) for name, v in over_seeds([one])["recall@10"].items() if name != "by_seed"}
    {'mean': 0.5, 'low': 0.4, 'high': 0.6}
    """
    found = {}
    for name in results[0]["intervals"]:
        values = [result[name] for result in results]
        mean = statistics.fmean(values)
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        sides = []
        for side, sign in ((0, -1), (1, 1)):
            half = statistics.fmean(abs(r["intervals"][name][side] - r[name]) for r in results)
            sides.append(mean + sign * (half**2 + (1.96 * spread) ** 2 / len(values)) ** 0.5)
        found[name] = {"mean": mean, "low": sides[0], "high": sides[1], "by_seed": values}
    return found
