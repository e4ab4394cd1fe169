"""Draw the figures of docs/how_it_works.md from small indices: ``python docs/figures.py [FOLDER]``.

A node is drawn as wide as the rows below it, so a level is a strip and the trie a stack of strips.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from genret import ItemFilter, TrieIndex
from genret.testing import TableModel, log_softmax, protocol_logits, random_codes, slow_beam_search

SHOP = {
    "tea": (3, 1, 0), "mug": (0, 2, 1), "pot": (3, 1, 2), "cup": (0, 2, 3), "jug": (0, 0, 1),
    "tin": (3, 3, 0), "urn": (1, 2, 2), "pan": (3, 1, 3), "jar": (0, 2, 1), "box": (1, 0, 0),
}  # fmt: skip
"""The catalog of the figures. Mug and jar share a semantic ID."""
CHEAP = ("jug", "cup", "tin", "tea", "box")
"""What the filter of the figures allows."""
FOLLOWED = (3, 1, 2)
"""The semantic ID whose way through the arrays is drawn: the pot's."""
BEAMS, SEED = 3, 4
"""Beams of the drawn search, and the seed of its model."""

INK, GREY, PALE, BLUE, ORANGE, WHITE = (
    "#222222", "#666666", "#EEEEEE", "#9CC4E4", "#F2B880", "#FFFFFF",
)  # fmt: skip
PLAIN = "*{stroke-linejoin: round; stroke-linecap: butt}"
"""The style that matplotlib writes."""
DARK = "@media (prefers-color-scheme: dark){#figure_1{filter: invert(1) hue-rotate(180deg)}}"
"""Its addition: on a dark page the figure, which has no background, is drawn in light ink."""
Prefix = tuple[int, ...]


def main() -> None:
    """Draw all figures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "figures"
    folder.mkdir(exist_ok=True)
    mpl.rcParams |= {"svg.hashsalt": "genret", "font.family": "DejaVu Sans", "font.size": 10}
    index = TrieIndex.from_codes(list(SHOP.values()), list(SHOP))
    for draw in (trie, arrays, filter_bits, search):
        figure = draw(index)
        _save(figure, folder / f"{draw.__name__}.svg")
    _save(levels(), folder / "levels.svg")


def trie(index: TrieIndex) -> Figure:
    """Draw the trie: codes, numbers of the nodes, rows and items."""
    figure, axis = _canvas(index, 3.6)

    def text(level: int, node: int, prefix: Prefix) -> str:
        return f"{prefix[-1]}" if prefix else "root"

    _strips(axis, index, text, lambda *_: PALE, numbers=True)
    _rows(axis, index)
    return figure


def arrays(index: TrieIndex) -> Figure:
    """Draw what is stored: the codes of the edges, and the bits that say where edges start."""
    num_rows, axis_left = index.num_items, -2.9
    figure, axis = _canvas(index, 5.6)
    axis.set_xlim(axis_left, num_rows + 0.2)
    place, (lo, hi) = 0.0, (0, num_rows)
    for number, level in enumerate(index.trie.levels):
        codes = np.asarray(level.codes[: index.num_nodes[number + 1]])
        starts = level.starts_on_host(num_rows)
        # The children of a node are found by two counts.
        first, end = int(starts[:lo].sum()), int(starts[:hi].sum())
        assert [first, end] == level.edges_before(jnp.array([lo, hi], jnp.int32)).tolist()
        chosen = first + codes[first:end].tolist().index(FOLLOWED[number])
        colors = dict.fromkeys(range(first, end), BLUE) | {chosen: ORANGE}
        rows = dict.fromkeys(range(lo, hi), BLUE)
        _label(axis, place - 0.07, f"level {number}")
        _cells(axis, place, codes, "codes", colors)
        _cells(axis, place - 1, starts.astype(int), "starts", rows)
        lo, hi = _range(index, number + 1, chosen)
        place -= 2.4
    positions = np.asarray(index.trie.positions[:num_rows])
    _cells(axis, place, positions, "positions", dict.fromkeys(range(lo, hi), ORANGE))
    axis.set_ylim(place - 0.1, 1)
    return figure


def filter_bits(index: TrieIndex) -> Figure:
    """Draw a filter: its bits by row, and the allowed items below each node."""
    allowed = ItemFilter.from_items(index, CHEAP).mask()
    by_row = allowed[np.asarray(index.trie.positions[: index.num_items])]
    before = np.concatenate([[0], np.cumsum(by_row)])
    figure, axis = _canvas(index, 4.4)

    def count(level: int, node: int) -> int:
        lo, hi = _range(index, level, node)
        return int(before[hi] - before[lo])

    _strips(
        axis, index, lambda level, node, _: str(count(level, node)),
        lambda level, node, _: BLUE if count(level, node) else PALE,
    )  # fmt: skip
    bottom = -(index.depth + 1)
    colors = {row: BLUE if by_row[row] else PALE for row in range(index.num_items)}
    _cells(axis, bottom - 0.15, by_row.astype(int), "allowed", colors)
    _rows(axis, index, bottom - 0.3, lambda row: INK if by_row[row] else GREY)
    axis.set_ylim(bottom - 1.1, 1)
    return figure


def search(index: TrieIndex) -> Figure:
    """Draw a beam search: what it keeps, what it compares, and what it never looks at."""
    model = TableModel.random(index.codes_per_level, seed=SEED, scale=1.0)
    logits = protocol_logits(model, np.array([1]))
    codes = index.codes_of(np.arange(index.num_items))
    scores: dict[Prefix, float] = {(): 0.0}
    kept: set[Prefix] = {()}
    live: list[Prefix] = [()]
    for _ in range(index.depth):
        found = [(*p, c) for p in live for c in index.codes_after(p)]
        for child in found:
            scores[child] = scores[child[:-1]] + float(log_softmax(logits(child[:-1]))[child[-1]])
        live = sorted(found, key=lambda prefix: -scores[prefix])[:BEAMS]
        kept.update(live)
    # The drawing is of the search that the library's own oracle makes.
    answers = slow_beam_search(logits, codes, BEAMS)
    assert [prefix for prefix in live for _ in index.items_below(prefix)][:BEAMS] == [
        answer.codes for answer in answers
    ]
    figure, axis = _canvas(index, 3.6)
    _strips(
        axis, index,
        lambda level, node, prefix: f"{scores[prefix]:.1f}" if prefix in scores else "",
        lambda level, node, prefix: (
            BLUE if prefix in kept else ORANGE if prefix in scores else WHITE
        ),
    )  # fmt: skip
    best = {answer.item: place for place, answer in enumerate(answers)}
    names = [f"{i + 1}. {name}" if (i := best.get(n)) is not None else name
             for n, name in enumerate(index.item_ids)]  # fmt: skip
    position = np.asarray(index.trie.positions)
    _rows(axis, index, color=lambda row: INK if int(position[row]) in best else GREY, names=names)
    return figure


def levels() -> Figure:
    """Draw how the levels of two larger catalogs are stored, and what an item costs."""
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    kinds: tuple[Literal["uniform", "zipf"], ...] = ("uniform", "zipf")
    for axis, kind in zip(axes, kinds, strict=True):
        codes = random_codes(200_000, (256,) * 4, kind, seed=0)
        index = TrieIndex.from_codes(codes, codes_per_level=(256,) * 4)
        for number, level in enumerate(index.trie.levels):
            cost = sum(leaf.nbytes for leaf in jax.tree.leaves(level)) / index.num_items
            axis.bar(number, cost, color=BLUE, width=0.75)
            nodes = f"{index.num_nodes[number]:,}\n{'nodes' if number else 'node'}"
            axis.text(number, cost + 0.05, f"{level.kind}\n{nodes}", ha="center", va="bottom",
                      fontsize=8, color=INK)  # fmt: skip
        axis.set_title("uniform codes" if kind == "uniform" else "skewed codes (Zipf)", fontsize=10)
        axis.set_xticks(range(4), [f"level {number}" for number in range(4)])
        axis.margins(y=0.45)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("bytes an item")
    return figure


def _canvas(index: TrieIndex, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axis = figure.subplots()
    axis.set_axis_off()
    axis.set_xlim(-1.6, index.num_items + 0.2)
    axis.set_ylim(-(index.depth + 1.1), 1)
    return figure, axis


def _nodes(index: TrieIndex) -> Iterator[tuple[int, int, Prefix]]:
    """Yield level, number and prefix of each node, the root first."""
    position = np.asarray(index.trie.positions)
    for level, count in enumerate(index.num_nodes):
        for node in range(count):
            first = _range(index, level, node)[0]
            yield level, node, tuple(index.codes_of(int(position[first]))[:level].tolist())


def _range(index: TrieIndex, level: int, node: int) -> tuple[int, int]:
    """Return the rows below a node; those of the nodes of a level start where its edges do."""
    if level == 0:
        return 0, index.num_items
    starts = index.trie.levels[level - 1].starts_on_host(index.num_items)
    first = [*np.flatnonzero(starts).tolist(), index.num_items]
    return first[node], first[node + 1]


def _strips(
    axis: Axes,
    index: TrieIndex,
    text: Callable[[int, int, Prefix], str],
    color: Callable[[int, int, Prefix], str],
    numbers: bool = False,
) -> None:
    """Draw each node over its rows."""
    for level, node, prefix in _nodes(index):
        lo, hi = _range(index, level, node)
        face = color(level, node, prefix)
        axis.add_patch(
            Rectangle((lo, -level), hi - lo, 0.85, facecolor=face, edgecolor=INK, lw=0.8)
        )
        axis.text((lo + hi) / 2, -level + 0.43, text(level, node, prefix), ha="center", va="center",
                  color=INK, fontsize=11)  # fmt: skip
        if numbers and level:
            axis.text(lo + 0.07, -level + 0.07, f"{node}", fontsize=7, color=GREY)
    for level in range(index.depth + 1):
        _label(axis, -level + 0.43, "root" if level == 0 else f"code {level}")


def _rows(
    axis: Axes,
    index: TrieIndex,
    top: float | None = None,
    color: Callable[[int], str] = lambda _: INK,
    names: list[str] | None = None,
) -> None:
    """Write the items under the strips, by row."""
    top = -(index.depth + 0.25) if top is None else top
    names = list(index.item_ids) if names is None else names
    position = np.asarray(index.trie.positions)
    for row in range(index.num_items):
        axis.text(row + 0.5, top - 0.05, names[int(position[row])], ha="center", va="top",
                  color=color(row), fontsize=10)  # fmt: skip
        axis.text(row + 0.5, top - 0.6, f"row {row}", ha="center", va="top", color=GREY, fontsize=7)
    _label(axis, top - 0.25, "items")


def _cells(
    axis: Axes, bottom: float, values: np.ndarray, name: str, colors: Mapping[int, str]
) -> None:
    """Draw an array."""
    axis.text(-0.15, bottom + 0.43, name, ha="right", va="center", fontsize=9, color=INK)
    for i, value in enumerate(values.tolist()):
        axis.add_patch(
            Rectangle((i, bottom), 1, 0.85, facecolor=colors.get(i, WHITE), edgecolor=INK, lw=0.8)
        )
        axis.text(i + 0.5, bottom + 0.43, f"{value}", ha="center", va="center", color=INK)


def _label(axis: Axes, middle: float, text: str) -> None:
    axis.text(axis.get_xlim()[0], middle, text, ha="left", va="center", fontsize=9, color=INK)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, facecolor="none", metadata={"Date": None, "Creator": None})
    text = path.read_text(encoding="utf-8")
    assert PLAIN in text
    path.write_text(text.replace(PLAIN, PLAIN + DARK, 1), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
