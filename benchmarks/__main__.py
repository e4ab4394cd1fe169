"""What constrained decoding costs on this machine, against what one would use instead.

    python -m benchmarks --preset smoke --json FILE
    python -m benchmarks compare A B
    python -m benchmarks page FILE
    python -m benchmarks paper FILE
    python -m benchmarks accelerators --chips v6e,v7x,v5e,h100 --json FILE --page FILE
    python -m benchmarks device --json FILE
    python -m benchmarks readme

Every method answers the same requests; its answer is compared with brute force before it is timed.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import readme
from benchmarks.accelerators import Accelerators
from benchmarks.compare import Compare
from benchmarks.device import Device
from benchmarks.methods.static_code import load
from benchmarks.page import Page, write_page
from benchmarks.paper import Paper
from benchmarks.presets import Preset, points_of
from benchmarks.program import make_main
from benchmarks.record import Record, environment
from benchmarks.show import show
from benchmarks.suite import Sources, run
from benchmarks.timing import in_own_process
from benchmarks.workload import Point
from genret.errors import GenretError


@dataclasses.dataclass(frozen=True)
class Run:
    """Measure a preset.

    Other verbs: `compare A B` holds two runs together, `page FILE` makes the page of one, `paper FILE`
    holds one beside the STATIC paper, `accelerators` counts cycles and kernels, `device` measures the
    attached device for an issue, `readme` rewrites README.
    """

    preset: Preset = "smoke"
    """"smoke" takes less than a minute, "bars" thirteen, "paper" twenty, "full" hours."""
    only: tuple[str, ...] = ()
    """Parts of points' names, such as 300M or "V=8192 L=8 B=2": the points with any of them."""
    json: Path | None = None  # File to write, a point as soon as it is measured.
    page: Path | None = None  # HTML file to write at the end: tables and pictures.
    static: Path | None = None
    """Checkout of STATIC (github.com/youtube/static-constraint-decoding), to be timed as well."""
    data: Path | None = None
    """Folder with office/index.json and beauty/index.json, for points of shipped semantic IDs."""
    resume: bool = False  # Keep the points that the JSON file holds.
    aot: str | None = None
    """Chips, such as v5e,v6e,v7x: compile every method for them instead, without a TPU."""
    profile: Path | None = None
    """Folder for a trace of three searches of each method at each point: for Perfetto or xprof."""

    def main(self, console: Console) -> int:
        """Run the program."""
        if self.static is not None:
            load(self.static)  # said now, not at a point
        if self.aot is not None:
            return Accelerators(
                preset="aot", chips=self.aot, only=self.only, static=self.static, json=self.json,
                page=self.page, resume=self.resume,
            ).main(console)  # fmt: skip
        points = self._points()
        # Of another process: a TPU that this one holds is held from those that measure.
        heading = {"preset": self.preset, "environment": in_own_process(environment)}
        record = Record(self.json, heading, resume=self.resume, say=console.print)
        for key, figures in record.points.items():
            show(key, figures, console)
        sources = Sources(self.static, self.data, self.profile)
        run(points, record, lambda key, figures: show(key, figures, console), sources)
        if self.page is not None:
            write_page(self.page, record.document)
            console.print(f"page: {self.page}")
        return 0

    def _points(self) -> list[Point]:
        points = points_of(self.preset)
        kept = [p for p in points if not self.only or any(part in p.key for part in self.only)]
        if not kept:
            raise GenretError(
                f"only: found {' '.join(map(repr, self.only))}, which no point of {self.preset!r} "
                f"has in its name; one is {points[0].key!r}"
            )
        return kept


@dataclasses.dataclass(frozen=True)
class Readme:
    """Rewrite README's table and pictures, and the tables of docs/, from benchmarks/results."""

    def main(self, console: Console) -> int:
        """Write the files."""
        readme.write()
        return 0


VERBS = {
    "compare": Compare, "page": Page, "paper": Paper, "accelerators": Accelerators,
    "device": Device, "readme": Readme,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = VERBS.get(arguments[0]) if arguments else None
    name = f"benchmarks {arguments.pop(0)}" if verb else "benchmarks"
    options: type = verb or Run
    return make_main(name, options, lambda asked, console: asked.main(console))(arguments)


if __name__ == "__main__":
    sys.exit(main())
