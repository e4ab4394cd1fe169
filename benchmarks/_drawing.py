"""How pictures of runs look: a color and a mark for each method, ticks that are read, labels apart."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

COLORS = {
    "unconstrained": "#7f7f7f", "genret": "#d1495b", "static-style": "#00798c",
    "static (its code)": "#3bb3c4", "ppv-incremental": "#e07b00", "ppv-exact": "#8a5200",
    "ppv-top50": "#c9a227", "hash-bitmap": "#3f8f5b", "dense-bitmask": "#2e4057",
    "cpu-trie": "#8d5a97", "marisa": "#c06c9f",
}  # fmt: skip
"""The same color for a method in every picture."""

MARKS = {
    "unconstrained": "x:", "genret": "o-", "static-style": "s-", "static (its code)": "s--",
    "ppv-incremental": "^-", "ppv-exact": "v-", "ppv-top50": "v--", "hash-bitmap": "P--",
    "dense-bitmask": "D-", "cpu-trie": "p-", "marisa": "h-",
}  # fmt: skip
"""Mark and line; broken lines are of methods that need not find the exact answer."""

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def color(name: str) -> str:
    """Return the color of a method."""
    return COLORS.get(name, "#555555")


def draw_line(axes: Axes, name: str, x: Sequence[float], y: Sequence[float]) -> None:
    """Draw the line of a method; ours is thicker."""
    ours = name == "genret"
    axes.plot(
        x, y, MARKS.get(name, "o-"), color=color(name), lw=2.6 if ours else 1.3,
        ms=6 if ours else 5, zorder=3 if ours else 2,
    )  # fmt: skip


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str]]) -> None:
    """Write each line's name right of the picture, as near its end (x, y) as the others let it."""
    low, high = axes.get_ylim()
    ends = sorted(ends, key=lambda end: end[1])
    places = [math.log(y / low) / math.log(high / low) for _, y, _ in ends]
    gap = 0.052
    for _ in range(400):  # labels that overlap push each other apart
        for below in range(len(places) - 1):
            over = gap - (places[below + 1] - places[below])
            if over > 0:
                places[below] -= over / 2
                places[below + 1] += over / 2
    for (x, y, name), place in zip(ends, places, strict=True):
        axes.annotate(
            name, (x, y), xytext=(1.04, place), textcoords="axes fraction", va="center",
            color=color(name), annotation_clip=False, fontsize=9,
            fontweight="bold" if name == "genret" else "normal",
            arrowprops={"arrowstyle": "-", "color": color(name), "lw": 0.6, "alpha": 0.6,
                        "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 4},
        )  # fmt: skip


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Put plain numbers at a logarithmic axis: 1, 2, 5, 10 ..., of a long one the powers alone."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))


def ticks_at(axis: Axis, values: Sequence[int]) -> None:
    """Put a tick at each measured size of a logarithmic axis."""
    axis.set_major_locator(FixedLocator(values))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: number(round(x))))


def plain(axes: Axes) -> None:
    """Leave out what is not read."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def number(count: int) -> str:
    """Say a size.

    >>> number(2048), number(100_000), number(20_000_000), number(123_456)
    ('2,048', '10⁵', '2·10⁷', '123,456')
    """
    zeros = len(str(count)) - len(str(count).rstrip("0"))
    front = str(count)[: len(str(count)) - zeros]
    if zeros < 4 or len(front) > 1:
        return f"{count:,}"
    power = "10" + str(zeros).translate(_SUPERSCRIPTS)
    return power if front == "1" else f"{front}·{power}"


def times(ratio: float) -> str:
    """Say a ratio in two or three digits.

    >>> times(0.934), times(1.26), times(29.4), times(145.0)
    ('0.93', '1.3', '29', '145')
    """
    return f"{ratio:.2f}" if ratio < 0.995 else f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"
