"""Offline batch scoring: histories of many users to Parquet, on one machine or a cluster."""

# A whole job
from genret.scoring._score import ScoreResult, score

# A decode as one program
from genret.scoring._export import Exported, export_decode  # isort: skip

# Its parts
from genret.scoring._scorer import Scorer  # isort: skip

__all__ = [
    "Exported",
    "ScoreResult",
    "Scorer",
    "export_decode",
    "score",
]
