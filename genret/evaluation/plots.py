"""Pictures of a report, as PNG files. The one file that imports matplotlib.

Figures are made as objects, without pyplot: no global state, no window system. Colors are those
of Okabe and Ito, which people with color-blindness can tell apart.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from genret.typing import Int

_BLUE, _ORANGE, _GREY, _GREEN = "#0072B2", "#E69F00", "#8A8A8A", "#009E73"
_SKY, _VERMILLION, _PURPLE = "#56B4E9", "#D55E00", "#CC79A7"
_METHOD_COLORS = {
    "model": _BLUE,
    "exact": _SKY,
    "sasrec": _VERMILLION,
    "item_knn": _GREEN,
    "popularity": _ORANGE,
    "random": _GREY,
}
_INK = "#333333"


def plot_training(records: Sequence[Mapping[str, Any]], path: Path, *, metric: str) -> None:
    """Draw the training loss and, below it, a validation metric, over the steps.

    Args:
      records: lines of the training log: ``{"step", "loss", …}`` and ``{"step", "valid": {…}}``.
      path: the PNG to write.
      metric: name of the validation metric, as ``ndcg@10``.
    """
    flat = [{**record, **record.get("valid", {})} for record in records]
    rows = [name for name in ("loss", metric) if any(name in r for r in flat)]
    figure = _figure(6.4, 2.0 + 1.5 * len(rows))
    axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for axis, name, color in zip(axes, rows, (_BLUE, _ORANGE), strict=False):
        points = [(r["step"], r[name]) for r in flat if name in r]
        steps, values = np.array(points, float).reshape(-1, 2).T
        axis.plot(steps, values, color=color, marker="o", markersize=3, linewidth=1.5)
        axis.set_ylabel(_label(name) if name == "loss" else f"validation\n{_label(name)}")
        if name != "loss" and len(values):
            best = int(values.argmax())
            axis.plot(steps[best], values[best], marker="*", markersize=13, color=_INK)
            axis.text(0.98, 0.06, f"best {values[best]:.4f} at step {steps[best]:,.0f}",
                      transform=axis.transAxes, ha="right", color=_INK, fontsize=9)  # fmt: skip
        _clean(axis)
    axes[-1].set_xlabel("optimizer step")
    axes[0].set_title("Training")
    _save(figure, path)


def plot_code_usage(
    codes: Int[np.ndarray, "N L"], codes_per_level: Sequence[int], path: Path
) -> None:
    r"""Draw how evenly the codes of each level are used.

    Each panel shows the number of items of every code, most used first, against the even share
    :math:`N / V_l`; its title says how many codes are used and their perplexity
    :math:`\exp(-\sum_v p_v \ln p_v)`.

    Args:
      codes: semantic ID of each item.
      codes_per_level: codes of each level.
      path: the PNG to write.
    """
    levels = codes.shape[1]
    columns = min(levels, 4)
    rows = -(-levels // columns)
    figure = _figure(2.6 * columns + 0.6, 2.5 * rows + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for level, axis in enumerate(panels):
        if level >= levels:
            axis.set_visible(False)
            continue
        width = codes_per_level[level]
        counts = np.sort(np.bincount(codes[:, level], minlength=width))[::-1]
        share = counts[counts > 0] / counts.sum()
        perplexity = float(np.exp(-(share * np.log(share)).sum()))
        axis.stairs(counts, np.arange(width + 1), fill=True, color=_BLUE)
        axis.axhline(len(codes) / width, color=_ORANGE, linestyle="--", linewidth=1.5)
        axis.set_title(
            f"level {level + 1}: {len(share)} of {width} used\nperplexity {perplexity:.1f}",
            fontsize=9,
        )
        axis.set_xlim(0, width)
        axis.set_xlabel("codes, most used first")
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        _clean(axis)
    for axis in panels[::columns]:
        axis.set_ylabel("items")
    figure.suptitle("Use of the codes (dashed: even use)", fontsize=11)
    _save(figure, path)


def plot_metrics(results: Mapping[str, Mapping[str, Any]], path: Path, *, k: int) -> None:
    """Draw NDCG, Recall and MRR at k of several methods as bars with their 95 % intervals.

    Args:
      results: name of the method -> what ``evaluate_model`` returned.
      path: the PNG to write.
      k: cut-off.
    """
    names = [f"{name}@{k}" for name in ("ndcg", "recall", "mrr")]
    crowded = len(results) > 3
    figure = _figure(10.4 if crowded else 7.6, 3.2)
    for axis, name in zip(figure.subplots(1, len(names)), names, strict=True):
        top = 0.0
        for i, (method, result) in enumerate(results.items()):
            value = result[name]
            low, high = result["intervals"].get(name, (value, value))
            axis.bar(i, value, width=0.7, color=_METHOD_COLORS.get(method, _PURPLE))
            # An interval of percentiles may, in tiny samples, leave out the mean itself.
            error = [[max(value - low, 0)], [max(high - value, 0)]]
            axis.errorbar(i, value, yerr=error, color=_INK, capsize=4, linewidth=1.2)
            axis.annotate(
                f"{value:.4f}", (i, max(high, value)), (0, 4), textcoords="offset points",
                ha="center", va="bottom", fontsize=8, color=_INK,
            )  # fmt: skip
            top = max(top, high, value)
        axis.set_xticks(range(len(results)), map(_label, results), fontsize=9,
                        rotation=25 if crowded else 0)  # fmt: skip
        axis.set_ylim(0, top * 1.18 or 1)
        axis.set_title(_label(name))
        _clean(axis)
    figure.suptitle(
        "Held-out items, all items ranked (whiskers: 95 % intervals over users)", fontsize=10
    )
    _save(figure, path)


def plot_slices(results: Mapping[str, Mapping[str, Any]], path: Path, *, k: int) -> None:
    """Draw Recall at k of several methods in parts of the users.

    Args:
      results: name of the method -> its ``slices``: the parts by "popularity" and by "history".
      path: the PNG to write.
      k: cut-off.
    """
    panels = {"popularity": "training events of the wanted item", "history": "items of the history"}
    name = f"recall@{k}"
    figure = _figure(9.6, 3.6)
    for axis, (by, what) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
        for i, (method, slices) in enumerate(results.items()):
            parts = slices.get(by, [])
            shift = 0.08 * (i - (len(results) - 1) / 2)
            values = np.array([part[name] for part in parts])
            bounds = np.array([part["intervals"].get(name, (part[name],) * 2) for part in parts])
            bounds = bounds.reshape(-1, 2)
            error = np.maximum(np.abs(bounds.T - values[None, :]), 0)
            axis.errorbar(
                np.arange(len(parts)) + shift, values, yerr=error, marker="o", markersize=4,
                capsize=2, linewidth=1.5, elinewidth=0.9, label=_label(method),
                color=_METHOD_COLORS.get(method, _PURPLE),
            )  # fmt: skip
            names = [_span(part) for part in parts]
            axis.set_xticks(range(len(parts)), names, fontsize=9)
        axis.set_xlabel(what)
        axis.set_ylim(bottom=0)
        _clean(axis)
    figure.axes[0].set_ylabel(_label(name))
    figure.axes[1].legend(frameon=False, fontsize=9)
    figure.suptitle("Parts of the users (whiskers: 95 % intervals)", fontsize=10)
    _save(figure, path)


def plot_trie_width(num_nodes: Sequence[int], codes_per_level: Sequence[int], path: Path) -> None:
    """Draw how many nodes the trie has at each depth, against how many it could have.

    Args:
      num_nodes: nodes of each depth, the root first: ``TrieIndex.num_nodes``.
      codes_per_level: codes of each level.
      path: the PNG to write.
    """
    possible = [1.0]
    for count in codes_per_level:
        possible.append(possible[-1] * count)
    bound = np.minimum(possible, num_nodes[-1])
    depths = np.arange(len(num_nodes))
    figure = _figure(6.0, 3.4)
    axis = figure.subplots()
    axis.plot(depths, bound, color=_ORANGE, linestyle="--", marker="s", markersize=4,
              label="most possible for so many leaves")  # fmt: skip
    axis.plot(depths, num_nodes, color=_BLUE, marker="o", label="nodes of the trie")
    for depth, width in zip(depths, num_nodes, strict=True):
        axis.annotate(f"{width:,}", (depth, width), xytext=(0, -12), textcoords="offset points",
                      ha="center", fontsize=8, color=_INK)  # fmt: skip
    axis.set_yscale("log")
    axis.set_ylim(0.4, bound.max() * 2.5)
    axis.set_xlim(-0.3, depths[-1] + 0.3)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("depth (codes read)")
    axis.set_ylabel("nodes")
    axis.set_title("Width of the trie by depth")
    axis.legend(frameon=False, fontsize=9, loc="lower right")
    _clean(axis)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    """Write a PNG that says nothing of when or by what it was made: equal data, equal bytes."""
    figure.savefig(path, format="png", metadata={"Software": None})


def _clean(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=9)


def _label(name: str) -> str:
    """Return the printed form of a name: ``ndcg@10`` -> ``NDCG@10``, ``sasrec`` -> ``SASRec``."""
    family, at, k = name.partition("@")
    known = {"ndcg": "NDCG", "mrr": "MRR", "recall": "Recall", "sasrec": "SASRec"}
    return known.get(family, family.replace("item_knn", "item-kNN")) + at + k


def _span(part: Mapping[str, Any]) -> str:
    same = part["from"] == part["to"]
    return f"{part['from']:,}" if same else f"{part['from']:,}-{part['to']:,}"
