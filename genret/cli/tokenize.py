"""``genret tokenize``: semantic IDs of the items of a run."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from genret.cli.base import ReadyCodes, Reporter, RunFolder, Verb, named
from genret.config import TOKENIZER_PRESETS, TokenizeConfig, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenize(Verb):
    """Turn items into semantic IDs: from vectors, from histories, from categories, or ready ones.

    Prints how the codes are used, how many items collide, how much of the vectors is lost, and for
    some popular items those with the most similar codes. Only rq_kmeans, rq_vae, fsq, pq, opq and
    hierarchical read vectors. Collisions among ready codes are resolved by --collisions too.

    Example: genret tokenize runs/shop --method rq_vae --levels 4 --codebook-size 256
    """

    writes_run: ClassVar[bool] = True
    computes: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run."""
    codes: ReadyCodes = None
    """Take ready codes: an index.json of LC-Rec, LETTER, MiniOneRec, APAO, OpenOneRec, NonameUntitled
    or GRID, or an integer .npy [N, L] whose rows are those of --ids, or else of catalog/items.parquet."""
    ids: Path | None = None
    """With --from x.npy: the id of each row, in a .txt (a line each), .json, .npy or .parquet file."""
    superset: bool = False
    """With --from: the file is of a larger catalog; without this a file most of whose items are not in
    the catalog is refused as one of another catalog."""
    preset: named(TOKENIZER_PRESETS) = None  # type: ignore[valid-type]
    """The tokenizer of a published system instead of the options."""
    tokenize: TokenizeConfig = TokenizeConfig()
    """How items get their codes."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Write ``codes/``; return the report."""
        from genret.pipeline import tokenize

        config = self.tokenize
        if self.codes is not None:
            require(self.preset is None, "tokenize: --preset and --codes exclude each other")
            self.refuse("--codes", config, but=["collisions"])
        if self.preset is not None:
            self.refuse("--preset", config)
            known = ", ".join(TOKENIZER_PRESETS)
            require(
                self.preset in TOKENIZER_PRESETS,
                f"--preset: found {self.preset!r}, expected one of {known}",
            )
            config = TOKENIZER_PRESETS[self.preset]
        result = tokenize(
            self.run_folder, config,
            codes=self.codes, ids=self.ids, superset=self.superset, seed=self.seed,
            progress=reporter,
        )  # fmt: skip
        show(reporter, result)
        return result


def show(reporter: Reporter, result: dict[str, Any]) -> None:
    """Print how the codes are used, what collides, and items with similar codes."""
    report, examples = result["report"], result["neighbors"]
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
        f"(at most {before['largest']:,} together); resolved: {after['items']:,}"
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
