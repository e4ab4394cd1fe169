"""The model card of a run: ``README.md`` in the run folder, for whoever finds the folder later."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genret.artifacts import MANIFEST, Manifest, Run, read_manifest
from genret.evaluation.report_tables import headline_table
from genret.evaluation.report_words import basis, verdict

CARD = "README.md"
_OURS = "<!-- written by genret: `genret train` and `genret evaluate` write it anew -->"


def write_model_card(run: Run) -> Path | None:
    """Write what a run was made from, how good its model is and how to load it.

    Metrics are shown if they are those of the run's present model.

    Args:
      run: a run with a catalog, codes and a model.

    Returns:
      The file; None where the folder has a ``README.md`` that somebody else wrote, which stays.
    """
    file = run.path / CARD
    if file.exists() and not file.read_text(encoding="utf-8").startswith(_OURS):
        return None
    scratch = file.with_name(f".{CARD}.partial")
    scratch.write_text(model_card(run), encoding="utf-8")
    scratch.replace(file)
    return file


def model_card(run: Run) -> str:
    """Return the text of the card; see :func:`write_model_card`."""
    manifests = {kind: _manifest(run, kind) for kind in ("catalog", "codes", "model", "reports")}
    catalog, codes, model = (manifests[kind] for kind in ("catalog", "codes", "model"))
    assert catalog is not None
    assert codes is not None
    assert model is not None
    name = run.path.resolve().name
    levels = ", ".join(map(str, codes.summary["codes_per_level"]))
    facts = _catalog_facts(catalog) | {
        "semantic IDs": f"{codes.config.get('method') or 'ready-made'}; codes of each level: {levels}",
    } | _model_facts(model)  # fmt: skip
    lines = [_OURS, "", f"# {name}", "", "A recommender made with genret.", "", "## Made from", ""]
    lines += _table(["what", "value"], list(map(list, facts.items())))
    lines += ["", "## Quality", "", *_quality(run, manifests["reports"], model)]
    lines += ["", "## How to load", "", *_loading(name)]
    return "\n".join(lines) + "\n"


def _catalog_facts(catalog: Manifest) -> dict[str, str]:
    """Return what the catalog's manifest says; one that ``ingest`` did not write says less."""
    counts, rules = catalog.summary, catalog.config.get("rules", {})
    facts = {name: f"{counts[name]:,}" for name in ("users", "items", "events") if name in counts}
    if "files" in counts:
        facts["source"] = ", ".join(map(str, counts["files"]))
    if "split" in rules and "valid" in counts:
        facts["split"] = (
            f"{rules['split']}; {counts['valid']:,} validation and {counts['test']:,} test users"
        )
    return facts


def _model_facts(model: Manifest) -> dict[str, str]:
    """Return what the model's manifest says; one that ``train`` did not write says less."""
    architecture, made = model.config.get("model"), model.summary
    if architecture is None or "steps" not in made:
        return {}
    size = f"{architecture['kind']}, {made['parameters']:,} parameters"
    if "max_items" in architecture:
        size += f", reads the newest {architecture['max_items']} items"
    kept = "the last step: there was no validation"
    if made.get("valid_ndcg@10") is not None:
        best = f"{made['valid_ndcg@10']:.4f}"
        kept = f"step {made['best_step']:,}, the best validation NDCG@10: {best}"
    return {
        "model": size,
        **_ranked_by(made),
        "training": f"{made['steps']:,} steps, seed {model.seed}, genret {model.genret_version}",
        "kept": kept,
    }


def _ranked_by(made: Mapping[str, Any]) -> dict[str, str]:
    """Return what is fused in a ranking; nothing where the codes are alone."""
    dense, counted = (made.get(name, 0.0) for name in ("dense_share", "transitions_share"))
    own = 1 - counted
    shares = {
        "codes": own * (1 - dense), "dense head": own * dense, "counted transitions": counted,
    }  # fmt: skip
    fused = [f"{name} {share:.2f}" for name, share in shares.items() if share]
    return {"ranked by": ", ".join(fused)} if len(fused) > 1 else {}


def _quality(run: Run, reports: Manifest | None, model: Manifest) -> list[str]:
    if reports is None or reports.inputs.get("model") != model.fingerprint:
        return ["Not measured yet: `genret evaluate` with this folder measures it."]
    file = run.folder("reports") / "metrics.json"
    if not file.is_file():  # a report of new items alone, see ``genret coldstart``
        return ["The model is measured on new items alone."]
    document: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    columns, rows = headline_table(document)
    return [
        verdict(document), "", basis(document), "", *_table(columns, rows), "",
        "The whole report, with samples and the protocol: [reports/report.html](reports/report.html).",
    ]  # fmt: skip


def _loading(name: str) -> list[str]:
    return [
        "On the command line, with titles or ids of items:",
        "",
        f"    genret recommend {name} --history ITEM ITEM",
        f"    genret score {name} --histories 'days/*.parquet' --out scores",
        "",
        "In Python:",
        "",
        "```python",
        "import genret",
        "",
        f'recommender = genret.Recommender.load("{name}")',
        "seen = recommender.catalog.item_ids[:2].tolist()  # ids or titles of what somebody had",
        "print(recommender.recommend(seen, k=5))",
        "```",
        "",
        f"For a process without genret: `genret export {name} --decode FOLDER`.",
    ]


def _manifest(run: Run, kind: str) -> Manifest | None:
    folder = run.folder(kind)
    return read_manifest(folder, kind) if (folder / MANIFEST).is_file() else None


def _table(columns: list[str], rows: list[list[str]]) -> list[str]:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(columns), line(["---"] * len(columns)), *map(line, rows)]
