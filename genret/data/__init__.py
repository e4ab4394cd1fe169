"""Sources of interactions and items, and the catalog and histories made from them."""

# Ingestion
from genret.data._ingest import ingest
from genret.data._movielens import MovieLens, movielens
from genret.data._report import IngestReport, Rule, SourceReport
from genret.data._semantic_ids import (
    SemanticIds,
    read_semantic_ids,
    write_semantic_ids,
)
from genret.data._synthetic import synthetic, synthetic_tables

# Reading tables of users
from genret.data._columns import find_column, listed  # isort: skip
from genret.data._ids import distinct_ids  # isort: skip
from genret.data._source import Source  # isort: skip
from genret.data._sources import open_sources  # isort: skip
from genret.data._times import BAD_TIME, NO_TIME, date_text, read_times  # isort: skip
from genret.data._new_items import NewItems, read_item_ids, read_new_items  # isort: skip
from genret.data._id_lists import parse_id_lists  # isort: skip

# The catalog and the histories of a run
from genret.data._catalog import Catalog  # isort: skip
from genret.data._histories import HeldOut, SplitHistories, load_run_data, load_user_ids  # isort: skip
from genret.data._side import bucket_gaps, bucket_users  # isort: skip
from genret.data._cold import hold_out_items, newest_items  # isort: skip
from genret.data._splits import by_time, leave_one_out  # isort: skip
from genret.data._predicate import where  # isort: skip

__all__ = [
    "BAD_TIME",
    "NO_TIME",
    "Catalog",
    "HeldOut",
    "IngestReport",
    "MovieLens",
    "NewItems",
    "Rule",
    "SemanticIds",
    "Source",
    "SourceReport",
    "SplitHistories",
    "bucket_gaps",
    "bucket_users",
    "by_time",
    "date_text",
    "distinct_ids",
    "find_column",
    "hold_out_items",
    "ingest",
    "leave_one_out",
    "listed",
    "load_run_data",
    "load_user_ids",
    "movielens",
    "newest_items",
    "open_sources",
    "parse_id_lists",
    "read_item_ids",
    "read_new_items",
    "read_semantic_ids",
    "read_times",
    "synthetic",
    "synthetic_tables",
    "where",
    "write_semantic_ids",
]
