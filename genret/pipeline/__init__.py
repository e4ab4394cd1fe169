"""The stages from files to figures, as functions of a run folder and a configuration.

Each stage reads some folders of a run and writes one. It returns its figures as JSON values, and
reports what it does to a :class:`Progress`; the default discards the reports.

>>> import tempfile
>>> from genret import pipeline
>>> from genret.config import TokenizeConfig
>>> from genret.data import synthetic_tables
>>> with tempfile.TemporaryDirectory() as folder:
...     run = f"{folder}/shop"
...     _ = pipeline.ingest(run, *synthetic_tables(60, 40, 8, seed=0))
...     _ = pipeline.tokenize(run, TokenizeConfig(method="random", levels=2))
...     pipeline.index(run)["items"]
40
"""

from genret.pipeline._baselines import (
    BASELINES,
    evaluate_baseline,
    item_codes,
    train_sasrec,
    training_use,
)
from genret.pipeline._coldstart import coldstart
from genret.pipeline._embed import embed
from genret.pipeline._evaluate import evaluate, missed_by_beams, read_training_log
from genret.pipeline._export import export
from genret.pipeline._index import index
from genret.pipeline._ingest import ingest
from genret.pipeline._live import add_items, compact, remove_items
from genret.pipeline._progress import SILENT, Progress, Silent
from genret.pipeline._quickstart import quick_configs, quickstart
from genret.pipeline._shares import ndcg_by_share
from genret.pipeline._source import open_source
from genret.pipeline._tokenize import tokenize
from genret.pipeline._train_engine import train

__all__ = [
    "BASELINES",
    "SILENT",
    "Progress",
    "Silent",
    "add_items",
    "coldstart",
    "compact",
    "embed",
    "evaluate",
    "evaluate_baseline",
    "export",
    "index",
    "ingest",
    "item_codes",
    "missed_by_beams",
    "ndcg_by_share",
    "open_source",
    "quick_configs",
    "quickstart",
    "read_training_log",
    "remove_items",
    "tokenize",
    "train",
    "train_sasrec",
    "training_use",
]
