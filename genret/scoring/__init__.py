"""Offline batch scoring: histories of many users to Parquet, on one machine or a cluster."""

# A whole job
from genret.scoring._score import ScoreResult, score

# A decode as one program
from genret.scoring._export import Exported, export_decode  # isort: skip

# Its parts
from genret.scoring._filters import check_order, filter_where  # isort: skip
from genret.scoring._scorer import Answers, Scorer, widths_of  # isort: skip

__all__ = [
    "Answers",
    "Exported",
    "ScoreResult",
    "Scorer",
    "check_order",
    "export_decode",
    "filter_where",
    "score",
    "widths_of",
]
