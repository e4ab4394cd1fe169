"""A run as pictures: each function takes the points of a run and returns a figure, or None."""

import io
import math
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.timing import times_of

Line = Mapping[str, Any]

STYLES = {
    "unconstrained": ("#7f7f7f", "x:"), "genret": ("#d1495b", "o-"),
    "static-style": ("#00798c", "s-"), "static (its code)": ("#3bb3c4", "s--"),
    "ppv-incremental": ("#e07b00", "^-"), "ppv-exact": ("#8a5200", "v-"),
    "ppv-top50": ("#c9a227", "v--"), "hash-bitmap": ("#3f8f5b", "P--"),
    "dense-bitmask": ("#2e4057", "D-"), "cpu-trie": ("#8d5a97", "p-"), "marisa": ("#c06c9f", "h-"),
    "generate + trie": ("#00798c", "s-"), "generate + processor": ("#edae49", "^-"),
    "genret, tail": ("#8d5a97", "D-"),
}  # fmt: skip
"""Color, mark and line of a method in every picture; broken lines need not find the exact answer."""

BESIDE = 12
"""Points beside each other in the map; the others are below."""

NEAR = 1.05
"""What takes so many times the fastest method's time at most is framed with it."""

MOST = 16.0
"""How many times slower than ours has the last color of the map."""

SIZES = (("L", "depth"), ("B", "batch"), ("M", "beams"))


def all_figures(points: Sequence[Line]) -> dict[str, tuple[str, Figure]]:
    """Draw every picture that the points have the figures for: caption and figure by name."""
    drawn = {
        "who_wins": (
            "Which method wins where, and by how much. The fastest exact method is framed.",
            who_wins(points),
        ),
        "slower_than_genret": ("The same over all points.", slower_than(points)),
        "by_level": ("Where the time goes: each step alone.", by_level(points)),
        "with_models": (
            "A whole search with a transformer; grey is the time without a constraint.",
            with_models(points),
        ),
    }
    return {name: (said, figure) for name, (said, figure) in drawn.items() if figure is not None}


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
    means = {x: statistics.geometric_mean(own) for x, own in _ratios(points, name).items()}
    order = sorted(means, key=means.__getitem__)
    methods = [x for x in ("unconstrained",) if x in order]  # no rival: its answers need not exist
    methods += [name, *(x for x in order if x not in methods)]
    parts = [points[begin : begin + BESIDE] for begin in range(0, len(points), BESIDE)]
    widest, height = max(map(len, parts)), 0.34 * len(methods) + 1.05
    figure = Figure(figsize=(1.9 + 0.78 * widest, height * len(parts) + 0.5), layout="constrained")
    for axes, part in zip(figure.subplots(len(parts), 1, squeeze=False)[:, 0], parts, strict=True):
        axes.set(xlim=(0, widest), ylim=(len(methods), 0))
        for column, line in enumerate(part):
            _column(axes, column, line, methods, name)
        titles = [_title(line, points) for line in part]
        axes.set_xticks([x + 0.5 for x in range(len(part))], titles)
        axes.set_yticks([y + 0.5 for y in range(len(methods))], methods)
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.tick_params(axis="x", labelsize=8)
        axes.get_yticklabels()[methods.index(name)].set_fontweight("bold")
        axes.spines[:].set_visible(False)
    same = [f"{x} = {points[0]['sizes'][n]}" for x, n in SIZES if not _differs(points, n)]
    title = (
        f"Time of a search over that of {name} ({', '.join(same)}); framed: the fastest whose "
        f"answers are all right, within {NEAR - 1:.0%}"
    )
    figure.suptitle(textwrap.fill(title, round(13 * figure.get_figwidth())), fontsize=10)
    return figure


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
    """Draw a search on a CPU, a TPU v6e and an H100 side by side, at one size.

    Args:
      measured: points of a suite run, with the times of a CPU.
      compiled: points of ``benchmarks accelerators``: the compilers' schedules, no times.
    """
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
        _bars(axes, values, {n: f" {v:,.{0 if v >= 10 else 2}f}" for n, v in values.items()})
        axes.margins(x=0.2)
        axes.set_title(title, fontsize=10)
        axes.set_xticks([])
    figure.suptitle("10⁶ items, V = 2,048, L = 8, B = 2, M = 70; less is better", fontsize=10)
    return figure


def slower_than(points: Sequence[Line], name: str = "genret") -> Figure | None:
    """Draw how many times slower than a method the others are, over all points with given logits."""
    ratios = _ratios(_given(points), name)
    if not ratios:
        return None
    means = {other: statistics.geometric_mean(values) for other, values in ratios.items()}
    order = sorted(means, key=means.__getitem__, reverse=True)
    figure = Figure(figsize=(7, 0.4 * len(order) + 1.4), layout="constrained")
    axes = figure.subplots()
    # From 1 on: a bar to the left is a faster method, one to the right a slower one.
    most = {other: max(1, *values) for other, values in ratios.items()}
    _bars(axes, {x: means[x] - 1 for x in order}, left=1)
    for row, other in enumerate(order):
        least = min(ratios[other])
        axes.plot([least, max(ratios[other])], [row, row], "|-", color="#333333", lw=1, ms=7)
        axes.text(1.08 * most[other], row, f"{times(means[other])} x", va="center")
    axes.axvline(1, color=color(name), lw=2)
    axes.set_xscale("log")
    least = min(1.0, *(min(own) for own in ratios.values()))
    axes.set_xlim(least / 1.1, 1.6 * max(most.values()))
    log_ticks(axes.xaxis, least, max(most.values()))
    axes.set_xlabel(f"time of a search over that of {name} (left of the line: faster)")
    count = max(map(len, ratios.values()))
    said = ": geometric mean, least and most" if count > 1 else ""
    axes.set_title(f"Against {name}, over {count} points{said}")
    return figure


def by_level(points: Sequence[Line]) -> Figure | None:
    """Draw what each step takes alone, of the largest point whose steps were timed."""
    lines = [line for line in points if any("level_ms" in x for x in line["methods"].values())]
    if not lines:
        return None
    line = max(lines, key=lambda line: line["sizes"]["items"])
    timed = {name: own["level_ms"] for name, own in line["methods"].items() if "level_ms" in own}
    sizes = line["sizes"]
    levels = list(range(1, sizes["depth"] + 1))
    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    axes = figure.subplots()
    for name, ms in sorted(
        timed.items(), key=lambda own: -own[1][-1]
    ):  # in the order of their ends
        thick = {"lw": 2.6, "ms": 6, "zorder": 3} if name == "genret" else {"lw": 1.3, "ms": 5}
        axes.plot(levels, ms, STYLES[name][1], color=color(name), label=name, **thick)
    axes.set_yscale("log")
    log_ticks(axes.yaxis, *axes.get_ylim())
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9, frameon=False)
    axes.set_xticks(levels)
    axes.set(xlabel="level of the semantic ID", ylabel="ms of the step alone")
    axes.set_title(f"|C| = {number(sizes['items'])}, V = {sizes['codes']:,}, each step alone")
    _plain(axes)
    return figure


def with_models(points: Sequence[Line]) -> Figure | None:
    """Draw what a whole search with a transformer takes, and which part of it is the constraint's."""
    lines = [line for line in points if line["sizes"]["model"] is not None and _timed(line)]
    if not lines:
        return None
    rows = max(len(line["methods"]) for line in lines)
    figure = Figure(figsize=(1.6 + 3.2 * len(lines), 0.4 * rows + 1.3), layout="constrained")
    for axes, line in zip(figure.subplots(1, len(lines), squeeze=False)[0], lines, strict=True):
        timed = _timed(line)
        first = next(iter(timed))
        base, longest = timed[first]["ms"], max(own["ms"] for own in timed.values())
        axes.barh([*timed], [min(base, own["ms"]) for own in timed.values()], color="#d0d0d0")
        _bars(axes, {name: max(0.0, own["ms"] - base) for name, own in timed.items()}, left=base)
        for name, own in timed.items():
            change = f"{times_of(own, timed[first]) - 1:+.0%}"
            text = f"{own['ms']:.3g} ms" if name == first else change
            axes.text(max(base, own["ms"]) + 0.02 * longest, name, text, va="center", fontsize=9)
        axes.axvline(base, color=color(first), lw=1)
        axes.set_xlim(0, 1.25 * longest)
        axes.set_title(f"{line['sizes']['model']} model, |C| = {number(line['sizes']['items'])}")
        axes.set_xlabel(f"ms a search; grey: as {first}")
    return figure


def hf_generate(points: Sequence[Mapping[str, Any]], ways: Sequence[str]) -> Figure:
    """Draw time against beams: for the smallest and the largest model, and for many prompts.

    Args:
      points: those of ``benchmarks.hf_generate``; the number of items is the one of most points.
      ways: names of the searches.
    """
    usual = statistics.mode(p["items"] for p in points)
    panels: dict[str, list[Any]] = {}
    for p in sorted(points, key=lambda p: (p["prompts"], p["parameters"], p["beams"])):
        if p["items"] == usual:
            plural = "one prompt" if p["prompts"] == 1 else f"{p['prompts']} prompts"
            panels.setdefault(f"{p['model']} parameters, {plural}", []).append(p)
    one = [title for title in panels if title.endswith("one prompt")]
    many = [title for title in panels if title not in one]
    # Three panels stay readable at the width of a page.
    shown = list(dict.fromkeys([*one[:1], *one[-1:], *many[-1:]]))
    figure = Figure(figsize=(3.6 * len(shown), 3.6), layout="constrained")
    every = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, title in zip(every, shown, strict=True):
        beams = [p["beams"] for p in panels[title]]
        for way in ways:
            own = [(p["ways"][way], p["prompts"]) for p in panels[title]]
            low, high = zip(*([t / n for t in way["quartiles_ms"]] for way, n in own), strict=True)
            ms = [way["ms"] / n for way, n in own]
            axes.plot(beams, ms, "o-", ms=4, color=color(way), label=way)
            axes.fill_between(beams, low, high, color=color(way), alpha=0.2)
        axes.set(xscale="log", yscale="log", xlabel="beams")
        axes.set_title(title, fontsize=10)
        axes.set_xticks(beams, [str(count) for count in beams])
        axes.minorticks_off()
        _plain(axes)
    every[0].set_ylabel("milliseconds per prompt")
    every[0].legend(fontsize=8, frameon=False)
    return figure


def _bars(
    axes: Axes, values: Mapping[str, float], said: Mapping[str, str] | None = None, left: float = 0
) -> None:
    """Draw a bar for each method in its color, the first on top, with what is said of it at its end."""
    axes.barh([*values], [*values.values()], left=left, color=[color(x) for x in values])
    for row, name in enumerate(said or {}):
        axes.text(values[name], row, said[name], va="center", fontsize=9)  # type: ignore[index]
    axes.invert_yaxis()
    _plain(axes)
    axes.grid(visible=False, axis="y")


def _timed(line: Line) -> dict[str, Any]:
    return {name: own for name, own in line["methods"].items() if "ms" in own}


def _given(points: Sequence[Line]) -> list[Line]:
    return [line for line in points if line["sizes"]["model"] is None]


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


def _ratios(points: Sequence[Line], name: str) -> dict[str, list[float]]:
    """Return the times of the other methods over a method's, at each point that has both."""
    found: dict[str, list[float]] = {}
    for timed in map(_timed, points):
        for other, own in timed.items():
            if name in timed and other != name:
                found.setdefault(other, []).append(times_of(own, timed[name]))
    return found


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Put plain numbers at a logarithmic axis: 1, 2, 5, 10 ..., of a long one the powers alone."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))


def _plain(axes: Axes) -> None:
    """Leave out what is not read."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def color(name: str) -> str:
    """Return the color of a method, the same in every picture."""
    return STYLES.get(name, ("#555555", ""))[0]


def number(count: int) -> str:
    """Say a size.

    >>> number(2048), number(100_000), number(20_000_000), number(123_456)
    ('2,048', '10⁵', '2·10⁷', '123,456')
    """
    zeros = len(str(count)) - len(str(count).rstrip("0"))
    front = str(count)[: len(str(count)) - zeros]
    if zeros < 4 or len(front) > 1:
        return f"{count:,}"
    power = "10" + str(zeros).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if front == "1" else f"{front}·{power}"


def times(ratio: float) -> str:
    """Say a ratio in two or three digits.

    >>> times(0.934), times(1.26), times(29.4), times(145.0)
    ('0.93', '1.3', '29', '145')
    """
    return f"{ratio:.2f}" if ratio < 0.995 else f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"
