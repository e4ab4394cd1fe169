"""A small run that nobody trained: every artifact that answering needs, in seconds."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from genret.artifacts import read_manifest, write_folder
from genret.cli.main import main
from genret.config import ItemDecoderConfig
from genret.data import load_run_data
from genret.index import TrieIndex
from genret.models import Transitions, build_model, save_model, save_transitions
from genret.semantic_ids import SemanticIds
from genret.tokenizers import save_codes

SIZES = (9, 8)
ITEMS = 60
MAX_ITEMS = 5


def write_small_run(folder: Path, *, transitions: float | None = None, **shape: Any) -> Path:
    """Write catalog, codes, index and model of made-up users and items into a new folder.

    ``transitions`` is the weight of counts of the training histories, which are saved with the model;
    ``shape`` changes fields of the model's architecture.
    """
    options = ("--synthetic", "--synthetic-users", "30", "--synthetic-items", str(ITEMS))
    assert main(["ingest", str(folder), "--json", *options]) == 0
    catalog, histories = load_run_data(folder)
    made_from = {"catalog": read_manifest(folder / "catalog").fingerprint}
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(0, size, catalog.num_items) for size in SIZES], axis=1)
    semantic_ids = SemanticIds.from_codes(codes, codes_per_level=SIZES)
    save_codes(folder / "codes", semantic_ids, inputs=made_from)
    inputs = {"codes": read_manifest(folder / "codes").fingerprint}
    with write_folder(folder / "index", "index", inputs=inputs) as scratch:
        TrieIndex.from_codes(codes, catalog.item_ids, codes_per_level=SIZES).write(scratch)
    config = ItemDecoderConfig(
        codes_per_level=SIZES, width=16, layers=1, heads=2, kv_heads=2, head_dim=8, mlp_dim=32,
        max_items=MAX_ITEMS, **shape,
    )  # fmt: skip
    with write_folder(folder / "model", "model", inputs=inputs) as scratch:
        save_model(scratch, build_model(config, 1))
        if transitions is not None:
            counts = Transitions.fit(histories.training(), catalog.num_items)
            save_transitions(scratch, dataclasses.replace(counts, share=transitions))
    return folder
