"""Export of a run's decode as one StableHLO program, which a process that has only JAX can run."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from genret.artifacts import Run, write_folder
from genret.config import ExportConfig, require
from genret.errors import GenretError
from genret.index import TrieIndex
from genret.json_files import encode_json
from genret.models import load_model, load_transitions
from genret.recommend import (
    Decoder,
    LiveItems,
    Recommender,
    Users,
    fingerprints_of,
    history_of,
    search,
)
from genret.scoring._export_filter import FilterBuilder
from genret.scoring._export_readme import EXAMPLE, readme
from genret.typing import Array, Float, Int, PathLike

LONG_HISTORY = 256
"""Items of a history that a program takes unless it is asked for another number."""
PROGRAM, ARRAYS, ITEMS, DESCRIPTION = (
    "decode.stablehlo", "arrays.npz", "item_ids.json", "decode.json",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
      program: bytes of the serialized program.
      arrays: bytes of the model's and the index's arrays.
      inputs: shapes of the arguments.
    """

    program: int
    arrays: int
    inputs: dict[str, list[int]]


def export_decode(
    run: PathLike,
    out: PathLike,
    config: ExportConfig | None = None,
) -> Exported:
    """Write the decode of a run (model, index and beam search) as one StableHLO program.

    A process that has only jax and numpy runs it. The folder holds the program
    (``decode.stablehlo``, by :mod:`jax.export`), its first argument (``arrays.npz``, a list of
    arrays in order), ``item_ids.json``, ``decode.json`` with the shapes, and a ``README.md`` and an
    ``example.py`` that run as they are. ``manifest.json`` holds the SHA-256 of each of these files; the
    example compares them before it runs the program.

    After the arrays the program takes:

    - ``items`` int32 [batch, H], the history of each user as rows of ``item_ids.json``, oldest
      first, padded on the right. The model reads the newest of them. A row that no item has, such
      as -1, stands for an unknown item and is left out.
    - ``lengths`` int32 [batch], items of each history; more than H counts as H.
    - ``exclude`` int32 [batch, X], further rows that must not be answered, padded with -1; with
      ``exclude`` only.
    - ``filters`` uint8 [F, ceil(N / 8)] and ``filter_of`` int32 [batch], with ``filters`` only: bit
      ``i % 8`` of byte ``i // 8`` allows row i, and each user obeys one of the F filters. A number
      that no filter has allows nothing.

    It returns items int32 [batch, k], padded with -1, and their scores float32 [batch, k].

    Args:
      run: the run folder.
      out: a new folder.
      config: sizes and rules that are fixed in the program. X is ``config.exclude``, F is
        ``config.filters``; where one of them is 0 the program has no such argument. H is
        ``config.history``.

    Returns:
      What was exported.

    Raises:
      GenretError: bad sizes, an incomplete run, or a folder that is not empty.
    """
    config = config or ExportConfig()
    out = Path(out)
    require(
        not out.exists() or (out.is_dir() and not any(out.iterdir())),
        f"{out}: is not empty, expected a new folder",
    )
    folder = Run.open(run)
    made_from = fingerprints_of(folder, ("catalog", "codes", "index", "model"))
    model = load_model(folder.folder("model"))
    for name in ("time_buckets", "user_buckets"):
        count = getattr(model.config, name)
        require(
            count == 0,
            f"model: found {name} {count}, expected 0: an exported program is given items alone",
        )
    counts = load_transitions(folder.folder("model"))
    live = LiveItems.load(folder, model=model, transitions=counts).compact(model, counts)
    catalog, codes, index = live.catalog, live.semantic_ids.codes, live.index
    assert isinstance(index, TrieIndex)
    max_items = model.config.max_items
    history = config.history or max(max_items, LONG_HISTORY)
    decoder = Recommender(model, index, codes, transitions=counts).decoder
    builders = [FilterBuilder.of(one.index) for one in decoder.searchers] if config.filters else []
    constants = (decoder, builders)
    leaves, structure = jax.tree.flatten(constants)
    shapes: dict[str, tuple[int, ...]] = {"items": (config.batch, history)}
    shapes["lengths"] = (config.batch,)
    if config.exclude:
        shapes["exclude"] = (config.batch, config.exclude)
    if config.filters:
        shapes["filters"] = (config.filters, -(-index.num_items // 8))
        shapes["filter_of"] = (config.batch,)
    program = functools.partial(
        _decode,
        structure,
        tuple(shapes),
        k=config.k,
        beams=config.beams,
        exclude_seen=not config.include_seen,
    )
    arguments = [
        jax.ShapeDtypeStruct(shape, jnp.uint8 if name == "filters" else jnp.int32)
        for name, shape in shapes.items()
    ]
    arrays = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves]
    exported = export.export(jax.jit(program), platforms=list(config.platforms))(arrays, *arguments)
    try:
        serialized = exported.serialize()
    except ImportError as e:
        raise GenretError("export: flatbuffers is not installed: pip install genret[export]") from e
    inputs = {name: list(shape) for name, shape in shapes.items()}
    description = {
        "inputs": inputs,
        "k": config.k,
        "beams": config.beams,
        "items": index.num_items,
        "model_reads": max_items,
        "exclude_seen": not config.include_seen,
        "platforms": list(config.platforms),
        "jax": jax.__version__,
        "calling_convention": exported.calling_convention_version,
    }
    with write_folder(out, "decode", config=description, inputs=made_from) as scratch:
        (scratch / PROGRAM).write_bytes(serialized)
        np.savez(scratch / ARRAYS, **{f"{n:05d}": np.asarray(x) for n, x in enumerate(leaves)})  # type: ignore[arg-type]
        (scratch / ITEMS).write_bytes(encode_json(catalog.table["item_id"].to_pylist()))
        (scratch / DESCRIPTION).write_bytes(encode_json(description))
        (scratch / "README.md").write_text(readme(description), encoding="utf-8")
        (scratch / "example.py").write_text(EXAMPLE, encoding="utf-8")
    size = (out / ARRAYS).stat().st_size
    return Exported(len(serialized), size, inputs)


def _decode(
    structure: Any,
    names: tuple[str, ...],
    arrays: list[Array],
    *arguments: Array,
    k: int,
    beams: int,
    exclude_seen: bool,
) -> tuple[Int[Array, "B k"], Float[Array, "B k"]]:
    """Decode, from plain arrays to plain arrays; ``names`` tells the arguments apart."""
    decoder: Decoder
    decoder, builders = jax.tree.unflatten(structure, arrays)
    given = dict(zip(names, arguments, strict=True))
    items, lengths = known_items(
        given["items"], given["lengths"], decoder.searchers[0].codes.shape[0]
    )
    excluded = [given["exclude"]] if "exclude" in given else []
    if exclude_seen:
        present = jnp.arange(items.shape[1], dtype=jnp.int32)[None] < lengths[:, None]
        excluded.append(jnp.where(present, items, -1))
    filter_of = None
    if builders:
        count = given["filters"].shape[0]
        # The last of the filters allows nothing.
        decoder = decoder.with_filters([builder.stack(given["filters"]) for builder in builders])
        inside = (given["filter_of"] >= 0) & (given["filter_of"] < count)
        filter_of = jnp.where(inside, given["filter_of"], count)
    users = Users(items=items, lengths=lengths)
    return search(
        decoder.channels(lambda one: history_of(one.codes, users.newest(one.max_items))),
        decoder.weights,
        k=k,
        beams=beams,
        fuse=decoder.fuse,
        filter_of=filter_of,
        exclude=jnp.concatenate(excluded, axis=1) if excluded else None,
    )


def known_items(
    items: Int[Array, "B H"], lengths: Int[Array, "B"], num_items: int
) -> tuple[Int[Array, "B H"], Int[Array, "B"]]:
    """Leave out of histories what is no item, and close the gaps.

    Args:
      items: rows, oldest first, right-padded.
      lengths: items of each history; counted as 0 to H.
      num_items: rows that an item has: 0 to N - 1.

    Returns:
      The rows in their order, right-padded, and how many each history has.

    >>> items, lengths = known_items(jnp.array([[5, -1, 3, 9], [1, 2, 3, 4]]), jnp.array([9, 2]), 6)
    >>> items.tolist(), lengths.tolist()
    ([[5, 3, 0, 0], [1, 2, 0, 0]], [2, 2])
    """
    slots = jnp.arange(items.shape[1], dtype=jnp.int32)[None]
    known = (slots < lengths[:, None]) & (items >= 0) & (items < num_items)
    order = jnp.argsort(~known, axis=1, stable=True)
    count = known.sum(axis=1, dtype=jnp.int32)
    packed = jnp.take_along_axis(items, order, axis=1)
    return jnp.where(slots < count[:, None], packed, 0), count
