"""Scorer: what a job computes, on an engine that is loaded once."""

from collections.abc import Callable, Mapping

import jax
import numpy as np
import pyarrow as pa

from genret.config import EngineConfig, ScoreConfig, require
from genret.data import load_user_ids
from genret.histories import Histories
from genret.index import ItemFilter
from genret.recommend import Answers, Compiling, Recommender, widths_of
from genret.typing import Int, PathLike


class Scorer:
    """Answers the users of a job.

    A history is padded to one of the job's widths and decoded in groups of ``config.decode_batch``
    users, so what a user is answered does not depend on who else is scored, nor on
    ``users_per_batch``, nor on the number of devices, but for the last bits of scores between one
    device and several.

    Args:
      recommender: the model, the index and the catalog.
      config: what is computed.
      filters: the allowed items by the filter's name, in order.
      users_per_batch: users that go to the devices at once; 0 chooses by the memory.
      compiling: returns a context in which a program is compiled; None: none is needed.
      user_ids: ids of the users that the model was trained on, text, by row; for models that learned
        something about each.

    >>> from genret.models import build_model
    >>> from genret.config import ItemDecoderConfig
    >>> from genret.index import TrieIndex
    >>> shape = ItemDecoderConfig(codes_per_level=(4, 4), width=16, heads=2, kv_heads=2, head_dim=8)
    >>> shop = Recommender(build_model(shape, 0), TrieIndex.from_codes([[0, 1], [2, 3], [0, 2]]))
    >>> scorer = Scorer(shop, ScoreConfig(k=2, beams=4, exclude_seen=True, decode_batch=2))
    >>> answers = scorer.score(Histories.from_lists([[0, 2], []]))
    >>> answers.items[0].tolist(), len(scorer.programs)
    ([1, -1], 1)
    """

    def __init__(
        self,
        recommender: Recommender,
        config: ScoreConfig,
        filters: Mapping[str, ItemFilter] | None = None,
        *,
        users_per_batch: int = 0,
        compiling: Compiling | None = None,
        user_ids: pa.Array | None = None,
    ) -> None:
        filters = filters or {}
        self.config = config
        self.recommender = recommender
        self.catalog = recommender.catalog
        self.user_ids = user_ids
        self.filter_names = tuple(filters)
        longest = recommender.max_items
        search = recommender.search(
            config.k,
            config.beams,
            exclude_seen=config.exclude_seen,
            group_size=config.decode_batch or recommender.default_group_size,
            widths=(longest,) if config.history_widths == "one" else widths_of(longest),
        )
        self.engine = recommender.engine(
            search, list(filters.values()), users_per_batch=users_per_batch, compiling=compiling
        )

    @classmethod
    def load(
        cls,
        run: PathLike,
        config: ScoreConfig,
        engine: EngineConfig,
        compiling: Compiling | None = None,
    ) -> "Scorer":
        """Load a run.

        Args:
          run: the run folder, with ``catalog/``, ``codes/``, ``index/`` and ``model/``.
          config: what is computed.
          engine: the devices and the size of a batch.
          compiling: returns a context in which a program is compiled; None: none is needed.

        Raises:
          GenretError: an artifact is missing, stale or damaged, a filter that cannot be used, or
            devices that ``model_parallel`` does not divide.
        """
        recommender = Recommender.load(
            run,
            dtype=config.dtype,
            devices=devices_of(config, engine),
            model_parallel=config.model_parallel,
        )
        filters = {
            name: recommender.item_filter(condition) for name, condition in config.named_filters()
        }
        return cls(
            recommender, config, filters,
            users_per_batch=engine.users_per_batch, compiling=compiling,
            user_ids=load_user_ids(run) if recommender.reads_users else None,
        )  # fmt: skip

    @property
    def needs_times(self) -> bool:
        """Whether the model reads the time between events."""
        return self.recommender.reads_times

    @property
    def item_ids(self) -> pa.Array:
        """The ids of the catalog, by row."""
        require(self.catalog is not None, "scorer: found no catalog, expected that of a run")
        assert self.catalog is not None
        column = self.catalog.table["item_id"].combine_chunks()
        return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column

    @property
    def group_size(self) -> int:
        """Users that are decoded together, after looking at the memory."""
        return self.engine.group_size

    @property
    def users_per_batch(self) -> int:
        """Users that go to the devices at once; 0 until the memory was looked at."""
        return self.engine.users_per_batch

    @property
    def programs(self) -> dict[tuple[int, int], float]:
        """Seconds that each program took to compile, by its widths."""
        return self.engine.programs

    @property
    def positions(self) -> int:
        """Positions of histories that were computed."""
        return self.engine.positions

    @property
    def padding(self) -> int:
        """How many of these positions were padding."""
        return self.engine.padding

    def score(
        self,
        histories: Histories,
        filter_of: Int[np.ndarray, "U"] | None = None,
        *,
        progress: Callable[[int], object] | None = None,
    ) -> Answers:
        """Answer users.

        Args:
          histories: their histories.
          filter_of: the number of each user's filter, -1: every item is allowed; None: filter 0,
            where there is one.
          progress: called with the number of users after each batch.

        Returns:
          The lists, in the order of the users.
        """
        return self.engine.answer(histories, filter_of, progress=progress)


def devices_of(config: ScoreConfig, engine: EngineConfig) -> list[jax.Device]:
    """Return the devices of a scorer."""
    local = jax.local_devices()
    return local if engine.all_devices else local[: config.model_parallel]
