"""A decode as one StableHLO program, which a process that has only JAX can run."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from genret.artifacts import Run, read_manifest, verify_files
from genret.config import require
from genret.data import Catalog
from genret.decoding import GenerativeModel, beam_search
from genret.errors import GenretError
from genret.index import TrieIndex
from genret.models import load_model
from genret.scoring._program import history_of, normalization_of
from genret.tokenizers import load_codes
from genret.typing import Array, Float, Int, PathLike

PLATFORMS = ("cpu", "cuda", "tpu")
_KNOWN = (*PLATFORMS, "rocm")
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
    *,
    k: int,
    beams: int,
    batch: int = 1,
    exclude: int = 0,
    platforms: Sequence[str] = PLATFORMS,
) -> Exported:
    """Write the decode of a run (model, index and beam search) as StableHLO.

    The folder holds ``decode.stablehlo`` (by ``jax.export``), ``arrays.npz`` (its first argument: a
    list of arrays, in order), ``item_ids.json`` and ``decode.json``, which says the rest. A process
    that imports only jax and numpy runs it::

        decode = jax.export.deserialize(bytearray(Path("decode.stablehlo").read_bytes()))
        arrays = np.load("arrays.npz")
        items, scores = decode.call([arrays[name] for name in arrays.files], items, lengths)

    Args:
      run: the run folder.
      out: a new folder.
      k: answers of a user.
      beams: beams of the search, at least k.
      batch: users of a call.
      exclude: items that each user may exclude; 0: the program has no such argument.
      platforms: what to lower for: "cpu", "cuda", "tpu", "rocm".

    Returns:
      What was exported.

    Raises:
      GenretError: bad sizes, an incomplete run, or a folder that is not empty.

    The arguments of the program after the arrays: ``items`` int32 [batch, T], rows of
    ``item_ids.json``, oldest first, right-padded; ``lengths`` int32 [batch]; with ``exclude``, the
    rows int32 [batch, exclude] that must not be answered, padded with -1. Its results: items int32
    [batch, k], -1 where there are none, and scores float32 [batch, k].
    """
    for name, value in (("k", k), ("batch", batch)):
        require(value >= 1, f"{name}: found {value}, expected at least 1")
    require(beams >= k, f"beams: found {beams}, expected at least k, {k}")
    require(exclude >= 0, f"exclude: found {exclude}, expected at least 0")
    require(
        bool(platforms) and set(platforms) <= set(_KNOWN),
        f"platforms: found {list(platforms)}, expected some of {', '.join(_KNOWN)}",
    )
    out = Path(out)
    require(
        not out.exists() or (out.is_dir() and not any(out.iterdir())),
        f"{out}: is not empty, expected a new folder",
    )
    folder = Run.open(run)
    for kind in ("catalog", "codes", "index", "model"):
        folder.require(kind)
    place = folder.folder("catalog")
    verify_files(place, read_manifest(place, "catalog"))
    catalog = Catalog.load(place)
    codes = load_codes(folder.folder("codes")).codes
    model = load_model(folder.folder("model"))
    index = TrieIndex.load(folder.folder("index"))
    leaves, structure = jax.tree.flatten((model, index, jnp.asarray(codes, jnp.int32)))
    shapes = {"items": (batch, model.config.max_items), "lengths": (batch,)}
    if exclude:
        shapes["exclude"] = (batch, exclude)
    program = functools.partial(
        _decode, structure, k=k, beams=beams, normalize=normalization_of(model)
    )
    arguments = [jax.ShapeDtypeStruct(shape, jnp.int32) for shape in shapes.values()]
    arrays = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves]
    exported = export.export(jax.jit(program), platforms=list(platforms))(arrays, *arguments)
    try:
        serialized = exported.serialize()
    except ImportError as e:
        raise GenretError("export: flatbuffers is not installed: pip install genret[export]") from e
    inputs = {name: list(shape) for name, shape in shapes.items()}
    description = {
        "inputs": inputs,
        "k": k,
        "beams": beams,
        "platforms": list(platforms),
        "jax": jax.__version__,
        "calling_convention": exported.calling_convention_version,
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / PROGRAM).write_bytes(serialized)
        np.savez(out / ARRAYS, **{f"{n:05d}": np.asarray(x) for n, x in enumerate(leaves)})  # type: ignore[arg-type]
        (out / ITEMS).write_text(json.dumps(catalog.table["item_id"].to_pylist()), encoding="utf-8")
        (out / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    except OSError as e:
        raise GenretError(f"{out}: cannot be written: {e.strerror or e}") from e
    size = (out / ARRAYS).stat().st_size
    return Exported(len(serialized), size, inputs)


def _decode(
    structure: Any,
    arrays: list[Array],
    items: Int[Array, "B T"],
    lengths: Int[Array, "B"],
    exclude: Int[Array, "B X"] | None = None,
    *,
    k: int,
    beams: int,
    normalize: str,
) -> tuple[Int[Array, "B k"], Float[Array, "B k"]]:
    """Decode, from plain arrays to plain arrays."""
    model: GenerativeModel
    model, index, codes = jax.tree.unflatten(structure, arrays)
    found = beam_search(
        model, history_of(codes, items, lengths), index,
        beams=beams, exclude=exclude, normalize=normalize,
    )  # fmt: skip
    return found.items[:, :k], found.scores[:, :k]
