"""Tokenizers on real catalogs: use of codes, collisions, reconstruction, time to fit.

    python -m benchmarks.tokenizers --data DATA --json benchmarks/results/tokenizers.json

Office is read as text, Beauty, which has none, as co-occurrence in training histories; both as 128
numbers an item. Every method makes codes of the same vectors; collisions are counted before anything
resolves them. Bars: RQ-VAE and residual k-means use 90 % of the codes of every level, and at most 2 %
of the items collide.
"""

import dataclasses
import functools
import re
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.bars import Bar, over
from benchmarks.process import Figures, timed
from benchmarks.program import Program, make_main
from benchmarks.record import Points, read
from benchmarks.tables import Columns, Table
from genret.config import EmbedConfig, IngestConfig, TokenizeConfig
from genret.data import ingest
from genret.embed import cooccurrence_vectors, count_pairs, text_vectors, whiten
from genret.json_files import read_json
from genret.tokenizers.collisions import Collisions
from genret.tokenizers.reassign import reassign_collisions
from genret.tokenizers.store import TOKENIZERS
from genret.typing import Vectors

WIDTH, CATALOGS = 128, ("office", "beauty")
_METHODS, WHITENED, BARRED = read_json(Path(__file__).with_name("tokenizers.json")).values()
METHODS = {
    name: TokenizeConfig.from_dict({"levels": 4, "codebook_size": 256, **changes}, where=name)
    for name, changes in _METHODS.items()
}
"""Rows. Some have their vectors whitened before, by a power; some stand under the bars, which only those
with a local last level meet."""


def _bars(row: str) -> tuple[Bar, Bar]:
    """Return what a row under the bars is asked for."""
    of, least = f"{re.escape(row)}$", lambda shares: min(map(min, shares))
    return (
        over(f"{row}: codes used, least level", of, "used_share", least, 0.9),
        over(f"{row}: colliding items", of, "colliding_share", max, 0.02, at_most=True),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenizers(Program):
    """Measure tokenizers; see the module's docstring."""

    name: ClassVar[str] = "benchmarks.tokenizers"
    title: ClassVar[str] = "Tokenizers"
    bars: ClassVar = [bar for c in CATALOGS for n in BARRED for bar in _bars(f"{c}: {n}")]
    columns: ClassVar[Columns] = {
        "codes used, by level": ("used_share", lambda x: " ".join(f"{share:.0%}" for share in x)),
        "perplexity, by level": ("perplexity", lambda x: " ".join(f"{value:,.0f}" for value in x)),
        "items that collide": ("colliding_share", "{:.2%}"),
        "variance not explained": ("unexplained", lambda x: f"{x[-1]:.1%}"),
        "pairs of one history with one first code": ("together_share", "{:.2%}"),
        "moved by `reassign`": ("reassigned", "{:,}"),
        "fit": ("fit_s", "{:.0f} s"),
    }

    data: Path = Path("data")
    """Folder with office/ and beauty/ (inter.json; item.json where there are texts)."""
    seed: int = 0  # Seed of every method.

    def points(self) -> Points:
        """Measure every method on every catalog."""
        read_vectors = functools.cache(partial(vectors_of, self.data, self.seed, self.smoke))
        return {
            f"{catalog}: {name}": partial(measure, name, catalog, read_vectors, self)
            for catalog in CATALOGS
            for name in METHODS
        }

    def tables(self, document: Figures) -> list[Table]:
        """Return a table for each catalog."""
        return [table(catalog, document) for catalog in CATALOGS]


def vectors_of(data: Path, seed: int, smoke: bool, catalog: str) -> tuple[Vectors, str, Any]:
    """Return a catalog's vectors, what they were read as, and which items occur together in histories."""
    texts, count = data / catalog / "item.json", 200 if smoke else None
    items = (texts,) if texts.is_file() else None
    found, histories, _ = ingest((data / catalog / "inter.json",), items, config=IngestConfig())
    events, embed = histories.training(), EmbedConfig()
    window = embed.cooccurrence_window
    if items:
        vectors, _ = text_vectors(found.text(), WIDTH, embed.pieces, seed)
    else:
        vectors = cooccurrence_vectors(events, found.num_items, WIDTH, window, seed)
    pairs = count_pairs(events, found.num_items, window)
    return vectors[:count], "text" if items else "co-occurrence", pairs[:count][:, :count]


def measure(name: str, catalog: str, read_vectors: Any, options: Tokenizers) -> Figures:
    """Fit a tokenizer and return its figures, as JSON values."""
    vectors, read_as, pairs = read_vectors(catalog)
    alike = np.unique(vectors, axis=0, return_inverse=True)[1].reshape(-1, 1)
    about = {"items": len(vectors), "vectors": read_as, "equal": Collisions.count(alike).items}
    config = METHODS[name]
    if options.smoke:
        short = dataclasses.replace(config.autoencoder, training_steps=3)
        config = dataclasses.replace(config, codebook_size=8, autoencoder=short)
    if name in WHITENED:
        vectors = whiten(vectors, WHITENED[name])
    seconds: dict[str, float] = {}
    with timed(seconds, "fit_s"):
        tokenizer = TOKENIZERS[config.method].fit(vectors, config, options.seed, pairs=pairs)
    report, found = tokenizer.report(vectors), tokenizer.encode(vectors)
    codes = found.codes
    with timed(seconds, "reassign_s"):
        moved = reassign_collisions(found, vectors, tokenizer).codes
    links = pairs.tocoo()
    together = links.data @ (codes[links.row, 0] == codes[links.col, 0])
    by_level = ("used", "used_share", "perplexity", "prefixes")
    return {
        **about,
        "codes_per_level": list(tokenizer.codes_per_level),
        **{name: [level[name] for level in report["levels"]] for name in by_level},
        # Not "error", which a point has that failed.
        "unexplained": [level["error"] for level in report["levels"]],
        "collisions": report["collisions_before"],
        "colliding_share": report["collisions_before"]["items"] / len(codes),
        "together_share": float(together / links.data.sum()),
        "after_reassigning": vars(Collisions.count(moved)),
        "reassigned": int((moved != codes).any(axis=1).sum()),
        **seconds,
    }


def table(catalog: str, document: Mapping[str, Any]) -> Table:
    """Return the figures of a catalog."""
    own = {k: p for k, p in document["points"].items() if k.startswith(catalog)}
    rows = {key.removeprefix(f"{catalog}: "): point for key, point in own.items()}
    about: Figures = next((point for point in own.values() if "items" in point), {})
    title = (
        f"{catalog.capitalize()}, {about.get('items', 0):,} items read as {about.get('vectors')}, "
        f"{WIDTH} numbers an item; {about.get('equal', 0):,} items have a vector that another one has too."
    )
    return Table.of(title, Tokenizers.columns, rows)


def markdown(folder: Path) -> str:
    """Return the tables of docs/results_tokenizers.md from the results."""
    document = read(folder / "tokenizers.json")
    where, parts = document["environment"], []
    for catalog in CATALOGS:
        found = table(catalog, document)
        name = catalog.capitalize()
        parts += [f"**{name}**{found.title.removeprefix(name)}", found.markdown()]
    said = (
        f"[tokenizers.json](../benchmarks/results/tokenizers.json), commit {where['commit']}, "
        f"seed {document['options']['seed']}; {where['processor']}, {where['cores']} cores, shared with other "
        f"work (load {where['load']} at the start), jax {where['versions']['jax']}."
    )
    return "\n\n".join([*parts, said])


main = make_main(Tokenizers)

if __name__ == "__main__":
    sys.exit(main())
