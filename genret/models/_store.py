"""Models on disk: parameters as safetensors, the architecture as JSON."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx

from genret.artifacts import MANIFEST, read_manifest, verify_files
from genret.config import ModelConfig
from genret.errors import GenretError
from genret.models._layers import narrow_matrices, shapes_alone
from genret.models._registry import KINDS, Model
from genret.typing import PathLike

PARAMETERS = "model.safetensors"
CONFIG = "config.json"


def save_model(folder: PathLike, model: Model) -> None:
    """Write a model into a folder: ``config.json`` and ``model.safetensors``.

    Args:
      folder: an existing folder; in a run, the one that :func:`genret.artifacts.write_folder`
        yields.
      model: the model.

    Raises:
      GenretError: a parameter is not finite (nothing is written), or the folder cannot be written.

    >>> import tempfile
    >>> from genret.models import ItemDecoder
    >>> from genret.config import ItemDecoderConfig
    >>> config = ItemDecoderConfig(codes_per_level=(8, 4), width=16, heads=2, kv_heads=2, head_dim=8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(folder, ItemDecoder(config, rngs=nnx.Rngs(0)))
    ...     load_model(folder).config == config
    True
    """
    folder = Path(folder)
    _, state = nnx.split(model)
    arrays = {name: np.ascontiguousarray(value) for name, value in _named(state).items()}
    for name, value in arrays.items():
        _check_finite(value, f"{folder}: parameter {name!r}")
    text = json.dumps(model.config.to_dict(), indent=1)
    try:
        (folder / PARAMETERS).write_bytes(safetensors.numpy.save(arrays))
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    except OSError as e:
        raise GenretError(f"{folder}: cannot be written: {e.strerror or e}") from e


def load_model(path: PathLike, *, dtype: str | None = None, serving: bool = False) -> Model:
    """Read a model.

    Args:
      path: the artifact ``model/`` of a run, or any folder that :func:`save_model` wrote into.
      dtype: type of the activations, "float32" or "bfloat16"; None: as in its configuration.
      serving: hold matrices and embeddings in the type of the activations. They are converted to it
        before each product anyway, so the answers are the same; a bfloat16 model then takes half the
        memory, and a step of a search reads half the bytes. Such a model is neither trained nor saved.

    Returns:
      The model.

    Raises:
      GenretError: no such folder, another artifact, a file that is missing, truncated or edited, an
        unknown configuration, or a parameter that is missing, unknown, of another shape or type,
        or not finite.
    """
    path = Path(path)
    if not path.is_dir():
        raise GenretError(f"{path}: no such folder, expected a model")
    if (path / MANIFEST).is_file():
        verify_files(path, read_manifest(path, "model"))
    config = _read_config(path / CONFIG)
    if dtype is not None:
        config = ModelConfig.from_dict(config.to_dict() | {"dtype": dtype}, where="dtype")
    found = read_arrays(path / PARAMETERS)
    with shapes_alone():
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
                f"{path / PARAMETERS}: parameter {name!r} has shape {value.shape} and type "
                f"{value.dtype}, expected {leaf.shape} and {leaf.dtype}"
            )
        _check_finite(value, f"{path / PARAMETERS}: parameter {name!r}")
    structure = jax.tree.structure(state)
    leaves = [jax.device_put(found[name]) for name in expected]
    model = nnx.merge(graphdef, jax.tree.unflatten(structure, leaves))
    if serving and config.dtype != "float32":
        narrow_matrices(model, config.dtype)
    return model


def _named(state: Any) -> dict[str, Any]:
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


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file.

    Raises:
      GenretError: the file is missing or damaged.
    """
    try:
        return safetensors.numpy.load(file.read_bytes())
    except OSError as e:
        raise GenretError(f"{file}: cannot be read: {e.strerror or e}") from e
    except (safetensors.SafetensorError, KeyError, ValueError) as e:
        raise GenretError(f"{file}: damaged ({e})") from e


def _check_finite(values: np.ndarray, where: str) -> None:
    wrong = values.size - int(np.isfinite(values).sum())
    if wrong:
        raise GenretError(f"{where} holds {wrong} values that are NaN or infinite")
