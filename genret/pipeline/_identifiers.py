"""What ``genret tokenize --method`` makes: codes of vectors, of histories, of categories, of titles."""

import dataclasses
from typing import TYPE_CHECKING, Any

from genret.artifacts import Run
from genret.config import TokenizeConfig
from genret.errors import GenretError
from genret.pipeline._progress import Progress

if TYPE_CHECKING:
    from genret.data import Catalog, SplitHistories
    from genret.semantic_ids import SemanticIds
    from genret.tokenizers import Tokenizer
    from genret.typing import Vectors

LOCAL_LAST = ("rq_kmeans", "rq_vae")
"""Methods whose last level may be cut around the items of each prefix."""


VECTORS_IN_MEMORY = 1 << 30
"""Bytes of vectors that are read into memory; more stay in their file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made:
    """Codes before collisions are resolved, and what is known about them.

    Attributes:
      semantic_ids: codes [N, L].
      tokenizer: what made them of vectors.
      vectors: what they were made of, float32 [N, D].
      text_model: sentencepiece model of titles.
    """

    semantic_ids: "SemanticIds"
    tokenizer: "Tokenizer | None" = None
    vectors: "Vectors | None" = None
    text_model: bytes | None = None


def make_codes(
    run: Run,
    catalog: "Catalog",
    histories: "SplitHistories",
    config: TokenizeConfig,
    seed: int,
    progress: Progress,
) -> Made:
    """Make the codes of a run's items by a method.

    Raises:
      GenretError: what the method reads is not there or does not fit.
    """
    from genret.embed import load_vectors
    from genret.tokenizers.reassign import separate_below_prefixes
    from genret.tokenizers.store import TOKENIZERS

    if config.method not in TOKENIZERS:
        return _made_without_vectors(catalog, histories, config, seed, progress)
    vectors = load_vectors(run.folder("vectors"), VECTORS_IN_MEMORY)
    if len(vectors) != catalog.num_items:
        raise GenretError(
            f"{run.folder('vectors')}: found {len(vectors)} rows, the catalog has "
            f"{catalog.num_items} items"
        )
    networks = config.method in ("rq_vae", "fsq")
    pairs = None
    if networks and config.autoencoder.contrast:
        pairs = _pairs(catalog, histories, config)
        progress.say(f"contrast: {pairs.nnz:,} pairs of items in training histories")
    with progress.progress("parts", config.levels) as advance:
        tokenizer = TOKENIZERS[config.method].fit(vectors, config, seed, advance, pairs)
    codes = tokenizer.encode(vectors)
    if config.local_last and config.levels > 1 and config.method in LOCAL_LAST:
        codes = separate_below_prefixes(codes, vectors, tokenizer)
    return Made(semantic_ids=codes, tokenizer=tokenizer, vectors=vectors)


def resolve(made: Made, how: str) -> "SemanticIds":
    """Resolve the collisions of made codes; titles have been told apart already."""
    from genret.tokenizers import resolve_collisions
    from genret.tokenizers.reassign import reassign_collisions

    if made.semantic_ids.end_code is not None:
        return made.semantic_ids
    if how != "reassign":
        return resolve_collisions(made.semantic_ids, how)  # type: ignore[arg-type]
    if made.tokenizer is None or made.vectors is None:
        raise GenretError(
            "collisions: 'reassign' moves items to near codes and needs vectors; give "
            "--collisions suffix or keep"
        )
    return reassign_collisions(made.semantic_ids, made.vectors, made.tokenizer)


def _made_without_vectors(
    catalog: "Catalog",
    histories: "SplitHistories",
    config: TokenizeConfig,
    seed: int,
    progress: Progress,
) -> Made:
    from genret.tokenizers.identifiers import (
        collaborative_identifiers,
        hybrid_identifiers,
        random_identifiers,
        semantic_identifiers,
        sequential_identifiers,
    )
    from genret.tokenizers.titles import DEFAULT_PIECES, title_identifiers

    num_items, size = catalog.num_items, config.codebook_size
    if config.method == "titles":
        found = title_identifiers(
            catalog.titles,
            config.title_pieces,
            size or DEFAULT_PIECES,
            seed,
            number=config.collisions != "keep",
        )
        progress.say(
            f"titles: {found.cut:,} of {num_items:,} were cut to {config.title_pieces} pieces"
        )
        return Made(semantic_ids=found.semantic_ids, text_model=found.model)
    if config.method == "random":
        made = random_identifiers(num_items, config.levels, size, seed)
    elif config.method == "sequential":
        made = sequential_identifiers(histories.training(), num_items, config.levels, size)
    elif (config.hybrid_of if config.method == "hybrid" else config.method) == "semantic":
        made = semantic_identifiers(_categories(catalog, config.category_column), config.levels)
    else:
        pairs = _pairs(catalog, histories, config)
        made = collaborative_identifiers(pairs, config.levels, size, seed)
    if config.method == "hybrid":
        made = hybrid_identifiers(made, seed)
    return Made(semantic_ids=made)


def _pairs(catalog: "Catalog", histories: "SplitHistories", config: TokenizeConfig) -> Any:
    """Count which items occur together in training histories."""
    from genret.embed import count_pairs

    return count_pairs(histories.training(), catalog.num_items, config.cooccurrence_window)


def _categories(catalog: "Catalog", column: str) -> list[list[str]]:
    from genret.tokenizers.identifiers import category_paths

    names = catalog.table.column_names
    if column not in names:
        raise GenretError(
            f"category_column: the catalog has no column {column!r}; it has {', '.join(names)}"
        )
    return category_paths(catalog.table[column].to_pylist())
