"""Tokenizers on real catalogs: use of codes, collisions, reconstruction, time to fit.

Office is read as text, Beauty, which has none, as co-occurrence in training histories; both as 128
numbers an item. Every method makes codes of the same vectors; collisions are counted before anything
resolves them. A row is written as soon as it is measured. Bars: RQ-VAE and residual k-means use 90 %
of the codes of every level, and at most 2 % of the items collide.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.bars import Bar, at_most, verdicts
from benchmarks.program import Table, make_main, replace_block
from benchmarks.record import RESULTS as FOLDER
from benchmarks.record import ROOT, environment, sentence, write_json
from benchmarks.workload import timed
from genret.config import AutoencoderConfig, EmbedConfig, IngestConfig, TokenizeConfig
from genret.data import ingest
from genret.embed import cooccurrence_vectors, count_pairs, text_vectors, whiten
from genret.errors import GenretError
from genret.tokenizers import Tokenizer
from genret.tokenizers.collisions import Collisions
from genret.tokenizers.reassign import reassign_collisions
from genret.tokenizers.store import TOKENIZERS
from genret.typing import Vectors

WIDTH = 128


def _with(method: str = "rq_kmeans", **changes: Any) -> TokenizeConfig:
    return TokenizeConfig(levels=4, **{"codebook_size": 256, "method": method, **changes})


def _rq_vae(**changes: Any) -> TokenizeConfig:
    return _with("rq_vae", autoencoder=AutoencoderConfig(**changes))


WHITENED = {
    "rq_kmeans, half whitened": 0.5,
    "rq_kmeans, whitened": 1.0,
    "rq_vae, half whitened": 0.5,
    "rq_vae, whitened": 1.0,
}
"""Rows whose vectors are whitened before, and the power."""
METHODS: dict[str, TokenizeConfig] = {
    "rq_kmeans": _with(),
    "rq_kmeans, balanced": _with(balanced=True),
    "rq_kmeans, normalized": _with(normalize_residuals=True),
    "rq_kmeans, balanced, normalized": _with(balanced=True, normalize_residuals=True),
    "rq_kmeans, local last level": _with(balanced=True, local_last=True),
    "rq_kmeans, half whitened": _with(balanced=True, normalize_residuals=True),
    "rq_kmeans, whitened": _with(balanced=True, normalize_residuals=True),
    "rq_vae": _with("rq_vae"),
    "rq_vae, normalized": _with("rq_vae", normalize_residuals=True),
    "rq_vae, local last level": _with("rq_vae", local_last=True),
    "rq_vae, half whitened": _with("rq_vae", normalize_residuals=True),
    "rq_vae, whitened": _with("rq_vae", normalize_residuals=True),
    "pq": _with("pq"),
    "opq": _with("opq"),
    "hierarchical, 16 codes": _with("hierarchical", codebook_size=16),
    "hierarchical, 16 codes, balanced": _with("hierarchical", codebook_size=16, balanced=True),
    "fsq, 240 codes": _with("fsq"),
    "fsq, RecGPT's 15,360 codes": _with("fsq", fsq_levels=(8, 8, 8, 6, 5)),
    "rq_vae, straight through": _rq_vae(gradients="straight_through"),
    "rq_vae, codebooks by loss": _rq_vae(codebooks="loss"),
    "rq_vae, last level not balanced": _rq_vae(sinkhorn=0.0),
    "rq_vae, contrast 0.1": _rq_vae(contrast=0.1),
}
PAGE = ROOT / "docs" / "results_tokenizers.md"
RESULTS = FOLDER / "tokenizers.json"
BEGIN, END = "<!-- made by `python -m benchmarks.tokenizers --page` -->", "<!-- end -->"
BARRED = ("rq_kmeans", "rq_kmeans, local last level", "rq_vae", "rq_vae, local last level")
"""Rows that stand under the bars; only those with a local last level meet them."""


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
    page: bool = False
    """Measure nothing: rewrite the table of docs/results_tokenizers.md from the committed results."""


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


def run(options: Options, console: Console) -> int:
    """Measure every method on every catalog; return 1 where a bar is missed."""
    if options.page:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(with_table(text, markdown()), encoding="utf-8")
        return 0
    unknown = set(options.methods) - set(METHODS)
    if unknown:
        raise GenretError(f"methods: found {sorted(unknown)}, expected some of {list(METHODS)}")
    about = environment()
    document: dict[str, Any] = {
        "program": "benchmarks.tokenizers", "environment": about, "seed": options.seed,
        "smoke": options.smoke, "data": {},
        "methods": {name: config.to_dict() for name, config in METHODS.items()},
        "results": {}, "verdicts": {},
    }  # fmt: skip
    if options.resume and options.out is not None and options.out.is_file():
        earlier = json.loads(options.out.read_text(encoding="utf-8"))
        document |= {name: earlier[name] for name in ("environment", "data", "results")}
    for catalog in ("office", "beauty"):
        data = Data.read(options.data / catalog, options.seed, 200 if options.smoke else None)
        document["data"][catalog] = data.about()
        results = document["results"].setdefault(catalog, {})
        for name in options.methods or METHODS:
            if name not in results:
                vectors, config = data.vectors, METHODS[name]
                if options.smoke:
                    short = dataclasses.replace(config.autoencoder, training_steps=3)
                    config = dataclasses.replace(config, codebook_size=8, autoencoder=short)
                if name in WHITENED:
                    vectors = whiten(vectors, WHITENED[name])
                results[name] = measure(vectors, data.pairs, config, options.seed)
                results[name]["commit"] = about["commit"]
                _write(document, options.out)
        document["results"][catalog] = {name: results[name] for name in METHODS if name in results}
        table(catalog, document).show(console)
    document["verdicts"] = verdicts(document, bars(document))
    _write(document, options.out)
    for name in sorted(document["verdicts"]):
        console.print(sentence(name, document["verdicts"][name]))
    return 0 if all(v["met"] for v in document["verdicts"].values()) else 1


def _write(document: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        write_json(out, document)


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
    rows = [
        (
            name,
            " ".join(f"{share:.0%}" for share in row["used_share"]),
            " ".join(f"{value:,.0f}" for value in row["perplexity"]),
            f"{row['colliding_share']:.2%}",
            f"{row['error'][-1]:.1%}",
            f"{row['together_share']:.2%}",
            f"{row['reassigned']:,}",
            f"{row['fit_s']:.0f} s",
        )
        for name, row in document["results"][catalog].items()
    ]
    title = (
        f"{catalog.capitalize()}, {about['items']:,} items read as {about['vectors']}, "
        f"{about['width']} numbers an item; {about['equal_vectors']['items']:,} items have a "
        "vector that another one has too."
    )
    columns = (
        "method", "codes used, by level", "perplexity, by level", "items that collide",
        "variance not explained", "pairs of one history with one first code",
        "moved by `reassign`", "fit",
    )  # fmt: skip
    return Table(title, columns, rows)


def markdown(results: Path = RESULTS) -> str:
    """Return the tables of docs/results_tokenizers.md from the results."""
    document = json.loads(results.read_text(encoding="utf-8"))
    where, parts = document["environment"], [BEGIN]
    for catalog in document["results"]:
        found = table(catalog, document)
        name = catalog.capitalize()
        parts += [f"**{name}**{found.title.removeprefix(name)}", found.markdown()]
    said = (
        f"[tokenizers.json](../benchmarks/results/tokenizers.json), commit {where['commit']}, "
        f"seed {document['seed']}; {where['processor']}, {where['cores']} cores, shared with other "
        f"work (load {where['load']} at the start), jax {where['versions']['jax']}."
    )
    return "\n\n".join([*parts, said, END])


def with_table(page: str, table: str) -> str:
    """Return the page with the part between the marks replaced."""
    return replace_block(page, table, BEGIN, END, PAGE.name)


main = make_main("benchmarks.tokenizers", Options, run)

if __name__ == "__main__":
    sys.exit(main())
