"""A run as pictures: each function takes the points of a run and returns a figure."""

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks._lines import Line

COLOURS = {
    "unconstrained": "#9a9a9a", "genret": "#d1495b", "static-style": "#00798c",
    "ppv-incremental": "#edae49", "ppv-exact": "#c28a1c", "ppv-top50": "#f4d58d",
    "hash-bitmap": "#66a182", "dense-bitmask": "#2e4057", "cpu-trie": "#8d5a97",
    "marisa": "#c8a2c8", "static (its code)": "#005f73",
}  # fmt: skip
"""The same colour for a method in every picture."""


def latency(points: Sequence[Line], axis: str) -> Figure | None:
    """Draw milliseconds a step against "items" or "codes", on logarithmic axes.

    Returns:
      The figure; None where no two points differ in that axis alone.
    """
    return _against(points, axis, "step_ms", "ms a step")


def memory(points: Sequence[Line]) -> Figure | None:
    """Draw the bytes of the indices against |C|, on logarithmic axes."""
    return _against(points, "items", "bytes", "bytes of the index")


def slower_than(points: Sequence[Line], name: str = "genret") -> Figure | None:
    """Draw how many times slower than a method the others are, over all points with given logits."""
    ratios: dict[str, list[float]] = {}
    for line in _given(points):
        own = line["methods"].get(name, {}).get("ms")
        for other, figures in line["methods"].items():
            if own and "ms" in figures and other != name:
                ratios.setdefault(other, []).append(figures["ms"] / own)
    if not ratios:
        return None
    means = {other: statistics.geometric_mean(values) for other, values in ratios.items()}
    order = sorted(means, key=means.__getitem__)
    figure = Figure(figsize=(7, 0.45 * len(order) + 1.6), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(order, [means[x] for x in order], color=[_colour(x) for x in order])
    low = [max(0.0, means[x] - min(ratios[x])) for x in order]
    high = [max(0.0, max(ratios[x]) - means[x]) for x in order]
    axes.errorbar(
        [means[x] for x in order],
        order,
        xerr=(low, high),
        fmt="none",
        ecolor="#333",
        lw=1,
        capsize=3,
    )
    for bar, other in zip(bars, order, strict=True):
        at = max(ratios[other]) * 1.08
        axes.text(at, bar.get_y() + bar.get_height() / 2, f"{means[other]:.2g} x", va="center")
    axes.axvline(1, color=_colour(name), lw=1.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(right=2.5 * max(max(values) for values in ratios.values()))
    axes.set_xlabel(f"time of a whole search over that of {name} (left of the line: faster)")
    axes.set_title(f"Against {name}: geometric mean, least and most of {_count(ratios)} points")
    _plain(axes)
    return figure


def with_models(points: Sequence[Line]) -> Figure | None:
    """Draw what a whole search with a transformer takes, and which part of it is the constraint's."""
    lines = [line for line in points if line["sizes"]["model"] is not None]
    if not lines:
        return None
    figure = Figure(figsize=(4.2 * len(lines), 3.6), layout="constrained")
    for axes, line in zip(figure.subplots(1, len(lines), squeeze=False)[0], lines, strict=True):
        timed = {name: own for name, own in line["methods"].items() if "ms" in own}
        base = next(iter(timed.values()))["ms"]
        names = list(timed)
        axes.bar(names, [min(base, own["ms"]) for own in timed.values()], color="#cccccc")
        more = [max(0.0, own["ms"] - base) for own in timed.values()]
        axes.bar(names, more, bottom=base, color=[_colour(x) for x in names])
        for name, own in timed.items():
            axes.text(name, own["ms"], f"{own['ms'] / base - 1:+.0%}", ha="center", va="bottom")
        axes.set_title(f"{line['sizes']['model']} model, |C| = {line['sizes']['items']:,}")
        axes.set_ylabel("ms a search (grey: unconstrained)")
        axes.tick_params(axis="x", rotation=30)
        axes.margins(y=0.15)
        _plain(axes)
    return figure


def by_level(points: Sequence[Line]) -> Figure | None:
    """Draw what each step takes alone, of the largest point whose steps were timed."""
    lines = [line for line in points if any("level_ms" in x for x in line["methods"].values())]
    if not lines:
        return None
    line = max(lines, key=lambda line: line["sizes"]["items"])
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    ends = []
    for name, own in line["methods"].items():
        if "level_ms" in own:
            levels = list(range(1, len(own["level_ms"]) + 1))
            width = 2.5 if name == "genret" else 1.3
            axes.plot(levels, own["level_ms"], "o-", color=_colour(name), lw=width, ms=4)
            ends.append((own["level_ms"][-1], levels[-1], name))
    axes.set_yscale("log")
    axes.set_xticks(range(1, line["sizes"]["depth"] + 1))
    _label_ends(axes, ends)
    axes.set_xlabel("level of the semantic ID")
    axes.set_ylabel("ms of the step alone")
    axes.set_title(
        f"|C| = {line['sizes']['items']:,}, V = {line['sizes']['codes']:,}, each step alone"
    )
    _plain(axes)
    return figure


def all_figures(points: Sequence[Line]) -> dict[str, Figure]:
    """Draw every picture that the points have the figures for, by name."""
    drawn = {
        "slower_than_genret": slower_than(points),
        "latency_over_items": latency(points, "items"),
        "latency_over_codes": latency(points, "codes"),
        "bytes_over_items": memory(points),
        "by_level": by_level(points),
        "with_models": with_models(points),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _against(points: Sequence[Line], axis: str, what: str, label: str) -> Figure | None:
    """Draw a figure of each method against an axis: of the points that differ in nothing else."""
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for line in _given(points):
        rest = tuple(v for k, v in line["sizes"].items() if k not in (axis, "repeats"))
        groups.setdefault(rest, []).append(line)
    lines = max(groups.values(), key=len, default=[])
    if len(lines) < 2:
        return None
    lines = sorted(lines, key=lambda line: line["sizes"][axis])
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    ends = []
    for name in lines[0]["methods"]:
        pairs = [
            (line["sizes"][axis], line["methods"][name][what])
            for line in lines
            if line["methods"].get(name, {}).get(what)
        ]
        if pairs:
            x, y = zip(*pairs, strict=True)
            axes.plot(x, y, "o-", color=_colour(name), lw=2.5 if name == "genret" else 1.3, ms=4)
            ends.append((y[-1], x[-1], name))
    axes.set_xscale("log")
    axes.set_yscale("log")
    _label_ends(axes, ends)
    sizes = lines[0]["sizes"]
    other = f"V = {sizes['codes']:,}" if axis == "items" else f"|C| = {sizes['items']:,}"
    axes.set_xlabel({"items": "items, |C|", "codes": "codes of a level, V"}[axis])
    axes.set_ylabel(label)
    axes.set_title(
        f"{other}, L = {sizes['depth']}, B = {sizes['batch']}, M = {sizes['beams']}, {sizes['kind']}"
    )
    _plain(axes)
    return figure


def _label_ends(axes: Axes, ends: list[tuple[float, float, str]]) -> None:
    """Write each line's name at its end, one below the other."""
    low, high = axes.get_ylim()
    gap = (high / low) ** (1 / 22)
    right = max((x for _, x, _ in ends), default=1.0)
    last = 0.0
    for y, _, name in sorted(ends):
        at = max(y, last * gap)
        axes.annotate(
            name, (right, at), xytext=(8, 0), textcoords="offset points", va="center",
            color=_colour(name), annotation_clip=False, fontsize=9,
        )  # fmt: skip
        last = at


def _given(points: Sequence[Line]) -> list[Line]:
    return [line for line in points if line["sizes"]["model"] is None]


def _count(ratios: dict[str, list[float]]) -> int:
    return max(map(len, ratios.values()))


def _colour(name: str) -> str:
    return COLOURS.get(name, "#555555")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
