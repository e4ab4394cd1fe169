"""Stage 2: vectors of the items into ``vectors/``."""

import dataclasses
from typing import Any

import numpy as np

from genret.artifacts import Run, read_manifest
from genret.config import EmbedConfig, require
from genret.data import Catalog, SplitHistories, load_run_data
from genret.embed import (
    Embedder,
    TextEmbedder,
    Whitening,
    cooccurrence_vectors,
    read_vectors,
    save_vectors,
    sentence_vectors,
)
from genret.pipeline._progress import SILENT, Progress
from genret.pipeline._writing import writes_run
from genret.typing import PathLike, Vectors


@writes_run
def embed(
    run: PathLike,
    config: EmbedConfig | None = None,
    *,
    vectors: str | None = None,
    vectors_column: str | None = None,
    item: str | None = None,
    ids: PathLike | None = None,
    superset: bool = False,
    sentence_model: str | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Make item vectors from texts and training histories, or take ready ones.

    Args:
      run: the run folder, with ``catalog/``.
      config: how vectors are made; of ready ones only ``whiten`` is read.
      vectors: a file of ready vectors, see :func:`genret.embed.read_vectors`.
      vectors_column: its column, where it is Parquet with several.
      item: its column of ids, where that has no usual name.
      ids: a file with the id of each row of an array that has none.
      superset: whether most items of the file may be outside the catalog.
      sentence_model: read the texts with this sentence-transformers model (name or folder).
      seed: of everything random.
      progress: receives what the stage reports while it runs.

    Returns:
      ``items``, ``width``, ``parts`` (part -> width and items without) and ``fingerprint``.

    Raises:
      GenretError: no catalog, options that exclude each other, or vectors that do not fit.
    """
    config = config or EmbedConfig()
    require(
        vectors is None or sentence_model is None,
        "embed: --vectors and --sentence-model exclude each other",
    )
    require(
        vectors_column is None or vectors is not None,
        "embed: --vectors-column goes with --vectors",
    )
    for name, value in (("item", item), ("ids", ids), ("superset", superset or None)):
        require(value is None or vectors is not None, f"embed: --{name} goes with --vectors")
    require(
        sentence_model is None or config.text_dim > 0,
        "embed: --sentence-model reads texts, but --text-dim is 0",
    )
    opened = Run.open(run)
    manifest = opened.require("catalog")
    with progress.stage("embed"):
        catalog, histories = load_run_data(opened.folder("catalog"))
        if vectors is not None:
            joined = read_vectors(
                vectors, catalog.item_ids, vectors_column, item=item, ids=ids, superset=superset
            )
            require(
                len(joined) == 1 or bool((joined != joined[0]).any()),
                f"{vectors}: all {len(joined):,} items have {'the same vector' if joined[0].any() else '0'}, "
                "expected vectors that differ",
            )
            parts = {"brought": joined}
            embedder = Embedder(width=joined.shape[1])
        else:
            parts, embedder = _parts(catalog, histories, config, sentence_model, seed, progress)
            joined = embedder.join(parts)
        if config.whiten:
            embedder = dataclasses.replace(embedder, whitening=Whitening.fit(joined, config.whiten))
        found = embedder.finish(joined)
        summary = {
            "parts": {
                name: {"width": part.shape[1], "items_without": int((~np.any(part, axis=1)).sum())}
                for name, part in parts.items()
            }
        }
        save_vectors(
            opened.folder("vectors"),
            found,
            embedder=embedder,
            config=config.to_dict()
            | {
                "vectors": vectors,
                "vectors_column": vectors_column,
                "sentence_model": sentence_model,
            },
            seed=seed,
            inputs={"catalog": manifest.fingerprint},
            summary=summary,
        )
    written = read_manifest(opened.folder("vectors"), "vectors")
    return dict(written.summary) | {"fingerprint": written.fingerprint}


def _parts(
    catalog: Catalog,
    histories: SplitHistories,
    config: EmbedConfig,
    sentence_model: str | None,
    seed: int,
    progress: Progress,
) -> tuple[dict[str, Vectors], Embedder]:
    """Make the parts that the configuration asks for, and what makes those of new items."""
    parts: dict[str, Vectors] = {}
    columns = catalog.text_columns(config.text_columns) if config.text_dim else ()
    embedder = Embedder(
        width=config.cooccurrence_dim,
        text_columns=columns,
        sentence_model=sentence_model,
        text_weight=config.text_weight,
        cooccurrence_dim=config.cooccurrence_dim,
        cooccurrence_weight=config.cooccurrence_weight,
    )
    if config.text_dim:
        texts = catalog.text(columns)
        progress.say(f"text, e.g. {texts[0][:100]!r}")
        text = None
        if sentence_model is not None:
            parts["text"] = sentence_vectors(texts, sentence_model)
        else:
            text, parts["text"] = TextEmbedder.fit(texts, config.text_dim, config.pieces, seed)
        width = parts["text"].shape[1] + config.cooccurrence_dim
        embedder = dataclasses.replace(embedder, text=text, width=width)
    if config.cooccurrence_dim:
        events = histories.training()
        progress.say(f"co-occurrence in {events.num_events:,} training events")
        parts["cooccurrence"] = cooccurrence_vectors(
            events,
            catalog.num_items,
            config.cooccurrence_dim,
            config.cooccurrence_window,
            seed,
        )
    return parts, embedder
