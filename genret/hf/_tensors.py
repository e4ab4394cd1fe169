"""Folders of safetensors files, whole or in shards: read lazily, written in pieces. Never pickle."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from genret.errors import GenretError
from genret.hf._config import read_object

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "model.ckpt")


class TensorFolder:
    """The tensors of a checkpoint by name; the files stay open, nothing is read before it is asked.

    Args:
      folder: holds ``model.safetensors``, or shards and their ``model.safetensors.index.json``.

    Raises:
      GenretError: no safetensors there (a folder of pickles is refused as such), a missing shard,
        a damaged file, a tensor that the index names and its shard lacks.
    """

    def __init__(self, folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._files: dict[str, tuple[Path, Any]] = {}
        try:
            self._open(folder)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, folder: Path) -> None:
        if (folder / SINGLE).is_file():
            files = [folder / SINGLE]
            named: Mapping[str, Any] = {}
        elif (folder / INDEX).is_file():
            named = read_object(folder / INDEX).get("weight_map")  # type: ignore[assignment]
            if not isinstance(named, dict) or not all(isinstance(v, str) for v in named.values()):
                raise GenretError(
                    f"{folder / INDEX}: expected an object 'weight_map' of file names"
                )
            files = [_inside(folder, name) for name in sorted(set(named.values()))]
        else:
            pickled = [name for name in _PICKLES if (folder / name).exists()]
            hint = f"; {pickled[0]} is not read (it may hold code)" if pickled else ""
            raise GenretError(f"{folder}: found neither {SINGLE} nor {INDEX}{hint}")
        for file in files:
            try:
                opened = self._stack.enter_context(safetensors.safe_open(file, framework="np"))
                names = list(opened.keys())
            except FileNotFoundError as e:
                raise GenretError(f"{file}: no such file, but the index names it") from e
            except (OSError, safetensors.SafetensorError) as e:
                raise GenretError(f"{file}: damaged ({e})") from e
            self._files |= dict.fromkeys(names, (file, opened))
        for name, file in named.items():
            if name not in self._files:
                raise GenretError(
                    f"{folder / file}: has no tensor {name!r}, but the index names it"
                )

    def __enter__(self) -> "TensorFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def names(self) -> set[str]:
        """Names of the tensors."""
        return set(self._files)

    def where(self, name: str) -> str:
        """Name a tensor and its file, for errors."""
        return f"{self._files[name][0]}: tensor {name!r}"

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor without reading it."""
        return tuple(self._files[name][1].get_slice(name).get_shape())

    def read(self, name: str, index: tuple[slice, ...] | None = None) -> np.ndarray:
        """Read a tensor or a part of it; floating point only, and finite.

        Raises:
          GenretError: another type, or a value that is NaN or infinite.
        """
        opened = self._files[name][1]
        values = opened.get_tensor(name) if index is None else opened.get_slice(name)[index]
        if values.dtype.name not in ("float32", "float16", "bfloat16", "float64"):
            raise GenretError(
                f"{self.where(name)} is {values.dtype.name}, expected floats (quantized checkpoints "
                "are not read)"
            )
        wrong = values.size - int(np.isfinite(values).sum())
        if wrong:
            raise GenretError(f"{self.where(name)} holds {wrong} values that are NaN or infinite")
        return values


def write_tensors(
    folder: Path, tensors: Iterable[tuple[str, np.ndarray]], max_shard_bytes: int
) -> None:
    """Write tensors as one file, or as shards with an index; one shard is in memory at a time.

    Args:
      folder: an existing folder.
      tensors: names and arrays.
      max_shard_bytes: a shard is closed before it gets larger (a larger tensor has one of its own).

    Raises:
      GenretError: a value is NaN or infinite, or the folder cannot be written.
    """
    shards: list[tuple[Path, list[str]]] = []
    held: dict[str, np.ndarray] = {}
    total = size = 0

    def flush() -> None:
        file = folder / f"shard-{len(shards)}.partial"
        safetensors.numpy.save_file(held, file, metadata={"format": "pt"})
        shards.append((file, list(held)))
        held.clear()

    try:
        for name, values in tensors:
            if not np.isfinite(values).all():
                raise GenretError(f"parameter {name!r} holds values that are NaN or infinite")
            if held and size + values.nbytes > max_shard_bytes:
                flush()
                size = 0
            held[name] = np.ascontiguousarray(values)
            size += values.nbytes
            total += values.nbytes
        flush()
        if len(shards) == 1:
            shards[0][0].rename(folder / SINGLE)
            return
        places: dict[str, str] = {}
        for number, (file, names) in enumerate(shards, 1):
            final = f"model-{number:05}-of-{len(shards):05}.safetensors"
            file.rename(folder / final)
            places |= dict.fromkeys(names, final)
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    except OSError as e:
        raise GenretError(f"{folder}: cannot be written: {e.strerror or e}") from e


def _inside(folder: Path, name: str) -> Path:
    if Path(name).name != name or not name.endswith(".safetensors"):
        raise GenretError(
            f"{folder / INDEX}: found {name!r}, expected a safetensors file beside it"
        )
    return folder / name
