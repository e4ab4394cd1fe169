"""A run's semantic IDs, model and decode in the forms that other programs read."""

from pathlib import Path
from typing import Literal

import numpy as np

from genret.artifacts import Run
from genret.config import ExportConfig
from genret.data import load_run_data, write_semantic_ids
from genret.errors import GenretError
from genret.models import DecoderOnly, load_model, load_transitions
from genret.recommend import LiveItems
from genret.tokenizers import load_codes
from genret.typing import PathLike


def export(
    run: PathLike,
    *,
    ids: PathLike | None = None,
    style: Literal["letters", "integers", "lists"] = "letters",
    model: PathLike | None = None,
    decode: PathLike | None = None,
    config: ExportConfig | None = None,
) -> dict[str, str]:
    """Write the semantic IDs, the model or the decode of a run for other programs.

    Args:
      run: the run folder.
      ids: a file for the semantic IDs, see :func:`genret.data.write_semantic_ids`.
      style: the form of the semantic IDs.
      model: a folder for the model, as transformers loads it.
      decode: a new folder for the decode, see :func:`genret.scoring.export_decode`.
      config: what the decode computes.

    Returns:
      What was written: ``ids``, ``model`` and ``decode``, a sentence for each that was asked for.

    Raises:
      GenretError: an artifact that is missing or stale, or a model that transformers cannot load.
    """
    opened = Run.open(run)
    written = {}
    if ids is not None:
        written["ids"] = _export_ids(opened, Path(ids), style)
    if model is not None:
        written["model"] = _export_model(opened, Path(model))
    if decode is not None:
        written["decode"] = _export_decode(opened, Path(decode), config or ExportConfig())
    return written


def _export_ids(run: Run, file: Path, style: Literal["letters", "integers", "lists"]) -> str:
    if run.has("live"):
        live = LiveItems.load(run)
        kept = np.flatnonzero(~live.removed)
        codes, item_ids = live.semantic_ids.codes[kept], live.catalog.item_ids[kept]
    else:  # an index is not needed
        run.require("codes")
        codes = load_codes(run.folder("codes")).codes
        item_ids = load_run_data(run.folder("catalog"))[0].item_ids
    write_semantic_ids(file, item_ids.tolist(), codes, style)
    return f"{file}: {len(codes):,} items, {codes.shape[1]} codes each"


def _export_model(run: Run, folder: Path) -> str:
    from genret.hf import checkpoint_of, save_checkpoint

    run.require("model")
    model = load_model(run.folder("model"))
    if not isinstance(model, DecoderOnly):
        raise GenretError(
            f"{run.folder('model')}: is of kind {model.config.kind!r}, expected 'decoder_only': "
            "transformers has no such architecture"
        )
    checkpoint, _ = checkpoint_of(model)
    save_checkpoint(folder, checkpoint)
    said = f"{folder}: a {checkpoint.fields['model_type']} of {checkpoint.vocabulary:,} tokens"
    if load_transitions(run.folder("model")) is not None:
        said += ", without the counted transitions that this run's rankings are fused with"
    return said


def _export_decode(run: Run, folder: Path, config: ExportConfig) -> str:
    from genret.scoring import export_decode

    found = export_decode(run.path, folder, config)
    return (
        f"{folder}: program {found.program / 1e6:.1f} MB, arrays {found.arrays / 1e6:.1f} MB, "
        f"for {', '.join(config.platforms)}"
    )
