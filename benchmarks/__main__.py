"""What constrained decoding costs on this machine, against what one would use instead.

    python -m benchmarks --preset smoke --json FILE
    python -m benchmarks compare A B
    python -m benchmarks paper FILE
    python -m benchmarks accelerators --chips v6e,v7x,v5e,h100 --json FILE --page FILE
    python -m benchmarks readme

Every method answers the same requests; its answer is compared with brute force before it is timed.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks import readme
from benchmarks._common import environment
from benchmarks._lines import Lines
from benchmarks._point import Point
from benchmarks._processes import in_own_process
from benchmarks._static import load
from benchmarks.aot import compile_all
from benchmarks.compare import Compare
from benchmarks.page import write_page
from benchmarks.paper import Paper
from benchmarks.presets import Preset, points_of
from benchmarks.show import show
from benchmarks.suite import run
from genret.errors import GenretError


@dataclasses.dataclass(frozen=True)
class Run:
    """Measure a preset.

    Beside it: `compare A B` holds two runs together, `paper FILE` holds one beside the STATIC paper,
    `readme` rewrites README.
    """

    preset: Preset = "smoke"
    """"smoke" takes less than a minute, "bars" thirteen, "paper" twenty, "full" hours."""
    only: tuple[str, ...] = ()
    """Parts of points' names, such as 300M or "V=8192 L=8 B=2": the points with any of them."""
    json: Path | None = None
    """File to write: JSON lines, a point as soon as it is measured."""
    page: Path | None = None
    """HTML file to write at the end: tables and pictures, without a network."""
    static: Path | None = None
    """Checkout of STATIC (github.com/youtube/static-constraint-decoding), to be timed as well."""
    data: Path | None = None
    """Folder with office/index.json and beauty/index.json, for points of shipped semantic IDs."""
    resume: bool = False
    """Keep the points that the JSON file holds."""
    aot: str | None = None
    """Chips, such as v5e,v6e,v7x: compile the methods for them instead, by libtpu, without a TPU."""
    profile: Path | None = None
    """Folder for a trace of three searches of each method at each point: for Perfetto or xprof."""

    def main(self, console: Console) -> int:
        """Run the program."""
        if self.static is not None:
            load(self.static)  # said now, not at a point
        points = self._points()
        name = self.preset if self.aot is None else "aot"
        # Of another process: a TPU that this one holds is held from those that measure.
        lines = Lines(
            self.json, {"preset": name, **in_own_process(environment)}, resume=self.resume
        )
        if self.aot is not None:
            compile_all([chip for chip in self.aot.split(",") if chip], lines, console)
            return 0
        for line in lines.points.values():
            show(line, console)
        run(
            points,
            lines,
            lambda line: show(line, console),
            self.static,
            self.data,
            self.profile,
        )
        if self.page is not None:
            write_page(self.page, lines.environment, list(lines.points.values()))
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # A table that is piped into a file need not be as narrow as a terminal of 80 columns.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    try:
        if arguments[:1] == ["compare"]:
            return tyro.cli(Compare, args=arguments[1:], prog="python -m benchmarks compare").main(
                console
            )
        if arguments[:1] == ["accelerators"]:
            from benchmarks.accelerators import Accelerators

            asked = tyro.cli(
                Accelerators, args=arguments[1:], prog="python -m benchmarks accelerators"
            )
            return asked.main(console)
        if arguments[:1] == ["paper"]:
            return tyro.cli(Paper, args=arguments[1:], prog="python -m benchmarks paper").main(
                console
            )
        if arguments == ["readme"]:
            readme.write()
            return 0
        return tyro.cli(Run, args=arguments, prog="python -m benchmarks").main(console)
    except GenretError as e:
        print(f"benchmarks: error: {e}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
