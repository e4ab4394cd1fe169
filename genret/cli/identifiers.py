"""What ``genret tokenize --method`` makes: codes of vectors, of histories, of categories, of titles."""

import dataclasses
from typing import TYPE_CHECKING, Any

from genret.artifacts import Run
from genret.cli.base import Reporter
from genret.config import TokenizeConfig
from genret.errors import GenretError

if TYPE_CHECKING:
    from genret.data import Catalog, Histories
    from genret.tokenizers import Tokenizer
    from genret.typing import Codes, Vectors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made:
    """Codes before collisions are resolved, and what is known about them.

    Attributes:
      codes: int32 [N, L].
      codes_per_level: codes of each level.
      tokenizer: what made them of vectors.
      vectors: what they were made of, float32 [N, D].
      end_code: ends a shorter row of codes.
      text_model: sentencepiece model of titles.
    """

    codes: "Codes"
    codes_per_level: tuple[int, ...]
    tokenizer: "Tokenizer | None" = None
    vectors: "Vectors | None" = None
    end_code: int | None = None
    text_model: bytes | None = None


def make_codes(
    run: Run,
    catalog: "Catalog",
    histories: "Histories",
    config: TokenizeConfig,
    seed: int,
    reporter: Reporter,
) -> Made:
    """Make the codes of a run's items by a method.

    Raises:
      GenretError: what the method reads is not there or does not fit.
    """
    from genret.embed import load_vectors
    from genret.tokenizers import TOKENIZERS

    if config.method not in TOKENIZERS:
        return _made_without_vectors(catalog, histories, config, seed, reporter)
    vectors = load_vectors(run.folder("vectors"))
    if len(vectors) != catalog.num_items:
        raise GenretError(
            f"{run.folder('vectors')}: found {len(vectors)} rows, the catalog has "
            f"{catalog.num_items} items"
        )
    networks = config.method in ("rq_vae", "fsq")
    pairs = None
    if networks and config.autoencoder.contrast:
        pairs = _pairs(catalog, histories, config)
        reporter.say(f"contrast: {pairs.nnz:,} pairs of items in training histories")
    with reporter.progress("parts", config.levels) as advance:
        tokenizer = TOKENIZERS[config.method].fit(vectors, config, seed, advance, pairs)
    return Made(
        codes=tokenizer.encode(vectors),
        codes_per_level=tokenizer.codes_per_level,
        tokenizer=tokenizer,
        vectors=vectors,
    )


def resolve(made: Made, how: str) -> tuple["Codes", tuple[int, ...]]:
    """Resolve the collisions of made codes; titles have been told apart already."""
    from genret.tokenizers import reassign_collisions, resolve_collisions

    if made.end_code is not None:
        return made.codes, made.codes_per_level
    if how != "reassign":
        return resolve_collisions(made.codes, made.codes_per_level, how)  # type: ignore[arg-type]
    if made.tokenizer is None or made.vectors is None:
        raise GenretError(
            "collisions: 'reassign' moves items to near codes and needs vectors; give "
            "--collisions suffix or keep"
        )
    codes = reassign_collisions(made.codes, made.codes_per_level, made.vectors, made.tokenizer)
    return codes, made.codes_per_level


def _made_without_vectors(
    catalog: "Catalog",
    histories: "Histories",
    config: TokenizeConfig,
    seed: int,
    reporter: Reporter,
) -> Made:
    from genret.tokenizers import (
        DEFAULT_PIECES,
        END_CODE,
        collaborative_identifiers,
        hybrid_identifiers,
        random_identifiers,
        semantic_identifiers,
        sequential_identifiers,
        title_identifiers,
    )

    num_items, size = catalog.num_items, config.codebook_size
    if config.method == "titles":
        found = title_identifiers(
            catalog.titles,
            config.title_pieces,
            size or DEFAULT_PIECES,
            seed,
            number=config.collisions != "keep",
        )
        reporter.say(
            f"titles: {found.cut:,} of {num_items:,} were cut to {config.title_pieces} pieces"
        )
        return Made(
            codes=found.codes,
            codes_per_level=found.codes_per_level,
            end_code=END_CODE,
            text_model=found.model,
        )
    if config.method == "random":
        made = random_identifiers(num_items, config.levels, size, seed)
    elif config.method == "sequential":
        made = sequential_identifiers(*histories.training(), num_items, config.levels, size)
    elif (config.hybrid_of if config.method == "hybrid" else config.method) == "semantic":
        made = semantic_identifiers(_categories(catalog, config.category_column), config.levels)
    else:
        pairs = _pairs(catalog, histories, config)
        made = collaborative_identifiers(pairs, config.levels, size, seed)
    if config.method == "hybrid":
        made = hybrid_identifiers(made, seed)
    return Made(codes=made[0], codes_per_level=made[1])


def _pairs(catalog: "Catalog", histories: "Histories", config: TokenizeConfig) -> Any:
    """Count which items occur together in training histories."""
    from genret.embed import count_pairs

    return count_pairs(*histories.training(), catalog.num_items, config.cooccurrence_window)


def _categories(catalog: "Catalog", column: str) -> list[list[str]]:
    from genret.tokenizers import category_paths

    names = catalog.table.column_names
    if column not in names:
        raise GenretError(
            f"category_column: the catalog has no column {column!r}; it has {', '.join(names)}"
        )
    return category_paths(catalog.table[column].to_pylist())
