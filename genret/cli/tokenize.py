"""``genret tokenize``: semantic IDs of the items of a run."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from genret.cli.base import ReadyCodes, Reporter, RunFolder, Verb, named
from genret.cli.tables import show_tokenize
from genret.config import TOKENIZER_PRESETS, TokenizeConfig, require, tokenizer_preset


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenize(Verb):
    """Turn items into semantic IDs: from vectors, from histories, from categories, or ready ones.

    Prints how the codes are used, how many items collide, how much of the vectors' variance the
    codes do not explain, and for some popular items those with the most similar codes. Only
    rq_kmeans, rq_vae, fsq, pq, opq and hierarchical read vectors. --collisions also applies to
    ready codes.

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
            config = tokenizer_preset(self.preset)
        result = tokenize(
            self.run_folder, config,
            codes=self.codes, ids=self.ids, superset=self.superset, seed=self.seed,
            progress=reporter,
        )  # fmt: skip
        show_tokenize(reporter, result)
        return result
