"""What README and pages of docs/ say of measurements, made from the committed results.

    python -m benchmarks readme

Tests compare the files with what this makes; the picture carries the checksum of its results.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import device
from benchmarks.accelerators import BUDGET, LABEL
from benchmarks.paper import markdown
from benchmarks.plots import machines, who_wins
from benchmarks.program import Table, replace_block
from benchmarks.quality_results import markdown as quality_markdown
from benchmarks.record import ROOT, read
from genret.errors import GenretError

BARS = Path("benchmarks/results/constraint.json")
SUITE = Path("benchmarks/results/suite.json")
PAPER = Path("benchmarks/results/paper.json")
MODELS = Path("benchmarks/results/models.json")
PAGE = Path("docs/benchmarks.md")
QUALITY_PAGE = Path("docs/results.md")
PICTURE = Path("docs/constrained_decoding.png")
MACHINES = Path("docs/three_machines.png")
ACCELERATORS = BUDGET.relative_to(ROOT)
DEVICES = Path("benchmarks/results/devices")
BEGIN, END = "<!-- made by `python -m benchmarks readme` -->", "<!-- end -->"
CHECKSUM = "Checksum of results"

ROWS = {
    "A search against STATIC's own code, same logits, 27 sizes (10⁵–10⁷ items, 256–8192 codes)":
        "{geomean_speedup:.2f} × faster (geometric mean), at least {min_speedup:.2f} ×",
    "The same over the cost of normalizing alone (logsumexps of the same logits)":
        "{ours_over_floor:.2f} ×; STATIC {static_over_floor:.2f} ×",
    "Skewed codes (Zipf), 10⁶ items":
        "{zipf_speedup:.1f} × faster or more; {zipf_over_uniform:.2f} × our time on uniform ones",
    "Bytes of the index, 10⁷ items of 8 codes":
        "{bytes_over_static:.2f} of STATIC's; on real codes at most {bytes_over_static_real:.2f}",
    "Building it from sorted / unsorted codes":
        "{build_over_static:.2f} / {build_unsorted_over_static:.2f} of STATIC's time",
    "10⁸ items: memory to build, step over that at 10⁶":
        "{build_1e8_gib:.1f} GiB, {step_1e8_over_1e6:.2f} ×",
    "Answers of random tries that differ from brute force":
        "{wrong_answers} of {tries:,}; {invalid_items} invalid items",
    "Recompilations by refreshes, filters and inserts; 32 filters in a batch over none":
        "{recompilations}; {filters_over_none:.2f} ×",
    "Model calls of a search with `tail=`, 8 codes and 2·10⁷ items / 4 codes of Beauty":
        "{sequential_calls_uniform_2e7} (stepping: {stepping_calls_uniform_2e7})"
        " / {sequential_calls_beauty} ({stepping_calls_beauty})",
}  # fmt: skip
"""Rows of README's table: what was measured, and the bars that it shows."""


def block(root: Path = ROOT) -> str:
    """Return the part of README that stands between the two marks."""
    document, drawn = read(root / BARS), read(root / SUITE)["environment"]
    environment, bars = document["environment"], document["bars"]
    rows = "\n".join(f"| {what} | {said.format(**bars)} |" for what, said in ROWS.items())
    return (
        f"{BEGIN}\n\n{_machines_shown(root)}"
        f"![Time of a search with each other method over that of genret, at each point]({PICTURE.as_posix()})\n\n"
        f"| constrained decoding | measured |\n|---|---|\n{rows}\n\n"
        f"Table: [{BARS.name}]({BARS.as_posix()}), commit {environment['commit']}; picture: "
        f"[{SUITE.name}]({SUITE.as_posix()}), commit {drawn['commit']}. {environment['processor']}, "
        f"{environment['cores']} cores, jax {environment['versions']['jax']}; medians of "
        f"interleaved rounds (picture: of three processes), answers checked.\n\n{END}"
    )


def _machines_shown(root: Path) -> str:
    """Return the first picture, where there are results for it."""
    if not (root / ACCELERATORS).exists():
        return ""
    return (
        f"![A search on a CPU, a TPU v6e and an H100]({MACHINES.as_posix()})\n\n"
        f"Left: times of a CPU. Middle and right: {LABEL}; "
        f"[{ACCELERATORS.name}]({ACCELERATORS.as_posix()}).\n\n"
    )


def page_block(root: Path = ROOT) -> str:
    """Return the part of docs/benchmarks.md between the two marks: what is measured of it."""
    parts = []
    for path, make in ((PAPER, markdown), (MODELS, _inside_models)):
        if (root / path).exists():
            document = read(root / path)
            environment = document["environment"]
            parts.append(make(environment, list(document["points"].values())))
            link = f"[{path.name}](../{path.as_posix()})"
            parts.append(f"From {link}, commit {environment['commit']}.")
    for path in sorted((root / DEVICES).glob("*.json")):
        parts.append(f"{device.markdown(read(path))}\n\nFrom {path.name}.")
    return "\n\n".join([BEGIN, *parts, END])


def _inside_models(environment: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of what a constrained step costs inside each model."""
    first, *others = dict.fromkeys(name for line in points for name in line["methods"])
    rows = []
    for line in points:
        base = line["methods"][first]
        cells = [line["sizes"]["model"], f"{base['step_ms']:,.1f} ms" if "step_ms" in base else ""]
        for own in (line["methods"].get(name, {}) for name in others):
            said = own.get("error", "").split(": ")[-1]
            if "times_first" in own:
                said = f"{own['over_first_ms']:+,.2f} ms, {own['times_first'] - 1:+.1%}"
            cells.append(said)
        rows.append(cells)
    size = points[0]["sizes"]
    said = (
        f"**Inside a model**, bfloat16, random weights, |C| = {size['items']:,}, "
        f"V = {size['codes']:,}, L = {size['depth']}, B = {size['batch']}, M = {size['beams']}, "
        f"{environment['processor']}, {environment['cores']} cores: a step of "
        f"`{first}`, and what the others' takes more:"
    )
    columns = ["parameters", *(f"`{name}`" for name in (first, *others))]
    return f"{said}\n\n{Table('', columns, rows).markdown()}"


def quality_block(root: Path = ROOT) -> str:
    """Return the part of docs/results.md between the two marks."""
    return f"{BEGIN}\n\n{quality_markdown(root / PAPER.parent)}\n\n{END}"


def with_block(text: str, new: str) -> str:
    """Return a page with the part between the marks replaced."""
    return replace_block(text, new, BEGIN, END, f"README.md, {PAGE}, {QUALITY_PAGE}")


def checksum(*results: Path, root: Path = ROOT) -> str:
    """Return the checksum of the results that are drawn."""
    drawn = b"".join((root / path).read_bytes() for path in results or (SUITE,))
    return hashlib.sha256(drawn).hexdigest()[:16]


def write(root: Path = ROOT) -> None:
    """Rewrite README's table and those of the pages, and draw the pictures."""
    pages: dict[Path, Callable[[Path], str]] = {
        Path("README.md"): block, PAGE: page_block, QUALITY_PAGE: quality_block,
    }  # fmt: skip
    for page, make in pages.items():
        text = (root / page).read_text(encoding="utf-8")
        (root / page).write_text(with_block(text, make(root)), encoding="utf-8")
    figure = who_wins(list(read(root / SUITE)["points"].values()))
    if figure is None:
        raise GenretError(f"{root / SUITE}: found no point with genret's time")
    figure.savefig(root / PICTURE, dpi=144, metadata={CHECKSUM: checksum(root=root)})
    if (root / ACCELERATORS).exists():
        figure = machines(read(root / PAPER)["points"], read(root / ACCELERATORS)["points"])
        drawn = {CHECKSUM: checksum(PAPER, ACCELERATORS, root=root)}
        figure.savefig(root / MACHINES, dpi=144, metadata=drawn)
