"""Recommender: a model, an index and a catalog that answer people."""

import collections
import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from genret.artifacts import Run
from genret.config import require
from genret.data import Catalog
from genret.decoding import GenerativeModel
from genret.errors import GenretError
from genret.histories import Histories
from genret.index import ItemFilter, LiveIndex, TrieIndex
from genret.models import Transitions, capabilities_of, load_model, load_transitions
from genret.recommend._answers import Recommendations
from genret.recommend._channels import chosen_share, filters_of, fused, joint, shares_of
from genret.recommend._decode import Decoder, Placement, Searcher
from genret.recommend._engine import Compiling, Engine
from genret.recommend._exact import score_all
from genret.recommend._explore import ThompsonSampling
from genret.recommend._filters import all_of, check_order, filter_where
from genret.recommend._layout import Search
from genret.recommend._live import LiveItems
from genret.semantic_ids import SemanticIds
from genret.typing import Int, PathLike

DEFAULT_BEAMS = 50
DEFAULT_MAX_ITEMS = 20
"""Items of a history that a model sees which does not say how many."""
_ENGINES = 32
"""Ways of searching that a recommender remembers."""
_SEARCHED_IDS = 100_000
"""Ids searched for a close match of an unknown one."""

Where: TypeAlias = str | ItemFilter | Sequence[str | ItemFilter] | None
"""Conditions on the columns of the catalog, or filters."""


class Recommender:
    """Recommends items to people from what they did.

    Args:
      model: a trained model.
      index: the items that may be recommended.
      semantic_ids: those of the items, as the index has them; None reads them from the index.
      catalog: titles and columns of the items, in the order of the index; None: items are known by
        the ids of the index alone.
      max_items: longest history that the model sees; None takes what the model was made for, or 20.
      devices: the devices that share the users; None takes the first local one.
      model_parallel: devices that share one copy of the model.
      channels: recommenders of the same items, such as a SASRec or a model of other codes, whose
        searches are fused with this one's: see :func:`genret.recommend.fused_search`.
      weights: of this recommender and each of the channels; None: all equal.
      fuse: "product" ranks by the weighted sum of the log-probabilities, "mixture" by the logarithm
        of the weighted sum of the probabilities.
      dense_share: weight of the dense head of a model that has one, 0 to 1; None: as trained.
      transitions: counts that are fused with the model, ``transitions.share`` of the whole; items
        that came after them have none. None: the model is ranked alone.

    Raises:
      GenretError: semantic IDs of another number of items, a catalog or channels of other items,
        counts of more items than there are, weights that are no shares, or devices that
        ``model_parallel`` does not divide.

    Attributes:
      decoder: what is searched, on the host's device.

    >>> from genret.config import ItemDecoderConfig
    >>> from genret.models import build_model
    >>> shape = ItemDecoderConfig(codes_per_level=(4, 4), width=16, heads=2, kv_heads=2, head_dim=8)
    >>> index = TrieIndex.from_codes([[0, 1], [2, 3], [0, 2]], ["tea", "mug", "pot"])
    >>> shop = Recommender(build_model(shape, 0), index)
    >>> sorted(one.id for one in shop.recommend(["tea"], k=5)[0])
    ['mug', 'pot']
    """

    def __init__(
        self,
        model: GenerativeModel,
        index: TrieIndex | LiveIndex,
        semantic_ids: SemanticIds | Int[np.ndarray, "N L"] | None = None,
        catalog: Catalog | None = None,
        *,
        max_items: int | None = None,
        devices: Sequence[jax.Device] | None = None,
        model_parallel: int = 1,
        channels: Sequence["Recommender"] = (),
        weights: Sequence[float] | None = None,
        fuse: str = "product",
        dense_share: float | None = None,
        transitions: Transitions | None = None,
    ) -> None:
        devices = list(devices) if devices is not None else jax.local_devices()[:model_parallel]
        require(
            len(devices) % model_parallel == 0,
            f"model_parallel: found {model_parallel}, expected a divisor of the "
            f"{len(devices)} devices",
        )
        self.model, self.catalog = model, catalog
        self._reads = capabilities_of(model)
        if max_items is None:
            max_items = self._reads.max_items or DEFAULT_MAX_ITEMS
        require(max_items >= 1, f"max_items: found {max_items}, expected at least 1")
        self._own_items, self._channels, self._fuse = max_items, tuple(channels), fuse
        self._weights = shares_of(weights, 1 + len(channels))
        self._dense_share = chosen_share(dense_share, self._reads.dense_share)
        self._transitions = transitions
        self._placement = Placement.over(devices, model_parallel)
        self._place(index, semantic_ids)

    @classmethod
    def load(cls, run: PathLike, *, dtype: str | None = None, **options: Any) -> "Recommender":
        """Load a run, with the items that it has now.

        Args:
          run: the run folder, with ``catalog/``, ``codes/``, ``index/`` and ``model/``, and ``live/``
            where items were added or removed.
          dtype: type of the model's activations, and of the matrices that they are multiplied with;
            None: as it was trained.
          options: other arguments of :class:`Recommender`; ``transitions`` are those that the model
            was saved with, unless they are given.

        Raises:
          GenretError: an artifact is missing, stale or damaged.
        """
        folder = Run.open(run)
        folder.require("model")
        model = load_model(folder.folder("model"), dtype=dtype, serving=True)
        if "transitions" not in options:
            options["transitions"] = load_transitions(folder.folder("model"))
        items = LiveItems.load(folder, model=model, transitions=options["transitions"])
        return cls(model, items.index, items.semantic_ids, items.catalog, **options)

    @property
    def num_items(self) -> int:
        """Number of items."""
        return self.index.num_items

    @property
    def max_items(self) -> int:
        """Longest history that a model of the recommender sees."""
        return max(one.max_items for one in self.decoder.searchers)

    @property
    def reads_times(self) -> bool:
        """Whether the model reads the time between the events of a history."""
        return self._time_buckets > 0

    @property
    def reads_users(self) -> bool:
        """Whether the model learned something about each user of its training data."""
        return self._user_buckets > 0

    def refresh(
        self,
        index: TrieIndex | LiveIndex,
        semantic_ids: SemanticIds | Int[np.ndarray, "N L"] | None = None,
    ) -> None:
        """Recommend from another index from now on, such as the next state of a live one.

        Nothing is compiled where its arrays have the shapes of the one before.

        Args:
          index: the items; their positions have to be those of the catalog, where there is one.
          semantic_ids: as in the constructor.

        Raises:
          GenretError: as the constructor.
        """
        self._place(index, semantic_ids)

    def _place(self, index: TrieIndex | LiveIndex, semantic_ids: Any) -> None:
        """Put what a search needs on the devices, and forget what was made for another index."""
        if semantic_ids is None:
            codes = index.codes_of(np.arange(index.num_items))
        else:
            codes = SemanticIds.from_codes(semantic_ids).codes
        require(
            len(codes) == index.num_items,
            f"codes: found {len(codes)} items, expected {index.num_items} as in the index",
        )
        if self.catalog is not None:
            check_order(self.catalog, index)
        self.index = index
        self._item_ids = None if index.item_ids is None else index.ids_of(np.arange(len(codes)))
        self.decoder: Decoder = fused(
            Searcher(
                model=self.model, index=index.with_rows(),  # compiled programs take it as an argument
                codes=jax.device_put(np.asarray(codes, np.int32)),
                max_items=self._own_items, normalize=self._reads.normalize,
            ),
            self._dense_share,
            self._transitions,
            [one.decoder for one in self._channels],
            self._weights,
            self._fuse,
        )  # fmt: skip
        readers = [
            self._reads,
            *(
                capabilities_of(one.model)
                for one in self.decoder.searchers[1:]
                if one.model is not None
            ),
        ]
        self._time_buckets = joint("time_buckets", readers)
        self._user_buckets = joint("user_buckets", readers)
        self._placed = self._placement.put(self.decoder)
        self._engines: collections.OrderedDict[Any, Engine] = collections.OrderedDict()
        self._filters: dict[str, ItemFilter] = {}

    # Asking

    def recommend(
        self,
        history: Sequence[Any] = (),
        k: int = 10,
        *,
        where: Where = None,
        times: Sequence[int] | None = None,
        user: int | None = None,
        **options: Any,
    ) -> Recommendations:
        """Recommend items to one person.

        Args:
          history: ids or titles of what they took, oldest first; a part of a title is enough where
            it matches one item only. Empty for a new person.
          k: how many items.
          where: a condition that every answer meets, such as ``"in_stock and price < 100"``, or
            several that all hold.
          times: microseconds since 1970 of each event, for models that read them.
          user: row of the person in the training data, for models that read it.
          options: other arguments of :meth:`recommend_many`.

        Returns:
          The answers of one user: printing them shows a table.

        Raises:
          GenretError: an unknown item (the message gives similar ones), or a bad argument.
        """
        asked = Histories.from_lists(
            [self.positions_of(history)],
            times=None if times is None else [times],
            users=None if user is None else [user],
        )
        if where is not None and not isinstance(where, str | ItemFilter):
            where = all_of([self.item_filter(one) for one in where]) if len(where) else None
        return self.recommend_many(asked, k, where=where, **options)

    def recommend_many(
        self,
        histories: Histories | Iterable[Sequence[Any]],
        k: int = 10,
        *,
        beams: int | None = None,
        exact: bool = False,
        exclude_seen: bool = True,
        where: Where = None,
        where_of: Any = None,
        explore: ThompsonSampling | None = None,
        users_per_batch: int = 0,
        progress: Callable[[int], object] | None = None,
    ) -> Recommendations:
        """Recommend items to many users.

        The model sees the newest ``max_items`` items of a history; with ``exclude_seen`` no item of
        the whole history is answered.

        Args:
          histories: item positions, with times and users for models that read them; or lists of
            ids or titles.
          k: how many items each.
          beams: beams of the search, at least k; None: 50, or k where that is more.
          exact: score every item instead of searching with beams, in batches that fit the memory:
            for catalogs of some ten thousand items, and to see what the beams miss.
          exclude_seen: forbid the items of a user's own history.
          where: one condition or filter for all users, or several that ``where_of`` chooses from.
          where_of: int [U], the number of each user's filter; -1: every item is allowed.
          explore: rank the ``beams`` best items of a user by rates that it draws, which are the
            scores of the answers then; None: by the model alone.
          users_per_batch: users that are searched for at once; 0 chooses.
          progress: called with the number of users after each batch.

        Returns:
          The answers, in the order of the users.

        Raises:
          GenretError: fewer beams than k, an item out of range, a condition that cannot be used, or
            a number of users or filters that do not fit together.
        """
        if not isinstance(histories, Histories):
            histories = Histories.from_lists([self.positions_of(own) for own in histories])
        histories.check_items(self.num_items)
        beams = max(DEFAULT_BEAMS, k) if beams is None else beams
        require(k >= 1, f"k: found {k}, expected at least 1")
        require(exact or beams >= k, f"beams: found {beams}, expected at least k, {k}")
        filters, where_of, key = self._chosen_filters(where, where_of, len(histories))
        found = k
        if explore is not None:
            explore.check(self.num_items)
            found = max(beams, k)
        if exact:
            items, scores = score_all(
                self.decoder, histories, found,
                exclude_seen=exclude_seen,
                filters=filters_of(self.decoder, self.index, filters) if filters else None,
                filter_of=where_of,
                time_buckets=self._time_buckets,
                user_buckets=self._user_buckets,
                users_per_batch=users_per_batch,
                progress=progress,
            )  # fmt: skip
        else:
            search = self.search(
                found, beams, exclude_seen=exclude_seen, group_size=self._group(len(histories))
            )
            if not users_per_batch:
                users_per_batch = min(16 * search.group_size, max(len(histories), 1))
            engine = self._remembered_engine(search, filters, key, users_per_batch)
            items, scores = engine.answer(histories, where_of, progress=progress)
        if explore is not None:
            items, scores = explore.rank(items, scores, k)
        return Recommendations(
            items,
            scores,
            self._item_ids,
            None if self.catalog is None else self.catalog.titles,
        )

    def warm_up(self, k: int = 10, **options: Any) -> None:
        """Compile what :meth:`recommend` needs for one user, so that the first answer is quick.

        Args:
          k: how many items.
          options: other arguments of :meth:`recommend`.
        """
        self.recommend((), k, **options)

    # Its parts, for jobs that search by rules of their own

    def search(
        self,
        k: int,
        beams: int,
        *,
        exclude_seen: bool,
        group_size: int,
        widths: tuple[int, ...] = (),
    ) -> Search:
        """Return how this model is searched.

        Args:
          k: answers of a user.
          beams: beams of the search.
          exclude_seen: whether the items of a user's own history are excluded.
          group_size: users that are decoded together.
          widths: what histories are padded to; none: the longest that the model sees.
        """
        widest = max(self.index.codes_per_level)
        require(
            beams * widest < 2**31,
            f"beams: found {beams}, expected fewer than {2**31 // widest} where a level has {widest} "
            "codes",
        )
        return Search(
            k=k,
            beams=beams,
            exclude_seen=exclude_seen,
            group_size=group_size,
            widths=widths or (self.max_items,),
            time_buckets=self._time_buckets,
            user_buckets=self._user_buckets,
        )

    def engine(
        self,
        search: Search,
        filters: Sequence[ItemFilter] = (),
        *,
        users_per_batch: int = 0,
        compiling: Compiling | None = None,
    ) -> Engine:
        """Return an engine that searches by given rules.

        Args:
          search: how to search.
          filters: what the users choose from; to these comes one that allows every item.
          users_per_batch: users that go to the devices at once; 0 chooses by the memory.
          compiling: returns a context in which a program is compiled.
        """
        decoder = self._placed
        if filters:
            chosen = self._placement.copy(filters_of(self.decoder, self.index, filters))
            decoder = decoder.with_filters(chosen)
        return Engine(
            decoder, self._placement, search,
            users_per_batch=users_per_batch, compiling=compiling,
        )  # fmt: skip

    @property
    def default_group_size(self) -> int:
        """Users that are decoded together where there are many: 32 on a CPU, 512 elsewhere."""
        return 32 if self._placement.mesh.devices.flat[0].platform == "cpu" else 512

    def positions_of(self, items: Iterable[Any]) -> list[int]:
        """Return the positions of items given by id, or by title where there is a catalog.

        Raises:
          GenretError: an unknown item; the message gives similar ones.
        """
        if self.catalog is not None:
            return [self.catalog.find(str(item)) for item in items]
        names = list(items)
        try:
            return [int(position) for position in self.index.positions_of(names)] if names else []
        except GenretError as e:
            known = self.index.ids_of(np.arange(min(self.num_items, _SEARCHED_IDS))).tolist()
            unknown = next((name for name in names if name not in set(known)), None)
            close = []
            if isinstance(unknown, str):
                close = difflib.get_close_matches(unknown, map(str, known), 3)
            hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise GenretError(f"{e}{hint}") from None

    def _group(self, users: int) -> int:
        """Return how many users are decoded together: few sizes, so few programs."""
        largest = self.default_group_size
        return next((size for size in (1, 8) if users <= size < largest), largest)

    def item_filter(self, where: str | ItemFilter) -> ItemFilter:
        """Return a filter, made from its condition once."""
        if isinstance(where, ItemFilter):
            return where
        if where not in self._filters:
            require(
                self.catalog is not None, f"where: found {where!r} and no catalog to read it by"
            )
            assert self.catalog is not None
            self._filters[where] = filter_where(where, self.catalog, self.index)
        return self._filters[where]

    def _chosen_filters(
        self, where: Where, where_of: Any, users: int
    ) -> tuple[tuple[ItemFilter, ...], Int[np.ndarray, "U"] | None, Any]:
        """Return the filters, the number of each user's, and what to remember them by, if at all."""
        asked = () if where is None else (where,) if isinstance(where, str | ItemFilter) else where
        filters = tuple(self.item_filter(one) for one in asked)
        key = tuple(asked) if all(isinstance(one, str) for one in asked) else None
        if where_of is None:
            require(
                len(filters) <= 1,
                f"where_of: left out, expected one number a user for {len(filters)} filters",
            )
            return filters, None, key
        numbers = np.asarray(where_of)
        require(bool(filters), "where_of: found, but no where")
        require(
            numbers.shape == (users,) and (numbers.dtype.kind in "iu" or not users),
            f"where_of: found {numbers.dtype} {numbers.shape}, expected {users} integers",
        )
        outside = (numbers < -1) | (numbers >= len(filters))
        require(
            not outside.any(),
            f"where_of: found {numbers[outside][:1]}, expected -1 to {len(filters) - 1}",
        )
        return filters, numbers.astype(np.int32), key

    def _remembered_engine(
        self, search: Search, filters: tuple[ItemFilter, ...], key: Any, users_per_batch: int
    ) -> Engine:
        """Return the engine of a way of searching; filters that have no name are not remembered."""
        if key is None:
            return self.engine(search, filters, users_per_batch=users_per_batch)
        name = (search, key, users_per_batch)
        if name not in self._engines:
            self._engines[name] = self.engine(search, filters, users_per_batch=users_per_batch)
            if len(self._engines) > _ENGINES:
                self._engines.popitem(last=False)
        self._engines.move_to_end(name)
        return self._engines[name]
