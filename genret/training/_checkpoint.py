"""Checkpoints through Orbax: whole or absent, of this run or refused."""

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import orbax.checkpoint.experimental.v1 as ocp

from genret.artifacts import Manifest, read_manifest, verify_files, write_folder
from genret.errors import GenretError
from genret.training._processes import from_first, is_first, wait_for_all

T = TypeVar("T")
_KEEP = 2
"""Newest checkpoints that are kept; the older one serves when the newest is lost."""


def save_checkpoint(
    folder: Path, step: int, tree: Any, progress: Mapping[str, Any], identity: Mapping[str, Any]
) -> None:
    """Write ``folder/step-N`` and delete all but the newest two checkpoints.

    Of several processes, each writes the parts of arrays that it has; all see the same folder.

    Args:
      folder: where the checkpoints lie.
      step: N, steps done.
      tree: a pytree of arrays.
      progress: position of the data and of early stopping, as JSON values.
      identity: configuration and inputs of the run, as JSON values.

    Raises:
      GenretError: the disk is full or cannot be written.
    """
    leaves = {jax.tree_util.keystr(k): v for k, v in jax.tree_util.tree_leaves_with_path(tree)}
    path = folder / f"step-{step:08d}"
    with _written_by_all(path, config=identity, summary=dict(progress)) as scratch:
        try:
            with _until_threads_end():
                ocp.save(scratch.resolve() / "state", leaves)
        except (ValueError, OSError) as e:  # tensorstore reports a full disk as a ValueError
            raise GenretError(f"{path}: cannot be written: {str(e).splitlines()[0]}") from e
    if is_first():
        for old in _checkpoints(folder)[:-_KEEP]:
            shutil.rmtree(old)


def restore_checkpoint(
    folder: Path, like: T, identity: Mapping[str, Any]
) -> tuple[T, Mapping[str, Any]] | None:
    """Read the newest checkpoint.

    Args:
      folder: where the checkpoints lie.
      like: a tree of arrays with the structure, shapes and shardings that are expected.
      identity: configuration and inputs of this run.

    Returns:
      The tree and the progress, or None where there is no checkpoint.

    Raises:
      GenretError: the newest checkpoint is damaged, or belongs to another configuration or other
        inputs (the message names the first difference).
    """
    checkpoints = _checkpoints(folder)
    if not checkpoints:
        return None
    path = checkpoints[-1]
    manifest = read_manifest(path, "checkpoint")
    _check_identity(path, manifest, identity)
    verify_files(path, manifest)
    keyed, structure = jax.tree_util.tree_flatten_with_path(like)
    expected = {
        jax.tree_util.keystr(k): jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=v.sharding)
        for k, v in keyed
    }
    try:
        leaves = ocp.load(path.resolve() / "state", expected)
    except (ValueError, KeyError, OSError) as e:
        raise GenretError(
            f"{path}: cannot be restored into this model ({str(e).splitlines()[0]}); "
            f"delete {folder} to start anew"
        ) from e
    tree = jax.tree_util.tree_unflatten(structure, [leaves[name] for name in expected])
    return tree, manifest.summary


@contextlib.contextmanager
def _written_by_all(path: Path, **facts: Any) -> Iterator[Path]:
    """Give every process the scratch folder that process 0 makes an artifact of in the end."""
    if is_first():
        with write_folder(path, "checkpoint", **facts) as scratch:
            from_first(str(scratch.resolve()))
            yield scratch
    else:
        yield Path(from_first(None))
    wait_for_all("checkpoint")


@contextlib.contextmanager
def _until_threads_end(seconds: float = 60) -> Iterator[None]:
    """Let an exception out of the block only when the threads that the block started have ended.

    Where one of Orbax's writers fails, ``save`` raises while the others still write: they would
    make the folder anew behind the back of whoever deletes it. Idle workers of asyncio are not
    waited for: a writer's thread outlives what it asks of them.
    """
    before = set(threading.enumerate())
    try:
        yield
    except BaseException:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            started = set(threading.enumerate()) - before
            writers = [t for t in started if not t.name.startswith("asyncio_")]
            if not writers:
                break
            # No join: one of them may not have begun yet, and Orbax's own join raises what the
            # thread raised, which the caller has already.
            time.sleep(0.05)
        raise


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _check_identity(path: Path, manifest: Manifest, identity: Mapping[str, Any]) -> None:
    before, now = _flat(manifest.config), _flat(identity)
    for name in before | now:
        if before.get(name) != now.get(name):
            raise GenretError(
                f"{path}: belongs to a run with {name} = {before.get(name)!r}, but this one has "
                f"{now.get(name)!r}; use the same options to resume, or delete {path.parent} to start anew"
            )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat
