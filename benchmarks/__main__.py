"""What constrained decoding costs on this machine, against what one would use instead.

    python -m benchmarks --preset smoke --json FILE
    python -m benchmarks page FILE
    python -m benchmarks accelerators --chips v6e,v7x,v5e,h100 --json FILE --page FILE
    python -m benchmarks device --json FILE
    python -m benchmarks readme

Every method answers the same requests; its answer is compared with brute force before it is timed.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import tyro
from rich.console import Console

from benchmarks import paper, plots, suite
from benchmarks.accelerators import Accelerators
from benchmarks.device import Device
from benchmarks.methods.static_code import use
from benchmarks.process import Figures, in_own_process
from benchmarks.program import Program, make_main
from benchmarks.readme import Readme
from benchmarks.record import Points, environment, read, write_text
from benchmarks.show import table
from benchmarks.suite import POINTS, Preset
from benchmarks.tables import Table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run(Program):
    """Measure a preset.

    Other verbs: `page FILE` makes the page of a run, `accelerators` counts cycles and kernels, `device`
    measures the attached device for an issue, `readme` rewrites README.
    """

    name: ClassVar[str] = "benchmarks"
    title: ClassVar[str] = "Constrained decoding, measured"
    how: ClassVar[str] = (
        "Times are medians of interleaved rounds, and ratios are taken over all pairs of rounds. The "
        "answers of every exact method equalled brute force before it was timed."
    )

    preset: Preset = "smoke"
    """"smoke" takes less than a minute, "bars" thirteen, "paper" twenty, "models" an hour."""
    static: Path | None = None
    """Checkout of STATIC (github.com/youtube/static-constraint-decoding), to be timed as well."""

    def points(self) -> Points:
        """Return the points of the preset."""
        use(self.static)
        return suite.points(POINTS[self.preset])

    def heading(self) -> Figures:
        """Name the preset; the environment is told by a process that gives a TPU back."""
        return {"preset": self.preset, "environment": in_own_process(environment)}

    def tables(self, document: Figures) -> list[Table]:
        """Return a table for each point, and those of the paper beside a run of its points."""
        points = document["points"]
        beside = paper.tables([*points.values()]) if document["preset"] == "paper" else []
        return [*(table(*point) for point in points.items()), *beside]

    def pictures(self, document: Figures) -> list[str]:
        """Return the map of which method wins where."""
        figure = plots.who_wins([*document["points"].values()])
        said = "Which method wins where, and by how much. The fastest exact method is framed."
        picture = figure and f"<figure>{plots.svg(figure)}<figcaption>{said}</figcaption></figure>"
        return [picture] if picture else []


@dataclasses.dataclass(frozen=True)
class Page:
    """Make the page of a run, of the suite or of accelerators: tables and pictures, without a network."""

    file: tyro.conf.Positional[Path]  # JSON of the run.
    out: Path | None = None  # HTML file to write; None: beside the run, with its name.

    def main(self, console: Console) -> None:
        """Write the page."""
        document = read(self.file)
        kind = Accelerators if document.get("program") == Accelerators.name else Run
        path = self.out or self.file.with_suffix(".html")
        write_text(path, kind().html(document))
        console.print(f"page: {path}")


VERBS = {
    "page": Page, "accelerators": Accelerators, "device": Device, "readme": Readme,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    program = VERBS.get(arguments[0], Run) if arguments else Run
    name = "benchmarks" if program is Run else f"benchmarks {arguments.pop(0)}"
    return make_main(program, name)(arguments)


if __name__ == "__main__":
    sys.exit(main())
