"""Recommending: a model, an index and a catalog that answer people, one or millions."""

# The face
from genret.recommend._answers import Recommendation, Recommendations
from genret.recommend._explore import ThompsonSampling
from genret.recommend._grounding import Grounding
from genret.recommend._recommender import Recommender

# Its parts, for jobs that search by rules of their own
from genret.recommend._decode import Decoder, Users, history_of, newest_items, search  # isort: skip
from genret.recommend._engine import Answers, Compiling, Engine  # isort: skip
from genret.recommend._filters import check_order, filter_where  # isort: skip
from genret.recommend._layout import Search, widths_of  # isort: skip

# Several searches of the same items, on plain arrays
from genret.recommend._fusion import Channel, fused_search  # isort: skip
from genret.recommend._shares import lists_by_share  # isort: skip

# The items of a run, which come and go
from genret.recommend._live import LiveItems, fingerprints_of, known_histories  # isort: skip

__all__ = [
    "Answers",
    "Channel",
    "Compiling",
    "Decoder",
    "Engine",
    "Grounding",
    "LiveItems",
    "Recommendation",
    "Recommendations",
    "Recommender",
    "Search",
    "ThompsonSampling",
    "Users",
    "check_order",
    "filter_where",
    "fingerprints_of",
    "fused_search",
    "history_of",
    "known_histories",
    "lists_by_share",
    "newest_items",
    "search",
    "widths_of",
]
