"""Stage 3: semantic IDs of the items into ``codes/``."""

from pathlib import Path
from typing import Any

import numpy as np

from genret.artifacts import Run, read_manifest
from genret.config import TokenizeConfig, require
from genret.data import Catalog, load_run_data, read_semantic_ids
from genret.embed import in_order, read_ids
from genret.pipeline._identifiers import Made, make_codes, resolve
from genret.pipeline._progress import SILENT, Progress
from genret.pipeline._writing import writes_run
from genret.semantic_ids import SemanticIds, check_code_sizes
from genret.tensors import read_npy
from genret.tokenizers import save_codes
from genret.tokenizers.report import code_report, nearest_by_prefix
from genret.tokenizers.store import TOKENIZERS
from genret.typing import Codes, Int, PathLike, Vectors

_EXAMPLES = 5
_NEIGHBORS = 4
_POPULAR = 100  # examples are drawn from so many of the most popular items


@writes_run
def tokenize(
    run: PathLike,
    config: TokenizeConfig | None = None,
    *,
    codes: PathLike | None = None,
    ids: PathLike | None = None,
    superset: bool = False,
    seed: int = 0,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Turn the items of a run into semantic IDs.

    Args:
      run: the run folder, with ``catalog/``, and with ``vectors/`` for methods that read them.
      config: how items get their codes; of ready codes only ``collisions`` is read.
      codes: a file of ready codes: see :func:`genret.data.read_semantic_ids`, or an integer
        ``.npy`` [N, L] whose rows are those of ``ids`` or else of ``catalog/items.parquet``.
      ids: a file with the id of each row of a ``.npy``: ``.txt`` (an id a line), ``.json`` (a list),
        ``.npy`` or ``.parquet``.
      superset: whether most items of the file may be outside the catalog.
      seed: of everything random.
      progress: receives what the stage reports while it runs.

    Returns:
      ``codes_per_level``; ``report``, see :func:`genret.tokenizers.code_report`; ``neighbors``, some
      popular items with those of the most similar codes; ``fingerprint``.

    Raises:
      GenretError: an artifact that is missing or stale, or codes that do not fit the catalog.
    """
    config = config or TokenizeConfig()
    for name, value in (("ids", ids), ("superset", superset or None)):
        require(value is None or codes is not None, f"tokenize: --{name} goes with --from")
    opened = Run.open(run)
    inputs = {"catalog": opened.require("catalog").fingerprint}
    with progress.stage("tokenize"):
        if codes is None and config.method in TOKENIZERS:
            inputs["vectors"] = opened.require("vectors").fingerprint
        catalog, histories = load_run_data(opened.folder("catalog"))
        if codes is None:
            made = make_codes(opened, catalog, histories, config, seed, progress)
        else:
            made = Made(semantic_ids=_read_codes(Path(codes), catalog, ids, superset))
        semantic_ids = resolve(made, config.collisions)
        report = code_report(
            semantic_ids,
            made.vectors,
            made.tokenizer,
            levels=made.semantic_ids.depth,
            raw=made.semantic_ids,
        )
        uses = histories.training().item_counts(catalog.num_items)
        examples = _examples(semantic_ids.codes, catalog, uses, made.vectors, seed)
        save_codes(
            opened.folder("codes"),
            semantic_ids,
            tokenizer=made.tokenizer,
            text_model=made.text_model,
            report=report,
            config=config.to_dict() | {"ready_codes": None if codes is None else str(codes)},
            seed=seed,
            inputs=inputs,
        )
    return {
        "codes_per_level": list(semantic_ids.codes_per_level),
        "report": report,
        "neighbors": examples,
        "fingerprint": read_manifest(opened.folder("codes"), "codes").fingerprint,
    }


def _read_codes(path: Path, catalog: Catalog, ids: PathLike | None, superset: bool) -> SemanticIds:
    """Read ready codes of the items of a catalog."""
    if path.suffix.lower() == ".json":
        require(ids is None, f"{path}: has ids of its own; leave --ids out")
        return read_semantic_ids(path, catalog.item_ids, superset=superset)
    require(path.suffix.lower() == ".npy", f"{path}: expected a .json or .npy file of codes")
    found = SemanticIds.from_codes(read_npy(path), name=str(path))
    if ids is not None:
        named = read_ids(Path(ids), None)
        rows = in_order(
            named, found.codes, catalog.item_ids, str(path), what="codes", superset=superset
        )
        found = SemanticIds.from_codes(rows, name=str(path))
    check_code_sizes(found.codes, str(path))
    require(
        len(found) == catalog.num_items,
        f"{path}: found {len(found)} rows, the catalog has {catalog.num_items} items; --ids FILE "
        "says which item each row is",
    )
    return found


def _examples(
    codes: Codes,
    catalog: Catalog,
    uses: Int[np.ndarray, "N"],
    vectors: Vectors | None,
    seed: int,
) -> list[dict[str, Any]]:
    """Take some popular items, and those whose codes share the longest prefix with theirs."""
    popular = np.argsort(-uses, kind="stable")[:_POPULAR]
    rng = np.random.default_rng(seed)
    chosen = popular[np.sort(rng.choice(len(popular), min(_EXAMPLES, len(popular)), replace=False))]
    examples = []
    for item in chosen.tolist():
        rows, shared = nearest_by_prefix(codes, item, _NEIGHBORS, vectors)
        examples.append(
            {
                "title": catalog.titles[item],
                "codes": codes[item].tolist(),
                "neighbors": [
                    {"title": catalog.titles[row], "shared": count}
                    for row, count in zip(rows.tolist(), shared.tolist(), strict=True)
                ],
            }
        )
    return examples
