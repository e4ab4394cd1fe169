"""Stage 2: vectors of the items into ``vectors/``."""

from typing import Any

import numpy as np

from genret.artifacts import Run, read_manifest
from genret.config import EmbedConfig, require
from genret.data import Catalog, SplitHistories, load_run_data
from genret.embed import (
    cooccurrence_vectors,
    join_vectors,
    read_vectors,
    save_vectors,
    sentence_vectors,
    text_vectors,
    whiten,
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
        text_model = None
        if vectors is not None:
            found = read_vectors(
                vectors, catalog.item_ids, vectors_column, item=item, ids=ids, superset=superset
            )
            parts = {"brought": found}
        else:
            parts, text_model = _parts(catalog, histories, config, sentence_model, seed, progress)
            weights = {"text": config.text_weight, "cooccurrence": config.cooccurrence_weight}
            found = join_vectors(list(parts.values()), [weights[name] for name in parts])
        if config.whiten:
            found = whiten(found, config.whiten)
        summary = {
            "parts": {
                name: {"width": part.shape[1], "items_without": int((~np.any(part, axis=1)).sum())}
                for name, part in parts.items()
            }
        }
        save_vectors(
            opened.folder("vectors"),
            found,
            text_model=text_model,
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
) -> tuple[dict[str, Vectors], bytes | None]:
    """Make the parts that the configuration asks for, and the sentencepiece model of the text."""
    parts: dict[str, Vectors] = {}
    text_model = None
    if config.text_dim:
        texts = catalog.text(config.text_columns)
        progress.say(f"text, e.g. {texts[0][:100]!r}")
        if sentence_model is not None:
            parts["text"] = sentence_vectors(texts, sentence_model)
        else:
            parts["text"], text_model = text_vectors(texts, config.text_dim, config.pieces, seed)
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
    return parts, text_model
