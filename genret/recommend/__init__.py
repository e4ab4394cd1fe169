"""Recommending: a model, an index and a catalog that answer people, one or millions."""

# The face
from genret.recommend._answers import Recommendation, Recommendations
from genret.recommend._recommender import Recommender

# Its parts, for jobs that search by rules of their own
from genret.recommend._decode import Decoder, Users, history_of, newest_items, search  # isort: skip
from genret.recommend._engine import Answers, Compiling, Engine  # isort: skip
from genret.recommend._filters import check_order, filter_where  # isort: skip
from genret.recommend._layout import Search, widths_of  # isort: skip

__all__ = [
    "Answers",
    "Compiling",
    "Decoder",
    "Engine",
    "Recommendation",
    "Recommendations",
    "Recommender",
    "Search",
    "Users",
    "check_order",
    "filter_where",
    "history_of",
    "newest_items",
    "search",
    "widths_of",
]
