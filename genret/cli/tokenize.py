"""``genret tokenize``: semantic IDs of the items of a run."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genret.artifacts import Run, read_manifest
from genret.cli.base import ReadyCodes, Reporter, RunFolder, Verb
from genret.config import TokenizeConfig
from genret.errors import GenretError

if TYPE_CHECKING:
    from genret.data import Catalog
    from genret.tokenizers import SemanticTokenizer
    from genret.typing import Codes, Vectors

_EXAMPLES = 5
_NEIGHBOURS = 4
_POPULAR = 100  # examples are drawn from so many of the most popular items


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenize(Verb):
    """Turn item vectors into semantic IDs by residual k-means, or take ready ones.

    Prints how the codes are used, how many items collide, how much of the vectors is lost, and for
    some popular items those with the most similar codes. Ready codes need no vectors; collisions among them are
    resolved by --collisions too.

    Example: genret tokenize runs/shop --levels 4 --codebook-size 256
    """

    run_folder: RunFolder
    """Folder of the run."""
    codes: ReadyCodes = None
    """Take ready codes: an index.json of LC-Rec, LETTER, MiniOneRec, APAO, OpenOneRec, NonameUntitled
    or GRID, or an integer .npy [N, L] whose rows are those of catalog/items.parquet."""
    tokenize: TokenizeConfig = TokenizeConfig()
    """Residual k-means."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Write ``codes/``; return the report."""
        import numpy as np

        from genret.data import load_run_data
        from genret.tokenizers import check_codes, code_report, resolve_collisions, save_codes

        run = Run.open(self.run_folder)
        inputs = {"catalog": run.require("catalog").fingerprint}
        tokenizer: SemanticTokenizer | None = None
        vectors: Vectors | None = None
        with reporter.stage("tokenize"):
            if self.codes is None:
                inputs["vectors"] = run.require("vectors").fingerprint
                tokenizer, vectors = self._fit(run, reporter)
                raw, sizes = tokenizer.encode(vectors), tokenizer.codes_per_level
            catalog, histories = load_run_data(run.folder("catalog"))
            if self.codes is not None:
                raw, sizes = check_codes(_read_codes(self.codes, catalog), name=str(self.codes))
            if len(raw) != catalog.num_items:
                raise GenretError(
                    f"{self.codes or run.folder('vectors')}: found {len(raw)} rows, the catalogue "
                    f"has {catalog.num_items} items"
                )
            codes, sizes = resolve_collisions(raw, sizes, self.tokenize.collisions)
            report = code_report(codes, sizes, vectors, tokenizer, levels=raw.shape[1])
            popularity = np.bincount(histories.training()[1], minlength=catalog.num_items)
            examples = _examples(codes, catalog, popularity, vectors, self.seed)
            save_codes(
                run.folder("codes"),
                codes,
                sizes,
                tokenizer=tokenizer,
                report=report,
                config=self.tokenize.to_dict()
                | {"ready_codes": None if self.codes is None else str(self.codes)},
                seed=self.seed,
                inputs=inputs,
            )
            _print(reporter, report, examples)
        return {
            "codes_per_level": list(sizes),
            "report": report,
            "neighbours": examples,
            "fingerprint": read_manifest(run.folder("codes"), "codes").fingerprint,
        }

    def _fit(self, run: Run, reporter: Reporter) -> tuple["SemanticTokenizer", "Vectors"]:
        from genret.embed import load_vectors
        from genret.tokenizers import RQKMeans

        vectors = load_vectors(run.folder("vectors"))
        with reporter.progress("levels", self.tokenize.levels) as advance:
            return RQKMeans.fit(vectors, self.tokenize, self.seed, advance), vectors


def _read_codes(path: Path, catalog: "Catalog") -> Any:
    """Read ready codes; the caller checks them."""
    import numpy as np

    from genret.data import read_semantic_ids

    if path.suffix.lower() == ".json":
        return read_semantic_ids(path, catalog.item_ids)
    if path.suffix.lower() != ".npy":
        raise GenretError(f"{path}: expected a .json or .npy file of codes")
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as e:
        raise GenretError(f"{path}: cannot be read as .npy: {str(e).splitlines()[0]}") from e


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
        rows, shared = nearest_by_prefix(codes, item, _NEIGHBOURS, vectors)
        examples.append(
            {
                "title": catalog.titles[item],
                "codes": codes[item].tolist(),
                "neighbours": [
                    {"title": catalog.titles[row], "shared": count}
                    for row, count in zip(rows.tolist(), shared.tolist(), strict=True)
                ],
            }
        )
    return examples


def _print(reporter: Reporter, report: dict[str, Any], examples: list[dict[str, Any]]) -> None:
    levels = report["levels"]
    rows = [
        (
            "suffix" if level >= report["levels_before_suffix"] else str(level),
            figures["codes"],
            figures["used"],
            f"{figures['used_share']:.1%}",
            f"{figures['perplexity']:.1f}",
            "" if figures["error"] is None else f"{figures['error']:.1%}",
        )
        for level, figures in enumerate(levels)
    ]
    reporter.table(
        f"Codes of {report['items']:,} items",
        ("level", "codes", "used", "share", "perplexity", "variance not explained"),
        rows,
    )
    before, after = report["collisions_before"], report["collisions_after"]
    reporter.say(
        f"collisions: {before['items']:,} items share their codes with another one "
        f"(at most {before['largest']:,} together); after --collisions: {after['items']:,}"
    )
    reporter.table(
        "Items with similar codes (codes shared)",
        ("item", "codes", "neighbours"),
        [
            (
                _short(example["title"]),
                " ".join(map(str, example["codes"])),
                "; ".join(f"{_short(n['title'])} ({n['shared']})" for n in example["neighbours"]),
            )
            for example in examples
        ],
    )


def _short(title: str, width: int = 48) -> str:
    return title if len(title) <= width else title[: width - 1] + "…"
