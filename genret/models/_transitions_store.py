"""Counted transitions on disk, in the artifact of the model that they are fused with."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from genret.errors import GenretError
from genret.models._store import read_arrays
from genret.models._transitions import Transitions
from genret.typing import PathLike

TRANSITIONS = "transitions.safetensors"
_ARRAYS = {"neighbors": np.int32, "weights": np.float32, "events": np.float32}
_NUMBERS = {"decay": float, "smoothing": float, "share": float, "max_items": int}


def save_transitions(folder: PathLike, transitions: Transitions) -> None:
    """Write ``transitions.safetensors`` into a folder.

    Args:
      folder: an existing folder: that of a model, before its manifest is written.
      transitions: the counts.

    Raises:
      GenretError: the folder cannot be written.

    >>> import tempfile
    >>> from genret.histories import Histories
    >>> counts = Transitions.fit(Histories.from_lists([[0, 1], [2, 3]]), 4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_transitions(folder, counts)
    ...     load_transitions(folder).num_items
    4
    """
    arrays = {name: np.asarray(getattr(transitions, name)) for name in _ARRAYS}
    arrays |= {name: np.asarray(getattr(transitions, name)) for name in _NUMBERS}
    try:
        (Path(folder) / TRANSITIONS).write_bytes(safetensors.numpy.save(arrays))
    except OSError as e:
        raise GenretError(f"{folder}: cannot be written: {e.strerror or e}") from e


def load_transitions(folder: PathLike) -> Transitions | None:
    """Read the counts that a model is fused with.

    Args:
      folder: the artifact ``model/`` of a run, whose files :func:`load_model` compares with its
        manifest.

    Returns:
      The counts; None: the model is ranked without any.

    Raises:
      GenretError: the file is damaged, or not one of counts.
    """
    file = Path(folder) / TRANSITIONS
    if not file.is_file():
        return None
    found = read_arrays(file)
    _check_names(file, found)
    neighbors, weights, events = (found[name] for name in _ARRAYS)
    numbers = {name: kind(found[name]) for name, kind in _NUMBERS.items()}
    sound = (
        neighbors.ndim == 2
        and weights.shape == neighbors.shape
        and events.shape == neighbors.shape[:1]
        and bool(((neighbors >= 0) & (neighbors < len(events))).all())
        and bool((np.isfinite(weights) & (weights >= 0)).all())
        and bool((np.isfinite(events) & (events > 0)).all())
        and 0 < numbers["decay"] <= 1
        and 0 < numbers["smoothing"] < 1
        and 0 <= numbers["share"] <= 1
        and numbers["max_items"] >= 1
    )
    if not sound:
        raise GenretError(f"{file}: damaged: its numbers are not those of counted transitions")
    arrays = {name: jnp.asarray(found[name]) for name in _ARRAYS}
    return Transitions(**arrays, **numbers)  # type: ignore[arg-type]


def _check_names(file: Path, found: dict[str, np.ndarray]) -> None:
    """Refuse a file of other arrays."""
    expected = {name: np.dtype(kind) for name, kind in (_ARRAYS | _NUMBERS).items()}
    types = {name: value.dtype for name, value in found.items()}
    if types != expected or any(found[name].shape != () for name in _NUMBERS):
        raise GenretError(
            f"{file}: found {', '.join(sorted(found)) or 'nothing'}, expected "
            f"{', '.join(sorted(expected))} of their types"
        )
