"""Tokenizers on real catalogs: use of codes, collisions, reconstruction, time to fit.

Office is read as text, Beauty, which has none, as co-occurrence in training histories; both as 128
numbers an item. Every method makes codes of the same vectors; collisions are counted before anything
resolves them. A row is written as soon as it is measured. Bars: RQ-VAE and residual k-means use 90 %
of the codes of every level, and at most 2 % of the items collide.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.bars import Bar, at_most, sentence, verdicts
from benchmarks.process import Figures, timed
from benchmarks.program import Table, make_main
from benchmarks.record import environment, write_json
from genret.config import EmbedConfig, IngestConfig, TokenizeConfig
from genret.data import ingest
from genret.embed import cooccurrence_vectors, count_pairs, text_vectors, whiten
from genret.errors import GenretError
from genret.json_files import read_json
from genret.tokenizers import Tokenizer
from genret.tokenizers.collisions import Collisions
from genret.tokenizers.reassign import reassign_collisions
from genret.tokenizers.store import TOKENIZERS
from genret.typing import Vectors

WIDTH = 128
_METHODS, WHITENED, BARRED = read_json(Path(__file__).with_name("tokenizers.json")).values()
METHODS = {
    name: TokenizeConfig.from_dict({"levels": 4, "codebook_size": 256, **changes}, where=name)
    for name, changes in _METHODS.items()
}
"""Rows. Some have their vectors whitened before, by a power; some stand under the bars, which only those
with a local last level meet."""
COLUMNS = {
    "codes used, by level": ("used_share", lambda x: " ".join(f"{share:.0%}" for share in x)),
    "perplexity, by level": ("perplexity", lambda x: " ".join(f"{value:,.0f}" for value in x)),
    "items that collide": ("colliding_share", "{:.2%}"),
    "variance not explained": ("error", lambda x: f"{x[-1]:.1%}"),
    "pairs of one history with one first code": ("together_share", "{:.2%}"),
    "moved by `reassign`": ("reassigned", "{:,}"),
    "fit": ("fit_s", "{:.0f} s"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Measure tokenizers; see the module's docstring."""

    data: Path = Path("data")
    """Folder with office/ and beauty/ (inter.json; item.json where there are texts)."""
    out: Path | None = None  # Where to write the figures as JSON.
    methods: tuple[str, ...] = ()  # Rows to measure; empty takes all.
    seed: int = 0  # Seed of every method.
    resume: bool = False  # Keep the rows that --out holds already.
    smoke: bool = False  # Few items, short trainings: shows that it works.

    def main(self, console: Console) -> int:
        """Measure every method on every catalog; return 1 where a bar is missed."""
        unknown = set(self.methods) - set(METHODS)
        if unknown:
            raise GenretError(f"methods: found {sorted(unknown)}, expected some of {[*METHODS]}")
        about = environment()
        document: dict[str, Any] = {
            "program": "benchmarks.tokenizers", "environment": about, "seed": self.seed,
            "smoke": self.smoke, "data": {},
            "methods": {name: config.to_dict() for name, config in METHODS.items()},
            "results": {}, "verdicts": {},
        }  # fmt: skip
        if self.resume and self.out is not None and self.out.is_file():
            earlier = read_json(self.out)
            document |= {name: earlier[name] for name in ("environment", "data", "results")}
        for catalog in ("office", "beauty"):
            data = Data.read(self.data / catalog, self.seed, 200 if self.smoke else None)
            document["data"][catalog] = data.about()
            results = document["results"].setdefault(catalog, {})
            for name in self.methods or METHODS:
                if name not in results:
                    results[name] = self.measure(name, data) | {"commit": about["commit"]}
                    write_json(self.out, document)
            document["results"][catalog] = {n: results[n] for n in METHODS if n in results}
            table(catalog, document).show(console)
        document["verdicts"] = verdicts(document, bars(document))
        write_json(self.out, document)
        for name, verdict in sorted(document["verdicts"].items()):
            console.print(sentence(name, verdict))
        return int(not all(verdict["met"] for verdict in document["verdicts"].values()))

    def measure(self, name: str, data: "Data") -> Figures:
        """Measure a row."""
        vectors, config = data.vectors, METHODS[name]
        if self.smoke:
            short = dataclasses.replace(config.autoencoder, training_steps=3)
            config = dataclasses.replace(config, codebook_size=8, autoencoder=short)
        if name in WHITENED:
            vectors = whiten(vectors, WHITENED[name])
        return measure(vectors, data.pairs, config, self.seed)


@dataclasses.dataclass(frozen=True)
class Data:
    """A catalog's vectors, and which items occur together in training histories."""

    vectors: Vectors
    read_as: str
    pairs: Any

    @classmethod
    def read(cls, folder: Path, seed: int, count: int | None) -> "Data":
        """Read a folder of the LC-Rec family, or its first items."""
        texts = folder / "item.json"
        items = (texts,) if texts.is_file() else None
        catalog, histories, _ = ingest((folder / "inter.json",), items, config=IngestConfig())
        events, embed = histories.training(), EmbedConfig()
        window = embed.cooccurrence_window
        pairs = count_pairs(events, catalog.num_items, window)[:count][:, :count]
        if items:
            vectors, _ = text_vectors(catalog.text(), WIDTH, embed.pieces, seed)
        else:
            vectors = cooccurrence_vectors(events, catalog.num_items, WIDTH, window, seed)
        return cls(vectors[:count], "text" if items else "co-occurrence", pairs)

    def about(self) -> dict[str, Any]:
        """Describe it, as JSON values."""
        alike = np.unique(self.vectors, axis=0, return_inverse=True)[1].reshape(-1, 1)
        items, width = self.vectors.shape
        equal = vars(Collisions.count(alike))
        return {"items": items, "vectors": self.read_as, "width": width, "equal_vectors": equal}


def measure(vectors: Vectors, pairs: Any, config: TokenizeConfig, seed: int) -> dict[str, Any]:
    """Fit a tokenizer and return its figures, as JSON values."""
    seconds: dict[str, float] = {}
    with timed(seconds, "fit_s"):
        fit = TOKENIZERS[config.method].fit
        tokenizer: Tokenizer = fit(vectors, config, seed, pairs=pairs)
    report = tokenizer.report(vectors)
    found = tokenizer.encode(vectors)
    codes = found.codes
    with timed(seconds, "reassign_s"):
        moved = reassign_collisions(found, vectors, tokenizer).codes
    links = pairs.tocoo()
    together = links.data @ (codes[links.row, 0] == codes[links.col, 0])
    by_level = ("used", "used_share", "perplexity", "prefixes", "error")
    return {
        "codes_per_level": list(tokenizer.codes_per_level),
        **{name: [level[name] for level in report["levels"]] for name in by_level},
        "collisions": report["collisions_before"],
        "colliding_share": report["collisions_before"]["items"] / len(codes),
        "together_share": float(together / links.data.sum()),
        "after_reassigning": vars(Collisions.count(moved)),
        "reassigned": int((moved != codes).any(axis=1).sum()),
        **seconds,
    }


def bars(document: dict[str, Any]) -> list[Bar]:
    """Return what the rows under the bars are asked for."""
    found = []
    for catalog, results in document["results"].items():
        for name in set(BARRED) & set(results):
            least, share = min(results[name]["used_share"]), results[name]["colliding_share"]
            row = f"{catalog}: {name}"
            found.append(Bar(f"{row}: codes used, least level", lambda _, x=least: x, 0.9))
            found.append(at_most(f"{row}: colliding items", lambda _, x=share: x, 0.02))
    return found


def table(catalog: str, document: dict[str, Any]) -> Table:
    """Return the figures of a catalog."""
    about = document["data"][catalog]
    title = (
        f"{catalog.capitalize()}, {about['items']:,} items read as {about['vectors']}, "
        f"{about['width']} numbers an item; {about['equal_vectors']['items']:,} items have a "
        "vector that another one has too."
    )
    return Table.of(title, COLUMNS, document["results"][catalog])


def markdown(folder: Path) -> str:
    """Return the tables of docs/results_tokenizers.md from the results."""
    document = read_json(folder / "tokenizers.json")
    where, parts = document["environment"], []
    for catalog in document["results"]:
        found = table(catalog, document)
        name = catalog.capitalize()
        parts += [f"**{name}**{found.title.removeprefix(name)}", found.markdown()]
    said = (
        f"[tokenizers.json](../benchmarks/results/tokenizers.json), commit {where['commit']}, "
        f"seed {document['seed']}; {where['processor']}, {where['cores']} cores, shared with other "
        f"work (load {where['load']} at the start), jax {where['versions']['jax']}."
    )
    return "\n\n".join([*parts, said])


main = make_main("benchmarks.tokenizers", Options)

if __name__ == "__main__":
    sys.exit(main())
