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
from benchmarks.program import replace_block
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

ROWS: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
    (
        "A search against STATIC's own code, same logits, 27 sizes (10⁵–10⁷ items, 256–8192 codes)",
        lambda b: (
            f"{b['geomean_speedup']:.2f} × faster (geometric mean), at least {b['min_speedup']:.2f} ×"
        ),
    ),
    (
        "The same over the cost of normalizing alone (logsumexps of the same logits)",
        lambda b: f"{b['ours_over_floor']:.2f} ×; STATIC {b['static_over_floor']:.2f} ×",
    ),
    (
        "Skewed codes (Zipf), 10⁶ items",
        lambda b: (
            f"{b['zipf_speedup']:.1f} × faster or more; {b['zipf_over_uniform']:.2f} × our time on uniform ones"
        ),
    ),
    (
        "Bytes of the index, 10⁷ items of 8 codes",
        lambda b: (
            f"{b['bytes_over_static']:.2f} of STATIC's; on real codes at most {b['bytes_over_static_real']:.2f}"
        ),
    ),
    (
        "Building it from sorted / unsorted codes",
        lambda b: (
            f"{b['build_over_static']:.2f} / {b['build_unsorted_over_static']:.2f} of STATIC's time"
        ),
    ),
    (
        "10⁸ items: memory to build, step over that at 10⁶",
        lambda b: f"{b['build_1e8_gib']:.1f} GiB, {b['step_1e8_over_1e6']:.2f} ×",
    ),
    (
        "Answers of random tries that differ from brute force",
        lambda b: f"{b['wrong_answers']} of {b['tries']:,}; {b['invalid_items']} invalid items",
    ),
    (
        "Recompilations by refreshes, filters and inserts; 32 filters in a batch over none",
        lambda b: f"{b['recompilations']}; {b['filters_over_none']:.2f} ×",
    ),
    (
        "Model calls of a search with `tail=`, 8 codes and 2·10⁷ items / 4 codes of Beauty",
        lambda b: (
            f"{b['sequential_calls_uniform_2e7']} (stepping: {b['stepping_calls_uniform_2e7']})"
            f" / {b['sequential_calls_beauty']} ({b['stepping_calls_beauty']})"
        ),
    ),
]


def block(root: Path = ROOT) -> str:
    """Return the part of README that stands between the two marks."""
    document = read(root / BARS)
    environment, bars = document["environment"], document["bars"]
    drawn = read(root / SUITE)["environment"]
    rows = "\n".join(f"| {what} | {say(bars)} |" for what, say in ROWS)
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
    names = list(dict.fromkeys(name for line in points for name in line["methods"]))
    rows = []
    for line in points:
        cells = []
        for name in names:
            own = line["methods"].get(name, {})
            if name == names[0]:
                cells.append(f"{own['step_ms']:,.1f} ms" if "step_ms" in own else "")
            elif "times_first" in own:
                more, share = own["over_first_ms"], own["times_first"] - 1
                cells.append(f"{more:+,.2f} ms, {share:+.1%}")
            else:
                cells.append(own.get("error", "").split(": ")[-1])
        rows.append(f"| {line['sizes']['model']} | " + " | ".join(cells) + " |")
    size = points[0]["sizes"]
    return "\n".join(
        [
            f"**Inside a model**, bfloat16, random weights, |C| = {size['items']:,}, "
            f"V = {size['codes']:,}, L = {size['depth']}, B = {size['batch']}, M = {size['beams']}, "
            f"{environment['processor']}, {environment['cores']} cores: a step of "
            f"`{names[0]}`, and what the others' takes more:",
            "",
            "| parameters | " + " | ".join(f"`{name}`" for name in names) + " |",
            "|---" * (1 + len(names)) + "|",
            *rows,
        ]
    )


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
    """Rewrite README's table and those of the pages, and draw the picture."""
    for page, new in (
        (root / "README.md", block(root)),
        (root / PAGE, page_block(root)),
        (root / QUALITY_PAGE, quality_block(root)),
    ):
        page.write_text(with_block(page.read_text(encoding="utf-8"), new), encoding="utf-8")
    figure = who_wins(list(read(root / SUITE)["points"].values()))
    if figure is None:
        raise GenretError(f"{root / SUITE}: found no point with genret's time")
    figure.savefig(root / PICTURE, dpi=144, metadata={CHECKSUM: checksum(root=root)})
    if (root / ACCELERATORS).exists():
        figure = machines(read(root / PAPER)["points"], read(root / ACCELERATORS)["points"])
        drawn = {CHECKSUM: checksum(PAPER, ACCELERATORS, root=root)}
        figure.savefig(root / MACHINES, dpi=144, metadata=drawn)
