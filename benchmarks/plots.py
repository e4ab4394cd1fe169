"""A run as pictures: each function takes the points of a run and returns a figure, or None."""

import io
import math
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmarks.show import Line
from benchmarks.timing import times_of

COLORS = {
    "unconstrained": "#7f7f7f", "genret": "#d1495b", "static-style": "#00798c",
    "static (its code)": "#3bb3c4", "generate + trie": "#00798c", "generate + processor": "#edae49",
    "genret, tail": "#8d5a97",
}  # fmt: skip
"""Color of a method in every picture."""
BESIDE = 12
"""Points beside each other in the map; the others are below."""
NEAR = 1.05
"""What takes so many times the fastest method's time at most is framed with it."""
MOST = 16.0
"""How many times slower than ours has the last color of the map."""
SIZES = (("L", "depth"), ("B", "batch"), ("M", "beams"))


def svg(figure: Figure) -> str:
    """Return a figure as an SVG element; equal figures give equal text."""
    text = io.StringIO()
    # Names of parts of a picture are hashed with a salt; they are unique in a page by the title.
    salt = {"svg.hashsalt": figure.axes[0].get_title(), "svg.fonttype": "none"}
    with matplotlib.rc_context(salt):
        figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]


def who_wins(points: Sequence[Line], name: str = "genret") -> Figure | None:
    """Draw a map: a row for each method, a column for each point, in each cell how many times slower.

    The fastest of the methods whose answers were all right is framed, with those within 5 % of it.
    """
    points = [line for line in points if "ms" in line["methods"].get(name, {})]
    if not points:
        return None
    methods = _order(points, name)
    parts = [points[begin : begin + BESIDE] for begin in range(0, len(points), BESIDE)]
    widest, height = max(map(len, parts)), 0.34 * len(methods) + 1.05
    figure = Figure(figsize=(1.9 + 0.78 * widest, height * len(parts) + 0.5), layout="constrained")
    same = [f"{x} = {points[0]['sizes'][n]}" for x, n in SIZES if not _differs(points, n)]
    for axes, part in zip(figure.subplots(len(parts), 1, squeeze=False)[:, 0], parts, strict=True):
        axes.set(xlim=(0, widest), ylim=(len(methods), 0))
        for column, line in enumerate(part):
            _column(axes, column, line, methods, name)
        axes.set_xticks([x + 0.5 for x in range(len(part))], [_title(x, points) for x in part])
        axes.set_yticks([y + 0.5 for y in range(len(methods))], methods)
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.tick_params(axis="x", labelsize=8)
        axes.get_yticklabels()[methods.index(name)].set_fontweight("bold")
        axes.spines[:].set_visible(False)
    title = (
        f"Time of a search over that of {name} ({', '.join(same)}); framed: the fastest whose "
        f"answers are all right, within {NEAR - 1:.0%}"
    )
    figure.suptitle(textwrap.fill(title, round(13 * figure.get_figwidth())), fontsize=10)
    return figure


def _order(points: Sequence[Line], name: str) -> list[str]:
    """Return the methods: the baseline, ours, and the others by their times over ours."""
    ratios: dict[str, list[float]] = {}
    for timed in map(_timed, points):
        for other, own in timed.items():
            ratios.setdefault(other, []).append(times_of(own, timed[name]))
    # The baseline is no rival: its answers need not exist.
    first = {"unconstrained": 0, name: 1}
    means = {other: statistics.geometric_mean(own) for other, own in ratios.items()}
    return sorted(means, key=lambda other: (first.get(other, 2), means[other]))


def _column(axes: Axes, column: int, line: Line, methods: Sequence[str], name: str) -> None:
    """Draw a point's cells of the map."""
    timed = _timed(line)
    right = [own["ms"] for own in timed.values() if _all_right(own)]
    middle = {"ha": "center", "va": "center"}
    for row, method in enumerate(methods):
        if method not in timed:
            if method in line["methods"]:
                axes.text(column + 0.5, row + 0.5, "none", fontsize=8, color="#999999", **middle)
            continue
        own = timed[method]
        ratio = times_of(own, timed[name])
        shade = 0.5 + 0.5 * max(-1.0, min(1.0, math.log(ratio) / math.log(MOST)))
        face = matplotlib.colormaps["RdBu_r"](shade)
        axes.add_patch(Rectangle((column, row), 1, 1, fc=face, ec="white", lw=1.5))
        text = f"{own['ms']:.3g} ms" if method == name else times(ratio)
        ink = "white" if abs(shade - 0.5) > 0.35 else "#222222"
        axes.text(column + 0.5, row + 0.5, text, fontsize=8.5, color=ink, **middle)
        if _all_right(own) and own["ms"] <= NEAR * min(right):
            frame = Rectangle((column + 0.04, row + 0.06), 0.92, 0.88, fc="none", ec="#111111")
            axes.add_patch(frame)


def machines(measured: Mapping[str, Line], compiled: Mapping[str, Any]) -> Figure:
    """Draw a search side by side: measured on a CPU, compiled for a TPU v6e and an H100, at one size."""
    where = "|C|=1000000 V=2048 L=8 B=2 M=70 uniform"
    shown = ("genret", "static (its code)", "static-style", "unconstrained")
    on_cpu = measured.get(f"given logits {where}", {}).get("methods", {})

    def counted(chip: str, figure: str, unit: float) -> dict[str, float]:
        own = {name: compiled.get(f"{chip} {name} {where}", {}) for name in shown}
        return {name: p[figure] / unit for name, p in own.items() if p.get(figure)}

    panels: dict[str, dict[str, float]] = {
        "CPU: ms a search": {n: on_cpu[n]["ms"] for n in shown if "ms" in on_cpu.get(n, {})},
        "TPU v6e: thousand cycles, scheduled": counted("v6e", "cycles", 1e3),
        "H100: kernels launched": counted("h100", "kernels", 1),
    }
    figure = Figure(figsize=(10.5, 2.3), layout="constrained")
    for axes, (title, values) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        bars = axes.barh([*values], [*values.values()], color=[COLORS[name] for name in values])
        said = [f"{value:,.{0 if value >= 10 else 2}f}" for value in values.values()]
        axes.bar_label(bars, [f" {text}" for text in said], fontsize=9)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.2)
        axes.set_title(title, fontsize=10)
        axes.set_xticks([])
    figure.suptitle("10⁶ items, V = 2,048, L = 8, B = 2, M = 70; less is better", fontsize=10)
    return figure


def hf_generate(points: Sequence[Mapping[str, Any]], ways: Sequence[str]) -> Figure:
    """Draw time against beams: for the smallest and the largest model, and for many prompts."""
    usual = statistics.mode(p["items"] for p in points)
    panels: dict[tuple[int, str], list[Any]] = {}
    for p in sorted(points, key=lambda p: (p["prompts"], p["parameters"], p["beams"])):
        if p["items"] == usual:
            panels.setdefault((p["prompts"], p["model"]), []).append(p)
    one = [panel for panel in panels if panel[0] == 1]
    # Three panels stay readable at the width of a page.
    shown = list(dict.fromkeys([one[0], one[-1], [*panels][-1]]))
    figure = Figure(figsize=(3.6 * len(shown), 3.6), layout="constrained")
    every = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, (prompts, model) in zip(every, shown, strict=True):
        own = panels[prompts, model]
        beams = [p["beams"] for p in own]
        for way in ways:
            ms = [p[way]["ms"] / prompts for p in own]
            low, high = zip(*(p[way]["quartiles_ms"] for p in own), strict=True)
            axes.plot(beams, ms, "o-", ms=4, color=COLORS[way], label=way)
            ends = [[t / prompts for t in side] for side in (low, high)]
            axes.fill_between(beams, *ends, color=COLORS[way], alpha=0.2)
        axes.set(xscale="log", yscale="log", xlabel="beams")
        plural = "one prompt" if prompts == 1 else f"{prompts} prompts"
        axes.set_title(f"{model} parameters, {plural}", fontsize=10)
        axes.set_xticks(beams, [str(count) for count in beams])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
    every[0].set_ylabel("milliseconds per prompt")
    every[0].legend(fontsize=8, frameon=False)
    return figure


def _timed(line: Line) -> dict[str, Any]:
    return {name: own for name, own in line["methods"].items() if "ms" in own}


def _differs(points: Sequence[Line], size: str) -> bool:
    return len({line["sizes"][size] for line in points}) > 1


def _all_right(own: dict[str, Any]) -> bool:
    """Say whether all answers exist and, where the exact ones are known, are those."""
    return own.get("valid") == 1 and own.get("of_exact", 1.0) == 1


def _title(line: Line, points: Sequence[Line]) -> str:
    """Say a point in a column's width: what differs between the points."""
    sizes = line["sizes"]
    said = [f"{number(sizes['items'])} items", f"V {sizes['codes']:,}"]
    said += [f"{letter} {sizes[size]}" for letter, size in SIZES if _differs(points, size)]
    if sizes["kind"] != "uniform":
        said.append(sizes["kind"])
    if sizes.get("filters"):
        said.append(f"{sizes['filters']} filters")
    if sizes.get("inserted"):
        said.append(f"{100 * sizes['inserted']:g} % late")
    if sizes["model"] is not None:
        said.append(f"{sizes['model']} model")
    return "\n".join(said)


def number(count: int) -> str:
    """Say a size.

    >>> number(2048), number(100_000), number(20_000_000), number(123_456)
    ('2,048', '10⁵', '2·10⁷', '123,456')
    """
    digit, zeros = str(count)[0], len(str(count)) - 1
    if zeros < 4 or count != int(digit) * 10**zeros:
        return f"{count:,}"
    power = "10" + str(zeros).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if digit == "1" else f"{digit}·{power}"


def times(ratio: float) -> str:
    """Say a ratio in two or three digits.

    >>> times(0.934), times(1.26), times(29.4), times(145.0)
    ('0.93', '1.3', '29', '145')
    """
    return f"{ratio:.2f}" if ratio < 0.995 else f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"
