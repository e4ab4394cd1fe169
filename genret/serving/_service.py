"""Service: answers requests in batches of compiled sizes."""

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from genret.config import ServeConfig, require
from genret.data import load_user_ids
from genret.errors import GenretError
from genret.histories import Histories
from genret.json_files import read_json
from genret.recommend import Engine, Recommender
from genret.serving._requests import Request

_SIZES = (1, 8, 64)
"""Sizes of batches below the largest."""

Answer = dict[str, Any] | GenretError
"""JSON values, or why a request cannot be answered."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Items:
    """What answers from the items and filters of the run.

    Attributes:
      shop: the model and the items.
      row_of: the row of each item, by the text of its id.
      engines: a search for each size of a batch, ascending.
      filters: the number of each filter by its name.
      user_rows: row of each user in the training data by id, for a model that learned something about
        each.
    """

    shop: Recommender
    row_of: Mapping[str, int]
    engines: Mapping[int, Engine]
    filters: Mapping[str, int]
    user_rows: Mapping[str, int]


class _Asked(NamedTuple):
    """Requests in rows of the items.

    Attributes:
      histories: the items of each history that the catalog has.
      filter_of: number of each filter; -1: none.
      unknown: how many items of each history the catalog does not have.
      errors: why a request cannot be answered, by its place.
    """

    histories: Histories
    filter_of: Int[np.ndarray, "B"]
    unknown: Sequence[int]
    errors: Mapping[int, GenretError]


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found for requests.

    Attributes:
      shop: whose items were found.
      requests: what was asked.
      rows: int [B, k], items of each request, best first; -1: none.
      scores: float [B, k], their scores.
      unknown: how many items of each history the catalog does not have.
      errors: why a request cannot be answered, by its place.
    """

    shop: Recommender
    requests: Sequence[Request]
    rows: Int[np.ndarray, "B k"]
    scores: Float[np.ndarray, "B k"]
    unknown: Sequence[int]
    errors: Mapping[int, GenretError]

    def answers(self) -> list[Answer]:
        """Return the answer of each request; see :meth:`Service.answer`."""
        return [
            self.errors[place]
            if place in self.errors
            else {"items": self._ranked(place), "unknown_items": self.unknown[place]}
            for place in range(len(self.requests))
        ]

    def _ranked(self, place: int) -> list[dict[str, Any]]:
        """Return a list of answers as JSON values, without padding."""
        assert self.shop.catalog is not None
        rows = self.rows[place][self.rows[place] >= 0][: self.requests[place].k]
        columns = (
            self.shop.catalog.item_ids[rows].tolist(),
            rows.tolist(),
            self.scores[place].tolist(),
        )
        return [
            {"rank": rank, "item_id": item, "title": self.shop.catalog.titles[row], "score": score}
            for rank, (item, row, score) in enumerate(zip(*columns, strict=False), 1)
        ]


class Service:
    """Answers requests about one run.

    All programs that answers need are compiled before it is ready. Several threads may call it: one
    batch is computed at a time, while others read the next one, write answers, or refresh.

    Args:
      config: the run, and how to answer.

    Raises:
      GenretError: an artifact of the run is missing, stale or damaged, or a filter that cannot be
        used.
    """

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        self._answering, self._refreshing = threading.Lock(), threading.Lock()
        self._items = self._load()

    @property
    def largest_batch(self) -> int:
        """The largest size of a batch that is compiled; more requests are several of them in one call."""
        return max(self._items.engines)

    def describe(self) -> dict[str, Any]:
        """Return what the service answers, as JSON values."""
        items = self._items
        return {
            "run": self.config.run,
            "items": len(items.shop.index.items_below(())),
            "filters": list(items.filters),
            "k": self.config.k,
            "batch_sizes": list(items.engines),
        }

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer requests, in their order.

        Args:
          requests: any number.

        Returns:
          For each request ``{"items": [{"rank", "item_id", "title", "score"}, ...],
          "unknown_items": n}``, or the error of one that cannot be answered.
        """
        return self.search(requests).answers()

    def search(self, requests: Sequence[Request]) -> Found:
        """Search for items; what takes the devices of :meth:`answer`, whose rest can be done beside it.

        Args:
          requests: any number.

        Returns:
          What was found, from which the answers are written.
        """
        while True:
            items = self._items
            asked = self._read(items, requests)
            fitting = (engine for size, engine in items.engines.items() if size >= len(requests))
            engine = next(fitting, items.engines[max(items.engines)])
            with self._answering:
                if items is self._items:  # else it was refreshed meanwhile
                    rows, scores = engine.answer(asked.histories, asked.filter_of)
                    return Found(items.shop, requests, rows, scores, asked.unknown, asked.errors)

    def refresh(self) -> dict[str, Any]:
        """Answer from what the run and the file of filters have now.

        While they are loaded, and compiled where arrays changed their shapes, requests are answered
        from what was there before. When this returns, no batch is computed from that any more: no
        later answer has an item that was removed, or that a changed filter forbids.

        Returns:
          What the service answers now, as :meth:`describe`.

        Raises:
          GenretError: as the constructor; the service goes on with what it has.
        """
        with self._refreshing:
            items = self._load()
            with self._answering:  # not in the middle of a batch
                self._items = items
            return self.describe()

    def _read(self, items: _Items, requests: Sequence[Request]) -> _Asked:
        asked: list[tuple[list[int], list[int]]] = []
        errors: dict[int, GenretError] = {}
        for place, one in enumerate(requests):
            try:
                asked.append(self._known_events(items, one))
            except GenretError as e:
                errors[place] = e
                asked.append(([], []))
        numbers = [
            -1 if one.filter is None else items.filters.get(one.filter, -1) for one in requests
        ]
        histories = Histories.from_lists(
            [rows for rows, _ in asked],
            times=[times for _, times in asked] if items.shop.reads_times else None,
            users=[items.user_rows.get(one.user or "", -1) for one in requests],
        )
        unknown = [
            len(one.history) - len(rows) for one, (rows, _) in zip(requests, asked, strict=True)
        ]
        return _Asked(histories, np.array(numbers, np.int32), unknown, errors)

    def _known_events(self, items: _Items, one: Request) -> tuple[list[int], list[int]]:
        """Return the rows of the items of a history that the catalog has, and their times."""
        if one.filter is not None and one.filter not in items.filters:
            expected = ", ".join(items.filters) or "none"
            raise GenretError(f"filter: found {one.filter!r}, expected one of {expected}")
        require(
            not items.shop.reads_times or one.times is not None or not one.history,
            "times: left out, expected the time of each item of the history: the model reads them",
        )
        rows = [items.row_of.get(item, -1) for item in one.history]
        times = list(one.times or (0,) * len(rows))
        if -1 not in rows:
            return rows, times
        if self.config.unknown_items == "reject":
            unknown = one.history[rows.index(-1)]
            raise GenretError(f"history: found {unknown[:80]!r}, expected items of the catalog")
        known = [place for place, row in enumerate(rows) if row >= 0]
        return [rows[place] for place in known], [times[place] for place in known]

    def _load(self) -> _Items:
        """Load what the run and the file of filters have now, and compile what it needs."""
        config = self.config
        shop = Recommender.load(config.run, dtype=config.dtype)
        assert shop.catalog is not None
        users = load_user_ids(config.run).to_pylist() if shop.reads_users else []
        conditions = read_filters(config.filters)
        filters = [shop.item_filter(condition) for condition in conditions.values()]
        largest = shop.default_group_size
        sizes = config.batch_sizes or (*(size for size in _SIZES if size < largest), largest)
        engines = {}
        for size in sizes:
            search = shop.search(
                config.k, config.beams, exclude_seen=config.exclude_seen, group_size=size
            )
            # Further requests are further groups of the same call: its loop runs as many as there are.
            most = size if size < sizes[-1] else -(-config.most_users // size) * size
            engines[size] = shop.engine(search, filters, users_per_batch=most)
            engines[size].compile_for(config.most_items)
        return _Items(
            shop=shop,
            row_of={str(item): row for row, item in enumerate(shop.catalog.item_ids.tolist())},
            engines=engines,
            filters={name: number for number, name in enumerate(conditions)},
            user_rows={user: row for row, user in enumerate(users)},
        )


def read_filters(file: str | None) -> dict[str, str]:
    """Return the conditions of a file of filters by their names; none where there is no file.

    Raises:
      GenretError: the file cannot be read, or is no JSON object of strings.
    """
    if file is None:
        return {}
    found = read_json(file)
    require(
        isinstance(found, dict) and all(isinstance(one, str) for one in found.values()),
        f'{file}: found {str(found)[:80]}, expected an object such as {{"cheap": "price < 20"}}',
    )
    return dict(found)
