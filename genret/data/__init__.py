"""Sources of interactions and items, and the catalogue and histories made from them."""

# Ingestion
from genret.data._ingest import ingest
from genret.data._movielens import MovieLens, movielens
from genret.data._report import IngestReport, Rule
from genret.data._semantic_json import read_semantic_ids
from genret.data._synthetic import synthetic, synthetic_tables

# The catalogue and the histories of a run
from genret.data._catalog import Catalog  # isort: skip
from genret.data._histories import HeldOut, Histories, load_run_data  # isort: skip
from genret.data._side import gap_buckets, user_buckets  # isort: skip
from genret.data._splits import by_time, check_leaks, leave_one_out  # isort: skip
from genret.data._predicate import where  # isort: skip

__all__ = [
    "Catalog",
    "HeldOut",
    "Histories",
    "IngestReport",
    "MovieLens",
    "Rule",
    "by_time",
    "check_leaks",
    "gap_buckets",
    "ingest",
    "leave_one_out",
    "load_run_data",
    "movielens",
    "read_semantic_ids",
    "synthetic",
    "synthetic_tables",
    "user_buckets",
    "where",
]
