"""A run as pictures: each function takes the points of a run and returns a figure."""

import math
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmarks._drawing import (
    color,
    draw_line,
    label_ends,
    log_ticks,
    number,
    plain,
    ticks_at,
    times,
)
from benchmarks.show import Line
from benchmarks.timing import times_of

BESIDE = 12
"""Points beside each other in the map; the others are below."""

NEAR = 1.05
"""What takes so many times the fastest method's time at most is framed with it."""

EVEN, MOST = "#f7f7f7", 16.0
"""Color of a method as fast as ours, and how many times slower has the last color."""


def who_wins(points: Sequence[Line], name: str = "genret") -> Figure | None:
    """Draw a map: a row for each method, a column for each point, in each cell how many times slower.

    The fastest of the methods whose answers were all right is framed, with those within 5 % of it.
    """
    points = [line for line in points if "ms" in line["methods"].get(name, {})]
    if not points:
        return None
    means = _mean_ratios(points, name)
    order = sorted(means, key=means.__getitem__)
    methods = [x for x in ("unconstrained",) if x in order]  # no rival: its answers need not exist
    methods += [name, *(x for x in order if x not in methods)]
    parts = [points[begin : begin + BESIDE] for begin in range(0, len(points), BESIDE)]
    widest = max(map(len, parts))
    height = 0.34 * len(methods) + 1.05
    figure = Figure(figsize=(1.9 + 0.78 * widest, height * len(parts) + 0.5), layout="constrained")
    for axes, part in zip(figure.subplots(len(parts), 1, squeeze=False)[:, 0], parts, strict=True):
        axes.set(xlim=(0, widest), ylim=(len(methods), 0))
        for column, line in enumerate(part):
            _column(axes, column, line, methods, name)
        axes.set_xticks(
            [x + 0.5 for x in range(len(part))], [_title(line, points) for line in part]
        )
        axes.set_yticks([y + 0.5 for y in range(len(methods))], methods)
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.tick_params(axis="x", labelsize=8)
        axes.get_yticklabels()[methods.index(name)].set_fontweight("bold")
        axes.spines[:].set_visible(False)
    sizes = points[0]["sizes"]
    same = [
        f"{letter} = {sizes[size]}"
        for letter, size in (("L", "depth"), ("B", "batch"), ("M", "beams"))
        if len({line["sizes"][size] for line in points}) == 1
    ]
    title = (
        f"Time of a search over that of {name} ({', '.join(same)}); framed: the fastest whose "
        f"answers are all right, within {NEAR - 1:.0%}"
    )
    figure.suptitle(textwrap.fill(title, round(13 * figure.get_figwidth())), fontsize=10)
    return figure


def machines(measured: Mapping[str, Line], compiled: Mapping[str, Any]) -> Figure:
    """Draw a search on a CPU, a TPU v6e and an H100 side by side, at one size.

    Args:
      measured: points of a suite run, with the times of a CPU.
      compiled: points of ``benchmarks accelerators``: the compilers' schedules, no times.
    """
    where = "|C|=1000000 V=2048 L=8 B=2 M=70 uniform"
    times_ = measured.get(f"given logits {where}", {}).get("methods", {})
    panels: dict[str, dict[str, float]] = {
        "CPU: ms a search": {name: own["ms"] for name, own in times_.items() if "ms" in own},
        "TPU v6e: thousand cycles, scheduled": {},
        "H100: kernels launched": {},
    }
    for key, point in compiled.items():
        name = point.get("method")
        if key == f"v6e {name} {where}" and point.get("cycles"):
            panels["TPU v6e: thousand cycles, scheduled"][name] = point["cycles"] / 1e3
        if key == f"h100 {name} {where}" and point.get("kernels"):
            panels["H100: kernels launched"][name] = point["kernels"]
    shown = ("genret", "static (its code)", "static-style", "unconstrained")
    figure = Figure(figsize=(10.5, 2.3), layout="constrained")
    for axes, (title, values) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        names = [name for name in shown if name in values]
        axes.barh(names, [values[x] for x in names], color=[color(x) for x in names])
        for row, name in enumerate(names):
            said = f" {values[name]:,.{0 if values[name] >= 10 else 2}f}"
            axes.text(values[name], row, said, va="center", fontsize=9)
        axes.margins(x=0.2)
        axes.invert_yaxis()
        axes.set_title(title, fontsize=10)
        plain(axes)
        axes.grid(visible=False)
        axes.set_xticks([])
    figure.suptitle("10⁶ items, V = 2,048, L = 8, B = 2, M = 70; less is better", fontsize=10)
    return figure


def slower_than(points: Sequence[Line], name: str = "genret") -> Figure | None:
    """Draw how many times slower than a method the others are, over all points with given logits."""
    ratios = _ratios(_given(points), name)
    if not ratios:
        return None
    means = {other: statistics.geometric_mean(values) for other, values in ratios.items()}
    order = sorted(means, key=means.__getitem__)
    figure = Figure(figsize=(7, 0.4 * len(order) + 1.4), layout="constrained")
    axes = figure.subplots()
    # From 1 on: a bar to the left is a faster method, one to the right a slower one.
    axes.barh(order, [means[x] - 1 for x in order], left=1, color=[color(x) for x in order])
    for row, other in enumerate(order):
        least, most = min(ratios[other]), max(ratios[other])
        if most > least:
            axes.plot([least, most], [row, row], "|-", color="#333333", lw=1, ms=7)
        axes.text(1.08 * max(1, most), row, f"{times(means[other])} x", va="center")
    axes.axvline(1, color=color(name), lw=2)
    axes.set_xscale("log")
    values = [1.0, *(ratio for own in ratios.values() for ratio in own)]
    axes.set_xlim(min(values) / 1.1, max(values) * 1.6)
    log_ticks(axes.xaxis, min(values), max(values))
    axes.set_xlabel(f"time of a search over that of {name} (left of the line: faster)")
    count = max(map(len, ratios.values()))
    axes.set_title(
        f"Against {name}, over {count} points"
        + (": geometric mean, least and most" if count > 1 else "")
    )
    plain(axes)
    return figure


def latency(points: Sequence[Line], axis: str) -> Figure | None:
    """Draw milliseconds a step against "items" or "codes", on logarithmic axes.

    Returns:
      The figure; None where no two points differ in that axis alone.
    """
    return _against(points, axis, "step_ms", "ms a step")


def memory(points: Sequence[Line]) -> Figure | None:
    """Draw the bytes of the indices against |C|, on logarithmic axes."""
    return _against(points, "items", "bytes", "MiB of the index", 1 / (1 << 20))


def with_models(points: Sequence[Line]) -> Figure | None:
    """Draw what a whole search with a transformer takes, and which part of it is the constraint's."""
    lines = [line for line in points if line["sizes"]["model"] is not None]
    lines = [line for line in lines if any("ms" in own for own in line["methods"].values())]
    if not lines:
        return None
    rows = max(len(line["methods"]) for line in lines)
    figure = Figure(figsize=(1.6 + 3.2 * len(lines), 0.4 * rows + 1.3), layout="constrained")
    for axes, line in zip(figure.subplots(1, len(lines), squeeze=False)[0], lines, strict=True):
        timed = {name: own for name, own in line["methods"].items() if "ms" in own}
        first = next(iter(timed))
        base = timed[first]["ms"]
        names, longest = list(timed), max(own["ms"] for own in timed.values())
        axes.barh(names, [min(base, own["ms"]) for own in timed.values()], color="#d0d0d0")
        more = [max(0.0, own["ms"] - base) for own in timed.values()]
        axes.barh(names, more, left=base, color=[color(x) for x in names])
        for name, own in timed.items():
            change = f"{times_of(own, timed[first]) - 1:+.0%}"
            text = f"{own['ms']:.3g} ms" if name == first else change
            axes.text(max(base, own["ms"]) + 0.02 * longest, name, text, va="center", fontsize=9)
        axes.axvline(base, color=color(first), lw=1)
        axes.set_xlim(0, 1.25 * longest)
        axes.invert_yaxis()
        axes.set_title(f"{line['sizes']['model']} model, |C| = {number(line['sizes']['items'])}")
        axes.set_xlabel(f"ms a search; grey: as {first}")
        plain(axes)
        axes.grid(visible=False, axis="y")
    return figure


def by_level(points: Sequence[Line]) -> Figure | None:
    """Draw what each step takes alone, of the largest point whose steps were timed."""
    lines = [line for line in points if any("level_ms" in x for x in line["methods"].values())]
    if not lines:
        return None
    line = max(lines, key=lambda line: line["sizes"]["items"])
    series = {
        name: (list(range(1, len(own["level_ms"]) + 1)), own["level_ms"])
        for name, own in line["methods"].items()
        if "level_ms" in own
    }
    sizes = line["sizes"]
    figure, axes = _lines(series)
    axes.set_xticks(range(1, sizes["depth"] + 1))
    axes.set_xlabel("level of the semantic ID")
    axes.set_ylabel("ms of the step alone")
    axes.set_title(f"|C| = {number(sizes['items'])}, V = {sizes['codes']:,}, each step alone")
    return figure


def all_figures(points: Sequence[Line]) -> dict[str, Figure]:
    """Draw every picture that the points have the figures for, by name."""
    drawn = {
        "who_wins": who_wins(points),
        "slower_than_genret": slower_than(points),
        "latency_over_items": latency(points, "items"),
        "latency_over_codes": latency(points, "codes"),
        "bytes_over_items": memory(points),
        "by_level": by_level(points),
        "with_models": with_models(points),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _column(axes: Axes, column: int, line: Line, methods: Sequence[str], name: str) -> None:
    """Draw a point's cells of the map."""
    colors = matplotlib.colormaps["RdBu_r"]
    timed = {x: own for x, own in line["methods"].items() if "ms" in own and x in methods}
    right = [own["ms"] for own in timed.values() if _all_right(own)]
    for row, method in enumerate(methods):
        if method not in timed:
            if method in line["methods"]:
                axes.text(
                    column + 0.5, row + 0.5, "none", ha="center", va="center", fontsize=8,
                    color="#999999",
                )  # fmt: skip
            continue
        own = timed[method]
        ratio = times_of(own, timed[name])
        place = 0.5 + 0.5 * max(-1.0, min(1.0, math.log(ratio) / math.log(MOST)))
        axes.add_patch(Rectangle((column, row), 1, 1, fc=colors(place), ec="white", lw=1.5))
        text = f"{own['ms']:.3g} ms" if method == name else times(ratio)
        axes.text(
            column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8.5,
            color="white" if abs(place - 0.5) > 0.35 else "#222222",
        )  # fmt: skip
        if _all_right(own) and own["ms"] <= NEAR * min(right):
            frame = Rectangle((column + 0.04, row + 0.06), 0.92, 0.88, fc="none", ec="#111111")
            axes.add_patch(frame)


def _all_right(own: dict[str, Any]) -> bool:
    """Say whether all answers exist and, where the exact ones are known, are those."""
    return own.get("valid") == 1 and own.get("of_exact", 1.0) == 1


def _title(line: Line, points: Sequence[Line]) -> str:
    """Say a point in a column's width: what differs between the points."""
    sizes = line["sizes"]
    said = [f"{number(sizes['items'])} items", f"V {sizes['codes']:,}"]
    for letter, size in (("L", "depth"), ("B", "batch"), ("M", "beams")):
        if len({each["sizes"][size] for each in points}) > 1:
            said.append(f"{letter} {sizes[size]}")
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
    for line in points:
        timed = {x: own for x, own in line["methods"].items() if "ms" in own}
        for other, own in timed.items():
            if name in timed and other != name:
                found.setdefault(other, []).append(times_of(own, timed[name]))
    return found


def _mean_ratios(points: Sequence[Line], name: str) -> dict[str, float]:
    ratios = _ratios(points, name)
    return {other: statistics.geometric_mean(values) for other, values in ratios.items()}


def _against(
    points: Sequence[Line], axis: str, what: str, label: str, unit: float = 1.0
) -> Figure | None:
    """Draw a figure of each method against an axis: of the points that differ in nothing else."""
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for line in _given(points):
        rest = tuple(v for k, v in line["sizes"].items() if k not in (axis, "repeats"))
        groups.setdefault(rest, []).append(line)
    lines = max(groups.values(), key=len, default=[])
    if len(lines) < 2:
        return None
    lines = sorted(lines, key=lambda line: line["sizes"][axis])
    series: dict[str, tuple[list[float], list[float]]] = {}
    for line in lines:
        for name, own in line["methods"].items():
            if own.get(what):
                x, y = series.setdefault(name, ([], []))
                x.append(line["sizes"][axis])
                y.append(unit * own[what])
    figure, axes = _lines(series)
    axes.set_xscale("log")
    ticks_at(axes.xaxis, [line["sizes"][axis] for line in lines])
    sizes = lines[0]["sizes"]
    other = f"V = {sizes['codes']:,}" if axis == "items" else f"|C| = {number(sizes['items'])}"
    axes.set_xlabel({"items": "items, |C|", "codes": "codes of a level, V"}[axis])
    axes.set_ylabel(label)
    axes.set_title(
        f"{other}, L = {sizes['depth']}, B = {sizes['batch']}, M = {sizes['beams']}, {sizes['kind']}"
    )
    return figure


def _lines(series: dict[str, tuple[list[Any], list[float]]]) -> tuple[Figure, Axes]:
    """Draw a line for each method over a logarithmic axis, with its name at its end."""
    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    axes = figure.subplots()
    for name, (x, y) in series.items():
        draw_line(axes, name, x, y)
    axes.set_yscale("log")
    axes.margins(x=0.04, y=0.06)
    log_ticks(axes.yaxis, *axes.get_ylim())
    label_ends(axes, [(x[-1], y[-1], name) for name, (x, y) in series.items()])
    plain(axes)
    return figure, axes


def _given(points: Sequence[Line]) -> list[Line]:
    return [line for line in points if line["sizes"]["model"] is None]
