"""Items that come to a run and leave it after its model was trained, ``live/``."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from genret.artifacts import Run, read_manifest
from genret.config import ColumnsConfig, require
from genret.data import Catalog, NewItems, read_item_ids, read_new_items
from genret.embed import load_embedder, read_vectors
from genret.models import load_model, load_transitions
from genret.pipeline._progress import SILENT, Progress
from genret.pipeline._writing import writes_run
from genret.recommend import LiveItems
from genret.semantic_ids import SemanticIds
from genret.tokenizers import load_tokenizer
from genret.tokenizers.collisions import suffix_of_new
from genret.tokenizers.reassign import reassign_collisions
from genret.typing import PathLike, Vectors


@writes_run
def add_items(
    run: PathLike,
    items: Any,
    *,
    vectors: PathLike | None = None,
    item: str | None = None,
    title: str | None = None,
    insert_capacity: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Add items to a trained run, which answers them from now on.

    The embedder of the run makes their vectors and its tokenizer their codes, both as they are:
    nothing is learned anew. All of the run's other artifacts stay as they are.

    Args:
      run: the run folder, with ``index/``.
      items: files or tables of the new items, with the columns of the catalog.
      vectors: a file of their vectors, see :func:`genret.embed.read_vectors`; only where those of
        the run were brought, too.
      item: column of the id; None takes that of the catalog's files, or finds the usual names.
      title: column of the title, likewise.
      insert_capacity: items that may come before the index has to be compacted; None: as before,
        or 4,096.
      progress: receives what the stage reports while it runs.

    Returns:
      ``added``, ``items``, ``inserted``, ``removed``, ``insert_capacity``, ``share_codes`` (how many
      of the new items have the codes of another item) and ``fingerprint``.

    Raises:
      GenretError: items that the catalog has or that lack a column, vectors that are missing or do
        not belong here, a run without a tokenizer, or no room for as many.
    """
    opened = Run.open(run)
    with progress.stage("add items"):
        live = LiveItems.load(opened)
        if insert_capacity is not None:
            require(
                insert_capacity >= 1,
                f"insert_capacity: found {insert_capacity}, expected at least 1",
            )
            live = dataclasses.replace(live, insert_capacity=insert_capacity)
        tokenizer = load_tokenizer(opened.folder("codes"))
        new = read_new_items(items, live.catalog, _columns_of(opened), item=item, title=title)
        if new.left_out:
            progress.say(f"columns that the catalog does not have: {', '.join(new.left_out)}")
        found = _vectors(opened, new, vectors)
        how = read_manifest(opened.folder("codes"), "codes").config["collisions"]
        codes = tokenizer.encode(found)
        if how == "suffix":
            codes = suffix_of_new(codes, live.semantic_ids, share_last=True)
        elif how == "reassign":
            codes = reassign_collisions(codes, found, tokenizer, taken=live.semantic_ids)
        taken = set(map(tuple, live.semantic_ids.codes.tolist()))
        live = live.add(new.table, codes)
        share = _sharing(codes, taken)
        fingerprint = live.save(opened)
    return {"added": len(codes), "share_codes": share} | _figures(live, fingerprint)


@writes_run
def remove_items(
    run: PathLike,
    items: Any = None,
    *,
    ids: Iterable[Any] = (),
    item: str | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Remove items from a run, which answers them no more.

    Histories may still hold them, until :func:`compact` forgets them.

    Args:
      run: the run folder, with ``index/``.
      items: files or tables of the items, of which only the ids are read.
      ids: further ids.
      item: the column of ids; None finds the usual names.
      progress: receives what the stage reports while it runs.

    Returns:
      ``items``, ``inserted``, ``removed``, ``insert_capacity`` and ``fingerprint``.

    Raises:
      GenretError: no id, one that is not in the catalog or was removed before, or all items.
    """
    opened = Run.open(run)
    with progress.stage("remove items"):
        asked = [*map(str, ids), *(() if items is None else read_item_ids(items, item))]
        require(bool(asked), "remove-items: found no item, expected --items FILE or --ids")
        live = LiveItems.load(opened).remove(asked)
        fingerprint = live.save(opened)
    return _figures(live, fingerprint)


@writes_run
def compact(run: PathLike, *, progress: Progress = SILENT) -> dict[str, Any]:
    """Put the items that came into the main index of a run, and forget those that were removed.

    Answers stay as they are; a search is as fast as before the first change, and there is room for
    as many new items again.

    Args:
      run: the run folder.
      progress: receives what the stage reports while it runs.

    Returns:
      As :func:`remove_items`.

    Raises:
      GenretError: a model that reads items by row, where trained items were removed.
    """
    opened = Run.open(run)
    with progress.stage("compact"):
        made = opened.folder("model") if opened.has("model") else None
        model = None if made is None else load_model(made)
        live = LiveItems.load(opened).compact(
            model, None if made is None else load_transitions(made)
        )
        fingerprint = live.save(opened)
    return _figures(live, fingerprint)


def _figures(live: LiveItems, fingerprint: str) -> dict[str, Any]:
    return {
        "items": live.num_items,
        "inserted": live.num_inserted,
        "removed": int(live.removed.sum()),
        "insert_capacity": live.insert_capacity,
        "fingerprint": fingerprint,
    }


def _columns_of(run: Run) -> ColumnsConfig:
    """Return which columns `genret ingest` was told to take for what."""
    told = read_manifest(run.folder("catalog"), "catalog").config.get("columns", {})
    return ColumnsConfig.from_dict(told)


def _vectors(run: Run, new: NewItems, vectors: PathLike | None) -> Vectors:
    """Return the vectors of new items, in the space of the run's."""
    run.require("vectors")
    folder = run.folder("vectors")
    embedder = load_embedder(folder)
    catalog = Catalog(new.table)
    if embedder.reads_text:
        require(
            vectors is None,
            f"{vectors}: the vectors of this run are made of texts, and so are those of new items; "
            "leave --vectors out",
        )
        return embedder.embed(catalog.text(embedder.text_columns))
    require(
        embedder.takes_vectors,
        f"{folder}: its vectors are made of histories alone, which new items have none of; run "
        "`genret embed` with --text-dim, or bring --vectors",
    )
    require(
        vectors is not None,
        f"{folder}: its vectors were brought, so bring those of the new items, too: --vectors FILE "
        f"of width {embedder.width}, from the same model",
    )
    assert vectors is not None
    return embedder.finish(read_vectors(vectors, catalog.item_ids, superset=True))


def _sharing(codes: SemanticIds, taken: set[tuple[int, ...]]) -> int:
    """Count new items that have the codes of an item before them."""
    share = 0
    for row in map(tuple, codes.codes.tolist()):
        share += row in taken
        taken.add(row)
    return share
