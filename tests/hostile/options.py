"""Hostile values of options, histories and conditions."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.hostile.table import Hostile, text


def histories(name: str, items: object = ([1, 2], [3])) -> Callable[[Path], object]:
    def make(folder: Path) -> object:
        return pq.write_table(pa.table({"user_id": [1, 2], "items": items}), folder / name)

    return make


SCORE = "score run --k 2 --beams 4 --no-all-devices --histories in.parquet --out "

OPTIONS = [
    Hostile("no text, no co-occurrence", "embed run --text-dim 0 --cooccurrence-dim 0", "dim"),
    Hostile("a negative width", "embed run --text-dim -4", "text_dim: found -4"),
    Hostile("a weight that is no number", "embed run --text-weight nan", "text_weight: found nan"),
    Hostile("no level", "tokenize run --levels 0", "levels: found 0"),
    Hostile("a codebook of 2**40", "tokenize run --method random --codebook-size 1099511627776", "codebook_size: found 1099511627776"),
    Hostile("a learning rate that is infinite", "train run --learning-rate inf", "learning_rate: found inf"),
    Hostile("a rate of dropout above 1", "train run --dropout 2", "dropout: found 2"),
    Hostile("heads that do not divide", "train run --heads 3 --kv-heads 2", "heads"),
    Hostile("a negative number of devices", "train run --devices -1", "devices"),
    Hostile("more devices than there are", "train run --devices 4096", "devices"),
    Hostile("a warm start from a text file", "train run --warm-start x", "x", text("x", "x")),
    Hostile("no beams", "evaluate run --beams 0", "beams"),
    Hostile("a cut-off of nothing", "evaluate run --k 0", "k"),
    Hostile("a model whose training nobody knows", "coldstart run", "does not say how it was trained"),
    Hostile("a share that is no number", "coldstart run --fractions nan", "fractions: found nan"),
    Hostile("a share of more than all", "coldstart run --fractions 1.5", "fractions: found 1.5"),
    Hostile("no recommendation", "recommend run --k 0 --beams 4", "k: found 0"),
    Hostile("a billion recommendations", "recommend run --k 1000000000 --beams 1000000000", "beams: found 1000000000, expected fewer than"),
    Hostile("an id of 30 digits", "recommend run --history 999999999999999999999999999999 --beams 10", "999999999999999999999999999999"),
    Hostile("an id of no character", ("recommend", "run", "--history", ""), "no item has the id or title ''"),
    Hostile("a user of no character", ("recommend", "run", "--user", ""), "user"),
    Hostile("a condition of Python", ("recommend", "run", "--where", "__import__('os').system('id')"), "__import__"),
    Hostile("a condition in 100,000 brackets", ("recommend", "run", "--where", "(" * 100_000 + "price" + ")" * 100_000), "found 200005 characters"),
    Hostile("a condition that divides by zero", ("recommend", "run", "--where", "1/0 < 2"), "1/0"),
    Hostile("a condition of no character", ("recommend", "run", "--where", ""), "condition '': found nothing"),
    Hostile("a condition with an escape sequence", ("recommend", "run", "--where", "\x1b[2J == 3"), r"\x1b"),
    Hostile("histories by an unclosed bracket", "score run --histories [ --out out", "["),
    Hostile("histories of no character", ("score", "run", "--histories", "", "--out", "out"), "histories: found no name"),
    Hostile("histories from a pipe", "score run --histories in.parquet --out out", "in.parquet", lambda f: os.mkfifo(f / "in.parquet")),
    Hostile("answers into the run itself", SCORE + "run", "run", histories("in.parquet")),
    Hostile("answers into the run's model", SCORE + "run/model", "run/model", histories("in.parquet")),
    Hostile("answers into the file of the histories", SCORE + "in.parquet", "in.parquet", histories("in.parquet")),
    Hostile("answers to a scheme that nobody knows", SCORE + "foo://x", "foo://x", histories("in.parquet")),
    Hostile("histories that are lists of lists", SCORE + "out", "in.parquet", histories("in.parquet", [[[1]], [[2]]])),
    Hostile("histories that are booleans", SCORE + "out", "in.parquet", histories("in.parquet", [[True], [False]])),
    Hostile("semantic IDs into a pipe", "export run --ids full", "full: is no regular file", lambda f: os.mkfifo(f / "full")),
    Hostile("semantic IDs over a folder", "export run --ids run", "run"),
    Hostile("nothing to export", "export run", "--ids"),
    Hostile("a program over somebody's folder", "export run --decode thesis", "thesis", lambda f: ((f / "thesis").mkdir(), (f / "thesis/a").write_text("x"))),
    Hostile("a program for a platform that nobody knows", "export run --decode out --platforms abacus --k 2 --beams 4", "abacus"),
    Hostile("another model as a checkpoint", "export run --model out", "item_decoder"),
]  # fmt: skip
