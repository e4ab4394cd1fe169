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

from benchmarks.accelerators import Accelerators
from benchmarks.compare import Compare
from benchmarks.device import Device
from benchmarks.methods.static_code import use
from benchmarks.paper import Paper
from benchmarks.presets import Preset, points_of
from benchmarks.process import in_own_process
from benchmarks.program import make_main, some
from benchmarks.readme import Readme
from benchmarks.record import Record, environment
from benchmarks.show import Page, show, write_page
from benchmarks.suite import run


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

    def main(self, console: Console) -> None:
        """Run the program."""
        use(self.static)
        chosen = some({point.key: point for point in points_of(self.preset)}, self.only)
        # Of another process: a TPU that this one holds is held from those that measure.
        heading = {"preset": self.preset, "environment": in_own_process(environment)}
        record = Record(self.json, heading, resume=self.resume, say=console.print)
        for key, figures in record.points.items():
            show(key, figures, console)
        run([*chosen.values()], record, lambda key, figures: show(key, figures, console), self.data)
        if self.page is not None:
            write_page(self.page, record.document, console)


VERBS: dict[str, type] = {
    "compare": Compare, "page": Page, "paper": Paper, "accelerators": Accelerators,
    "device": Device, "readme": Readme,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    program = VERBS.get(arguments[0], Run) if arguments else Run
    name = "benchmarks" if program is Run else f"benchmarks {arguments.pop(0)}"
    return make_main(name, program)(arguments)


if __name__ == "__main__":
    sys.exit(main())
