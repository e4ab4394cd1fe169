"""What README and pages of docs/ say of measurements, made from the committed results.

    python -m benchmarks readme

Tests compare the files with what this makes; the pictures carry the checksums of their results.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import device, tokenizers
from benchmarks.accelerators import BUDGET, LABEL
from benchmarks.paper import markdown
from benchmarks.plots import machines, who_wins
from benchmarks.quality_results import markdown as quality_markdown
from benchmarks.record import ROOT, read, write_text
from benchmarks.tables import Table, replace_block
from genret.errors import GenretError

RESULTS = Path("benchmarks/results")
BARS, SUITE, PAPER, MODELS = (
    RESULTS / f"{name}.json" for name in ("constraint", "suite", "paper", "models")
)
PICTURE = Path("docs/constrained_decoding.png")
MACHINES = Path("docs/three_machines.png")
ACCELERATORS = BUDGET.relative_to(ROOT)
BEGIN, END = "<!-- made by `python -m benchmarks readme` -->", "<!-- end -->"
CHECKSUM = "Checksum of results"

ROWS = {
    "Search time beside STATIC's own code on the same logits, 27 sizes (10⁵–10⁷ items, 256–8192 codes)":
        "{geomean_speedup:.2f} × as fast (geometric mean), at least {min_speedup:.2f} ×",
    "Search time over the time of normalizing the same logits, which every search has to do":
        "{ours_over_floor:.2f} ×; STATIC {static_over_floor:.2f} ×",
    "Search time with skewed codes (Zipf), 10⁶ items":
        "at least {zipf_speedup:.1f} × as fast as STATIC; {zipf_over_uniform:.2f} × our own with uniform codes",
    "Size of the index, 10⁷ items of 8 codes":
        "{bytes_over_static:.2f} of STATIC's; with real codes at most {bytes_over_static_real:.2f}",
    "Time to build it":
        "{build_over_static:.2f} of STATIC's from sorted codes, {build_unsorted_over_static:.2f} from unsorted ones",
    "Memory to build an index of 10⁸ items": "{build_1e8_gib:.1f} GiB",
    "Search time with 10⁸ items over that with 10⁶": "{step_1e8_over_1e6:.2f} ×",
    "Answers of random tries that differ from brute force":
        "{wrong_answers} of {tries:,}; {invalid_items} invalid items",
    "Programs that refreshes, new filters and inserts compile again": "{recompilations}",
    "Search time with 32 filters in a batch over that with none": "{filters_over_none:.2f} ×",
    "Calls of the model in a search, one after the other, for 8 codes and 2·10⁷ items":
        "{sequential_calls_uniform_2e7} with `tail=`, {stepping_calls_uniform_2e7} without",
    "The same for the 4 codes of Beauty":
        "{sequential_calls_beauty} with `tail=`, {stepping_calls_beauty} without",
}  # fmt: skip
"""Rows of README's table: what was measured, and the bars that it shows."""


def block(root: Path = ROOT) -> str:
    """Return what README says of the search."""
    document, drawn = read(root / BARS), read(root / SUITE)["environment"]
    environment, bars = document["environment"], document["bars"]
    rows = "\n".join(f"| {what} | {said.format(**bars)} |" for what, said in ROWS.items())
    shown = ""
    if (root / ACCELERATORS).exists():
        shown = (
            f"![A search on a CPU, a TPU v6e and an H100]({MACHINES.as_posix()})\n\n"
            f"Left: times of a CPU. Middle and right: {LABEL}; "
            f"[{ACCELERATORS.name}]({ACCELERATORS.as_posix()}).\n\n"
        )
    return (
        f"{shown}![Time of a search with each other method over that of genret, at each point]"
        f"({PICTURE.as_posix()})\n\n"
        f"| constrained decoding | measured |\n|---|---|\n{rows}\n\n"
        f"Table: [{BARS.name}]({BARS.as_posix()}), commit {environment['commit']}; picture: "
        f"[{SUITE.name}]({SUITE.as_posix()}), commit {drawn['commit']}. {environment['processor']}, "
        f"{environment['cores']} cores, jax {environment['versions']['jax']}; medians of "
        f"interleaved rounds (picture: of three processes), answers checked."
    )


def page_block(root: Path = ROOT) -> str:
    """Return what docs/benchmarks.md says of the paper, of models, and of the devices."""
    parts = []
    for path, make in ((PAPER, markdown), (MODELS, _inside_models)):
        if (root / path).exists():
            document = read(root / path)
            environment = document["environment"]
            parts.append(make(environment, list(document["points"].values())))
            link = f"[{path.name}](../{path.as_posix()})"
            parts.append(f"From {link}, commit {environment['commit']}.")
    for path in sorted((root / RESULTS / "devices").glob("*.json")):
        parts.append(f"{device.markdown(read(path))}\n\nFrom {path.name}.")
    return "\n\n".join(parts)


def _inside_models(environment: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of what a constrained step costs inside each model."""
    first, *others = dict.fromkeys(name for line in points for name in line["methods"])
    columns = {f"`{name}`": (name, "{}") for name in (first, *others)}
    rows = {}
    for line in points:
        cells = rows[line["sizes"]["model"]] = {}
        for name, own in line["methods"].items():
            cells[name] = own.get("error", "").split(": ")[-1]
            if name == first and "step_ms" in own:
                cells[name] = f"{own['step_ms']:,.1f} ms"
            elif "times_first" in own:
                cells[name] = f"{own['over_first_ms']:+,.2f} ms, {own['times_first'] - 1:+.1%}"
    size = points[0]["sizes"]
    said = (
        f"**Inside a model**, bfloat16, random weights, |C| = {size['items']:,}, "
        f"V = {size['codes']:,}, L = {size['depth']}, B = {size['batch']}, M = {size['beams']}, "
        f"{environment['processor']}, {environment['cores']} cores: a step of "
        f"`{first}`, and what the others' takes more:"
    )
    return f"{said}\n\n{Table.of('', columns, rows, 'parameters').markdown()}"


PAGES = {
    Path("README.md"): block,
    Path("docs/benchmarks.md"): page_block,
    Path("docs/results.md"): lambda root=ROOT: quality_markdown(root / RESULTS),
    Path("docs/results_tokenizers.md"): lambda root=ROOT: tokenizers.markdown(root / RESULTS),
}
"""Pages, and what makes the part of each that stands between two marks."""


def page(path: Path, root: Path = ROOT) -> str:
    """Return a page with what is measured now."""
    new = f"{BEGIN}\n\n{PAGES[path](root)}\n\n{END}"
    return replace_block((root / path).read_text("utf-8"), new, BEGIN, END, str(path))


def checksum(*results: Path, root: Path = ROOT) -> str:
    """Return the checksum of the results that are drawn."""
    drawn = b"".join((root / path).read_bytes() for path in results or (SUITE,))
    return hashlib.sha256(drawn).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Readme:
    """Rewrite README's table and pictures, and the tables of docs/, from benchmarks/results."""

    def main(self, console: Console) -> None:
        """Rewrite the pages and draw the pictures."""
        for path in PAGES:
            write_text(ROOT / path, page(path))
        figure = who_wins(list(read(ROOT / SUITE)["points"].values()))
        if figure is None:
            raise GenretError(f"{ROOT / SUITE}: found no point with genret's time")
        figure.savefig(ROOT / PICTURE, dpi=144, metadata={CHECKSUM: checksum()})
        if BUDGET.exists():
            figure = machines(read(ROOT / PAPER)["points"], read(BUDGET)["points"])
            drawn = {CHECKSUM: checksum(PAPER, ACCELERATORS)}
            figure.savefig(ROOT / MACHINES, dpi=144, metadata=drawn)
