"""What `benchmarks.quality` compares: the data, and each method as the options of its verbs."""

import dataclasses
from pathlib import Path

from genret.errors import GenretError

BEAMS = 20
"""Beams of the peers whose figures stand beside ours."""


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set: options of ``genret ingest``, and of ``genret tokenize`` for its ready codes."""

    files: tuple[str, ...]
    has_text: bool
    peers: dict[str, float]
    """Recall@10 that others publish for it, seen items kept."""

    def ingest(self, folder: Path) -> list[str]:
        """Return the options that read it from the folder of real data."""
        if not self.files:
            return ["--synthetic", "--synthetic-users", "300", "--synthetic-items", "120"]
        missing = [name for name in self.files if not (folder / name).is_file()]
        if missing:
            raise GenretError(f"{folder / missing[0]}: no such file; name the folder by --folder")
        options = ["--interactions", str(folder / "inter.json")]
        return options + (["--items", str(folder / "item.json")] if self.has_text else [])


DATA = {
    "office": Data(
        ("inter.json", "item.json", "index.json"),
        has_text=True,
        peers={"TIGER, cross-entropy": 0.0608, "TIGER, APAO pointwise": 0.0667,
               "Llama, cross-entropy": 0.0469, "Llama, APAO pointwise": 0.0559},
    ),
    "beauty": Data(
        ("inter.json", "index.json"),
        has_text=False,
        peers={"TIGER, cross-entropy": 0.0611, "TIGER, APAO pointwise": 0.0637,
               "SASRec, tuned (cornac)": 0.0740},
    ),
    "synthetic": Data((), has_text=True, peers={}),
}  # fmt: skip
"""Peers: APAO (arXiv:2603.02730) and PreferredAI/cornac."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A generative model: ready codes or our tokenizer, and a recipe of ``genret train``.

    Attributes:
      recipes: the recipe of each data set where it is run; invented data take its architecture only.
      tokenize: options of ``genret tokenize``; None takes the data's ready codes.
      embed: options of ``genret embed``, before our tokenizer.
      coldstart: also ask for the newest items.
    """

    recipes: dict[str, str]
    tokenize: tuple[str, ...] | None = None
    embed: tuple[str, ...] = ()
    coldstart: bool = False


MAIN = "shipped"
DISTINCT = "own_distinct_codes"
METHODS = {
    MAIN: Method({"office": "office", "beauty": "beauty", "synthetic": "office"}),
    "shipped_apao": Method({"office": "office-apao"}),
    "decoder_only": Method({"office": "office-decoder-only", "synthetic": "office-decoder-only"}),
    "decoder_only_apao": Method({"office": "office-decoder-only-apao"}),
    "tiger": Method({"office": "office-tiger"}),
    "one_pass": Method({"office": "office-one-pass"}),
    "own_codes": Method(
        {"office": "office", "synthetic": "office"},
        tokenize=("--levels", "4"),
        embed=("--cooccurrence-dim", "0"),
        coldstart=True,
    ),
    DISTINCT: Method(
        {"office": "office"},
        tokenize=("--levels", "4", "--codebook-size", "256", "--balanced", "--local-last"),
        embed=("--cooccurrence-dim", "0"),
    ),
    "own_wide_codes": Method(
        {"beauty": "beauty"},
        tokenize=("--levels", "2", "--codebook-size", "1024", "--balanced", "--local-last"),
        embed=("--text-dim", "0"),
    ),
}
"""Generative methods by name; the first is the one whose figures a result file holds as "test"."""

SMOKE_TOKENIZE = ("--levels", "2")
SMOKE_TRAIN = (
    "--width", "16", "--layers", "1", "--heads", "2", "--kv-heads", "2", "--head-dim", "8",
    "--mlp-dim", "32", "--max-items", "8", "--steps", "6", "--batch-size", "8",
    "--eval-every", "3", "--eval-users", "20", "--checkpoint-every", "3",
)  # fmt: skip


def bars(data: str) -> dict[str, tuple[str, str, float | tuple[str, float]]]:
    """Return what a data set's figures must reach.

    Returns:
      Name of the bar -> method, metric, and the least value: a number, or a method and the share of
      its value.
    """
    return {
        "office": {
            "shipped codes against SASRec": (MAIN, "recall@10", ("sasrec", 0.9)),
            "decoder-only, cross-entropy": ("decoder_only", "recall@10", 0.0608),
            "APAO, 5 % above cross-entropy": (
                "decoder_only_apao",
                "recall@10",
                ("decoder_only", 1.05),
            ),
            "our codes against the shipped": ("own_codes", "recall@10", (MAIN, 0.95)),
            "our distinct codes against the shipped": (DISTINCT, "recall@10", (MAIN, 0.95)),
            "SASRec": ("sasrec", "recall@10", 0.084),
        },
        "beauty": {
            "shipped codes": (MAIN, "recall@10", 0.0611),
            "SASRec": ("sasrec", "recall@10", 0.070),
        },
    }.get(data, {})  # type: ignore[return-value]
