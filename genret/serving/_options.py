"""Options of a service: JSON values of a configuration file, or text of a command line."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genret.artifacts import Run
from genret.config import ServeConfig, require

_TEXT = ("run", "filters", "dtype", "unknown_items")


def config_of(options: Mapping[str, Any]) -> ServeConfig:
    """Return the configuration that options stand for, with absolute paths.

    Raises:
      GenretError: an unknown option, a value that cannot be used, or no run.

    >>> config_of({"k": "20", "batch_sizes": "[1, 16]"})
    Traceback (most recent call last):
    ...
    genret.errors.GenretError: run: left out, expected the folder of a run: run=runs/shop
    """
    require("run" in options, "run: left out, expected the folder of a run: run=runs/shop")
    values = {name: _value(name, found) for name, found in options.items()}
    config = ServeConfig.from_dict(values, where="serving")
    run = Run.open(config.run)
    # Replicas start in other folders.
    filters = None if config.filters is None else str(Path(config.filters).resolve())
    return dataclasses.replace(config, run=str(run.path.resolve()), filters=filters)


def _value(name: str, found: Any) -> Any:
    """Return what the text of an option says; other values stay."""
    if name in _TEXT or not isinstance(found, str):
        return found
    try:
        return json.loads(found)
    except ValueError:
        return found
