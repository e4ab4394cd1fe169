"""``genret tokenize``: semantic IDs of the items of a run."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from genret.artifacts import Run, read_manifest
from genret.cli.base import ReadyCodes, Reporter, RunFolder, Verb, refuse_options
from genret.config import TokenizeConfig
from genret.errors import GenretError

if TYPE_CHECKING:
    from genret.data import Catalog
    from genret.typing import Codes, Vectors

_EXAMPLES = 5
_NEIGHBORS = 4
_POPULAR = 100  # examples are drawn from so many of the most popular items


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenize(Verb):
    """Turn items into semantic IDs: from vectors, from histories, from categories, or ready ones.

    Prints how the codes are used, how many items collide, how much of the vectors is lost, and for
    some popular items those with the most similar codes. Only rq_kmeans, rq_vae, fsq, pq, opq and
    hierarchical read vectors. Collisions among ready codes are resolved by --collisions too.

    Example: genret tokenize runs/shop --method rq_vae --levels 4 --codebook-size 256
    """

    writes_run: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run."""
    codes: ReadyCodes = None
    """Take ready codes: an index.json of LC-Rec, LETTER, MiniOneRec, APAO, OpenOneRec, NonameUntitled
    or GRID, or an integer .npy [N, L] whose rows are those of catalog/items.parquet."""
    preset: str | None = None
    """The tokenizer of a published system instead of the options (see genret.tokenizers.PRESETS)."""
    tokenize: TokenizeConfig = TokenizeConfig()
    """How items get their codes."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Write ``codes/``; return the report."""
        import numpy as np

        from genret.cli.identifiers import Made, make_codes, resolve
        from genret.data import load_run_data
        from genret.semantic_ids import SemanticIds
        from genret.tokenizers import TOKENIZERS, code_report, save_codes

        config = self._config()
        run = Run.open(self.run_folder)
        inputs = {"catalog": run.require("catalog").fingerprint}
        with reporter.stage("tokenize"):
            if self.codes is None and config.method in TOKENIZERS:
                inputs["vectors"] = run.require("vectors").fingerprint
            catalog, histories = load_run_data(run.folder("catalog"))
            if self.codes is None:
                made = make_codes(run, catalog, histories, config, self.seed, reporter)
            else:
                raw = SemanticIds.from_codes(_read_codes(self.codes, catalog), name=str(self.codes))
                if len(raw) != catalog.num_items:
                    raise GenretError(
                        f"{self.codes}: found {len(raw)} rows, the catalog has "
                        f"{catalog.num_items} items"
                    )
                made = Made(semantic_ids=raw)
            semantic_ids = resolve(made, config.collisions)
            report = code_report(
                semantic_ids,
                made.vectors,
                made.tokenizer,
                levels=made.semantic_ids.depth,
                raw=made.semantic_ids,
            )
            popularity = np.bincount(histories.training()[1], minlength=catalog.num_items)
            examples = _examples(semantic_ids.codes, catalog, popularity, made.vectors, self.seed)
            save_codes(
                run.folder("codes"),
                semantic_ids,
                tokenizer=made.tokenizer,
                text_model=made.text_model,
                report=report,
                config=config.to_dict()
                | {"ready_codes": None if self.codes is None else str(self.codes)},
                seed=self.seed,
                inputs=inputs,
            )
            _print(reporter, report, examples, config.collisions)
        return {
            "codes_per_level": list(semantic_ids.codes_per_level),
            "report": report,
            "neighbors": examples,
            "fingerprint": read_manifest(run.folder("codes"), "codes").fingerprint,
        }

    def _config(self) -> TokenizeConfig:
        from genret.tokenizers import PRESETS

        if self.preset is not None and self.codes is not None:
            raise GenretError("tokenize: --preset and --codes exclude each other")
        if self.codes is not None:
            refuse_options("--codes", self.tokenize, but=["collisions"])
        if self.preset is None:
            return self.tokenize
        refuse_options("--preset", self.tokenize)
        if self.preset not in PRESETS:
            raise GenretError(
                f"--preset: found {self.preset!r}, expected one of {', '.join(PRESETS)}"
            )
        return PRESETS[self.preset]


def _read_codes(path: Path, catalog: "Catalog") -> Any:
    """Read ready codes; the caller checks them."""
    from genret.data import read_semantic_ids
    from genret.semantic_ids import SemanticIds, check_code_sizes
    from genret.tensors import read_npy

    if path.suffix.lower() == ".json":
        return read_semantic_ids(path, catalog.item_ids).codes
    if path.suffix.lower() != ".npy":
        raise GenretError(f"{path}: expected a .json or .npy file of codes")
    codes = SemanticIds.from_codes(read_npy(path), name=str(path)).codes
    check_code_sizes(codes, str(path))
    return codes


def _examples(
    codes: "Codes", catalog: "Catalog", popularity: Any, vectors: "Vectors | None", seed: int
) -> list[dict[str, Any]]:
    """Take some popular items, and those whose codes share the longest prefix with theirs."""
    import numpy as np

    from genret.tokenizers import nearest_by_prefix

    popular = np.argsort(-popularity, kind="stable")[:_POPULAR]
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


def _print(
    reporter: Reporter, report: dict[str, Any], examples: list[dict[str, Any]], how: str
) -> None:
    levels = report["levels"]
    rows = [
        (
            "suffix" if level >= report["levels_before_suffix"] else str(level),
            figures["codes"],
            figures["used"],
            f"{figures['used_share']:.1%}",
            f"{figures['perplexity']:.1f}",
            figures["prefixes"],
            "" if figures["error"] is None else f"{figures['error']:.1%}",
        )
        for level, figures in enumerate(levels)
    ]
    reporter.table(
        f"Codes of {report['items']:,} items",
        ("level", "codes", "used", "share", "perplexity", "prefixes", "variance not explained"),
        rows,
    )
    before, after = report["collisions_before"], report["collisions_after"]
    reporter.say(
        f"collisions: {before['items']:,} items share their codes with another one "
        f"(at most {before['largest']:,} together); after --collisions {how}: {after['items']:,}"
    )
    reporter.table(
        "Items with similar codes (codes shared)",
        ("item", "codes", "neighbors"),
        [
            (
                _short(example["title"]),
                " ".join(map(str, example["codes"])),
                "; ".join(f"{_short(n['title'])} ({n['shared']})" for n in example["neighbors"]),
            )
            for example in examples
        ],
    )


def _short(title: str, width: int = 48) -> str:
    return title if len(title) <= width else title[: width - 1] + "…"
