"""Tokenizers on real catalogs: use of codes, collisions, reconstruction, time to fit.

Office is read as text, Beauty, which has none, as co-occurrence in training histories; both as 128
numbers an item. Every method makes codes of the same vectors; collisions are counted before anything
resolves them. A row is written as soon as it is measured. Bars: RQ-VAE and residual k-means use 90 %
of the codes of every level, and at most 2 % of the items collide.
"""

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.program import replace_block, run_program, show_table
from benchmarks.record import RESULTS as FOLDER
from benchmarks.record import ROOT, environment, judge, sentence, write_json
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
BASE = TokenizeConfig(levels=4, codebook_size=256)
NETWORKS = AutoencoderConfig()


def _with(**changes: Any) -> TokenizeConfig:
    return dataclasses.replace(BASE, **changes)


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
    "rq_vae": _with(method="rq_vae"),
    "rq_vae, normalized": _with(method="rq_vae", normalize_residuals=True),
    "rq_vae, local last level": _with(method="rq_vae", local_last=True),
    "rq_vae, half whitened": _with(method="rq_vae", normalize_residuals=True),
    "rq_vae, whitened": _with(method="rq_vae", normalize_residuals=True),
    "pq": _with(method="pq"),
    "opq": _with(method="opq"),
    "hierarchical, 16 codes": _with(method="hierarchical", codebook_size=16),
    "hierarchical, 16 codes, balanced": _with(
        method="hierarchical", codebook_size=16, balanced=True
    ),
    "fsq, 240 codes": _with(method="fsq"),
    "fsq, RecGPT's 15,360 codes": _with(method="fsq", fsq_levels=(8, 8, 8, 6, 5)),
    "rq_vae, straight through": _with(
        method="rq_vae",
        autoencoder=dataclasses.replace(NETWORKS, gradients="straight_through"),
    ),
    "rq_vae, codebooks by loss": _with(
        method="rq_vae", autoencoder=dataclasses.replace(NETWORKS, codebooks="loss")
    ),
    "rq_vae, last level not balanced": _with(
        method="rq_vae", autoencoder=dataclasses.replace(NETWORKS, sinkhorn=0.0)
    ),
    "rq_vae, contrast 0.1": _with(
        method="rq_vae", autoencoder=dataclasses.replace(NETWORKS, contrast=0.1)
    ),
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
    out: Path | None = None
    """Where to write the figures as JSON."""
    methods: tuple[str, ...] = ()
    """Rows to measure; empty takes all."""
    seed: int = 0
    """Seed of every method."""
    resume: bool = False
    """Keep the rows that --out holds already."""
    smoke: bool = False
    """Few items, short trainings: shows that it works."""
    page: bool = False
    """Measure nothing: rewrite the table of docs/results_tokenizers.md from the committed results."""


@dataclasses.dataclass(frozen=True)
class Data:
    """A catalog's vectors, and which items occur together in training histories."""

    vectors: Vectors
    read_as: str
    pairs: Any

    @classmethod
    def read(cls, folder: Path, seed: int) -> "Data":
        """Read a folder of the LC-Rec family."""
        texts = folder / "item.json"
        items = (texts,) if texts.is_file() else None
        catalog, histories, _ = ingest((folder / "inter.json",), items, config=IngestConfig())
        events = histories.training()
        embed = EmbedConfig()
        window = embed.cooccurrence_window
        pairs = count_pairs(events, catalog.num_items, window)
        if items:
            vectors, _ = text_vectors(catalog.text(), WIDTH, embed.pieces, seed)
            return cls(vectors, "text", pairs)
        vectors = cooccurrence_vectors(events, catalog.num_items, WIDTH, window, seed)
        return cls(vectors, "co-occurrence", pairs)

    def head(self, count: int) -> "Data":
        """Keep the first items."""
        return Data(self.vectors[:count], self.read_as, self.pairs[:count][:, :count])


def measure(vectors: Vectors, pairs: Any, config: TokenizeConfig, seed: int) -> dict[str, Any]:
    """Fit a tokenizer and return its figures, as JSON values."""
    start = time.perf_counter()
    tokenizer: Tokenizer = TOKENIZERS[config.method].fit(vectors, config, seed, pairs=pairs)
    seconds = time.perf_counter() - start
    report = tokenizer.report(vectors)
    found = tokenizer.encode(vectors)
    codes = found.codes
    start = time.perf_counter()
    moved = reassign_collisions(found, vectors, tokenizer).codes
    reassign_seconds = time.perf_counter() - start
    links = pairs.tocoo()
    together = links.data @ (codes[links.row, 0] == codes[links.col, 0])
    return {
        "codes_per_level": list(tokenizer.codes_per_level),
        "used": [level["used"] for level in report["levels"]],
        "used_share": [level["used_share"] for level in report["levels"]],
        "perplexity": [level["perplexity"] for level in report["levels"]],
        "prefixes": [level["prefixes"] for level in report["levels"]],
        "error": [level["error"] for level in report["levels"]],
        "collisions": report["collisions_before"],
        "colliding_share": report["collisions_before"]["items"] / len(codes),
        "together_share": float(together / links.data.sum()),
        "after_reassigning": vars(Collisions.count(moved)),
        "reassigned": int((moved != codes).any(axis=1).sum()),
        "fit_s": seconds,
        "reassign_s": reassign_seconds,
    }


def main(options: Options, console: Console | None = None) -> int:
    """Measure every method on every catalog; return 1 where a bar is missed."""
    if options.page:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(with_table(text, markdown()), encoding="utf-8")
        return 0
    unknown = set(options.methods) - set(METHODS)
    if unknown:
        raise GenretError(f"methods: found {sorted(unknown)}, expected some of {list(METHODS)}")
    names = options.methods or tuple(METHODS)
    about = environment()
    commit = about["commit"]
    document: dict[str, Any] = {
        "program": "benchmarks.tokenizers",
        "environment": about,
        "seed": options.seed,
        "smoke": options.smoke,
        "data": {},
        "methods": {name: config.to_dict() for name, config in METHODS.items()},
        "results": {},
        "verdicts": {},
    }
    if options.resume and options.out is not None and options.out.is_file():
        earlier = json.loads(options.out.read_text(encoding="utf-8"))
        document |= {name: earlier[name] for name in ("environment", "data", "results")}
    for catalog in ("office", "beauty"):
        data = Data.read(options.data / catalog, options.seed)
        if options.smoke:
            data = data.head(200)
        alike = np.unique(data.vectors, axis=0, return_inverse=True)[1].reshape(-1, 1)
        document["data"][catalog] = {
            "items": len(data.vectors),
            "vectors": data.read_as,
            "width": data.vectors.shape[1],
            "equal_vectors": vars(Collisions.count(alike)),
        }
        results = document["results"].setdefault(catalog, {})
        for name in names:
            if name in results:
                continue
            config = METHODS[name]
            if options.smoke:
                short = dataclasses.replace(config.autoencoder, training_steps=3)
                config = dataclasses.replace(config, codebook_size=8, autoencoder=short)
            vectors = data.vectors
            if name in WHITENED:
                vectors = whiten(vectors, WHITENED[name])
            results[name] = measure(vectors, data.pairs, config, options.seed)
            results[name]["commit"] = commit
            if options.out is not None:
                write_json(options.out, document)
        document["results"][catalog] = {name: results[name] for name in METHODS if name in results}
        show(catalog, document, console or Console())
    for catalog, results in document["results"].items():
        for name in set(BARRED) & set(results):
            figures = results[name]
            document["verdicts"] |= {
                f"{catalog}: {name}: codes used, least level": judge(
                    min(figures["used_share"]), 0.9
                ),
                f"{catalog}: {name}: colliding items": judge(
                    figures["colliding_share"], 0.02, at_most=True
                ),
            }
    if options.out is not None:
        write_json(options.out, document)
    for name in sorted(document["verdicts"]):
        print(sentence(name, document["verdicts"][name]))
    return 0 if all(v["met"] for v in document["verdicts"].values()) else 1


def markdown(results: Path = RESULTS) -> str:
    """Return the table of docs/results_tokenizers.md from the results."""
    document = json.loads(results.read_text(encoding="utf-8"))
    environment = document["environment"]
    lines = [BEGIN, ""]
    for catalog, rows in document["results"].items():
        about = document["data"][catalog]
        lines += [
            f"**{catalog.capitalize()}**, {about['items']:,} items read as {about['vectors']}, "
            f"{about['width']} numbers an item; {about['equal_vectors']['items']:,} items have a "
            "vector that another one has too.",
            "",
            "| method | codes used, by level | perplexity, by level | items that collide | variance "
            "not explained | pairs of one history with one first code | moved by `reassign` | fit |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, row in rows.items():
            shares = " ".join(f"{share:.0%}" for share in row["used_share"])
            perplexity = " ".join(f"{value:,.0f}" for value in row["perplexity"])
            lines.append(
                f"| {name} | {shares} | {perplexity} | {row['colliding_share']:.2%} | "
                f"{row['error'][-1]:.1%} | {row['together_share']:.2%} | {row['reassigned']:,} | {row['fit_s']:.0f} s |"
            )
        lines.append("")
    lines += [
        f"[tokenizers.json](../benchmarks/results/tokenizers.json), commit {environment['commit']}, "
        f"seed {document['seed']}; {environment['processor']}, {environment['cores']} cores, shared "
        f"with other work (load {environment['load']} at the start), jax "
        f"{environment['versions']['jax']}.",
        "",
        END,
    ]
    return "\n".join(lines)


def with_table(page: str, table: str) -> str:
    """Return the page with the part between the marks replaced."""
    return replace_block(page, table, BEGIN, END, PAGE.name)


def show(catalog: str, document: dict[str, Any], console: Console) -> None:
    """Print the figures of a catalog."""
    about = document["data"][catalog]
    rows = [
        (
            name,
            " ".join(f"{share:.1%}" for share in figures["used_share"]),
            " ".join(f"{value:.0f}" for value in figures["perplexity"]),
            f"{figures['colliding_share']:.2%}",
            f"{figures['error'][-1]:.1%}",
            f"{figures['fit_s']:.1f}",
        )
        for name, figures in document["results"][catalog].items()
    ]
    title = (
        f"{catalog}: {about['items']:,} items, {about['vectors']}; "
        f"{about['equal_vectors']['items']:,} with a vector that another one has"
    )
    columns = ("method", "codes used", "perplexity", "colliding", "not explained", "fit s")
    show_table(console, title, columns, rows)


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.tokenizers", Options, main))
