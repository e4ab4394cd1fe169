"""Models on disk: parameters as safetensors, the architecture as JSON."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx

from genret.artifacts import MANIFEST, read_manifest, verify_files
from genret.config import ModelConfig
from genret.errors import GenretError
from genret.models._decoder_only import DecoderOnly
from genret.models._item_decoder import ItemDecoder
from genret.models._registry import KINDS
from genret.typing import Array, PathLike

PARAMETERS = "model.safetensors"
CONFIG = "config.json"


def save_model(folder: PathLike, model: ItemDecoder | DecoderOnly) -> None:
    """Write a model into a folder.

    Args:
      folder: an existing folder.
      model: the model.
    """
    folder = Path(folder)
    _, state = nnx.split(model)
    arrays = {name: np.ascontiguousarray(value) for name, value in _named(state).items()}
    safetensors.numpy.save_file(arrays, folder / PARAMETERS)
    text = json.dumps(model.config.to_dict(), indent=1)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def load_model(path: PathLike) -> ItemDecoder | DecoderOnly:
    """Read a model.

    Args:
      path: the artefact ``model/`` of a run, or any folder that :func:`save_model` wrote into.

    Returns:
      The model.

    Raises:
      GenretError: a file is missing or damaged, a parameter is missing, unknown, of another shape,
        or not finite.
    """
    path = Path(path)
    if (path / MANIFEST).is_file():
        verify_files(path, read_manifest(path, "model"))
    config = _read_config(path / CONFIG)
    found = _read_arrays(path / PARAMETERS)
    # The shapes come without the work of drawing initial parameters.
    model = nnx.eval_shape(lambda: KINDS[config.kind](config, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(model)
    expected = _named(state)
    for name in sorted(expected.keys() - found.keys()):
        raise GenretError(f"{path / PARAMETERS}: parameter {name!r} is missing")
    for name in sorted(found.keys() - expected.keys()):
        raise GenretError(f"{path / PARAMETERS}: unknown parameter {name!r}")
    for name, leaf in expected.items():
        value = found[name]
        if value.shape != leaf.shape or value.dtype != leaf.dtype:
            raise GenretError(
                f"{path / PARAMETERS}: parameter {name!r} has shape {value.shape} and type {value.dtype}, "
                f"expected {leaf.shape} and {leaf.dtype}"
            )
        if not np.isfinite(value).all():
            raise GenretError(f"{path / PARAMETERS}: parameter {name!r} holds NaN or infinity")
    structure = jax.tree.structure(state)
    leaves = [jnp.asarray(found[name]) for name in expected]
    return nnx.merge(graphdef, jax.tree.unflatten(structure, leaves))


def _named(state: nnx.State) -> dict[str, Array]:
    """Return the arrays of a state by their dotted path, in the order of its leaves."""
    named = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        parts = [str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path]
        named[".".join(p for p in parts if p != "value")] = leaf
    return named


def _read_config(file: Path) -> ModelConfig:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except OSError as e:
        raise GenretError(f"{file}: cannot be read: {e.strerror}") from e
    except (json.JSONDecodeError, UnicodeDecodeError) as e:
        raise GenretError(f"{file}: not JSON ({e})") from e
    if not isinstance(values, dict):
        raise GenretError(f"{file}: found {type(values).__name__}, expected an object")
    return ModelConfig.from_dict(values, where=str(file))


def _read_arrays(file: Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(file)
    except OSError as e:
        raise GenretError(f"{file}: cannot be read: {e.strerror or e}") from e
    except (safetensors.SafetensorError, KeyError, ValueError) as e:
        raise GenretError(f"{file}: damaged ({e})") from e
