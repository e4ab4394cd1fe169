"""The kinds of levels of a trie, one class each: what they store and how a step looks it up."""

from genret.index.levels.base import Children, EdgesOnHost, Level, LevelParts
from genret.index.levels.dense import DenseLevel
from genret.index.levels.ragged import RaggedLevel
from genret.index.levels.single import SingleLevel
from genret.index.levels.window import WindowLevel

KINDS: tuple[type[Level], ...] = (SingleLevel, DenseLevel, WindowLevel, RaggedLevel)
"""All kinds, in the order in which they are tried: the first that takes a level stores it."""

SlottedLevel = SingleLevel | DenseLevel | WindowLevel
"""Levels that give each beam the same number of slots for its children.

They have two methods for a search: ``children`` returns who is in the slots, and ``locate`` where the
children are that were chosen.
"""

__all__ = [
    "KINDS",
    "Children",
    "DenseLevel",
    "EdgesOnHost",
    "Level",
    "LevelParts",
    "RaggedLevel",
    "SingleLevel",
    "SlottedLevel",
    "WindowLevel",
]
