"""A small run that nobody trained, and a service of it."""

import json
from pathlib import Path

import pytest

from genret.config import ServeConfig
from genret.serving import Service
from tests.small_run import write_small_run

FILTERS = {"first": "item_id <= 30", "last": "item_id > 30"}


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder with catalog, codes, index and model; not to be changed."""
    return write_small_run(tmp_path_factory.mktemp("serving") / "run")


@pytest.fixture(scope="session")
def filters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of filters; not to be changed."""
    file = tmp_path_factory.mktemp("filters") / "filters.json"
    file.write_text(json.dumps(FILTERS))
    return file


@pytest.fixture(scope="session")
def config(run: Path, filters: Path) -> ServeConfig:
    """Return a service of the run with two sizes of batches."""
    return ServeConfig(
        run=str(run), filters=str(filters), k=4, beams=8, batch_sizes=(1, 8), most_items=12
    )


@pytest.fixture(scope="session")
def service(config: ServeConfig) -> Service:
    """Return the service, which is not refreshed."""
    return Service(config)
