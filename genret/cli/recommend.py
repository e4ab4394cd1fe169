"""``genret recommend``: the next items for a history given on the command line."""

import dataclasses
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.tables import show_ranked
from genret.config import require


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recommend(Verb):
    """Recommend items to a person with a given history.

    Example: genret recommend runs/movielens --history "Toy Story (1995)" "Star Wars" 50 --k 5
    """

    computes: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run, with its model."""
    history: tuple[str, ...] = ()
    """Item ids, titles, or parts of titles that match a single item, oldest first; none for a new user."""
    ground: bool = False
    """Take what is no id or title of an item as text, for the item whose text is nearest to it."""
    user: str | None = None
    """Use the history of this user of the run instead."""
    k: int = 10
    """How many items."""
    beams: int = 50
    """Beams of the search; at least k."""
    exact: bool = False
    """Score every item instead of using beam search; for catalogs of up to some ten thousand items."""
    include_seen: bool = False
    """Allow items of the history to be recommended again."""
    where: str | None = None
    """Recommend only items that meet a condition, such as "price < 20 and category == 'Phones'"."""
    explore: float = 0.0
    """Rank the items of the beams by Thompson sampling, the model's word being worth so many people; 0:
    by the model alone."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Recommend; return the history and the ranked items."""
        import numpy as np

        from genret.data import load_run_data
        from genret.histories import Histories
        from genret.recommend import Grounding, Recommender, ThompsonSampling, known_histories

        require(self.user is None or not self.history, "found --history and --user, expected one")
        explore = ThompsonSampling(strength=self.explore, seed=self.seed) if self.explore else None
        shop = Recommender.load(self.run_folder)
        meant: dict[str, tuple[int, float]] = {}
        if self.ground:
            ground = Grounding.load(self.run_folder, shop.catalog)
            positions, meant = ground.positions_of(self.history)
        else:
            positions = shop.positions_of(self.history)
        asked = Histories.from_lists([positions])
        if self.user is not None:
            trained, users = load_run_data(self.run_folder)
            whole = users.whole([users.row_of(self.user)])
            assert shop.catalog is not None
            asked = known_histories(whole, trained, shop.catalog)
        found = shop.recommend_many(
            asked, self.k, beams=self.beams, exact=self.exact,
            exclude_seen=not self.include_seen, where=self.where, explore=explore,
        )  # fmt: skip
        history, ranked = found.named(asked.items), found[0]
        grounded = {
            text: found.named(np.array([item]))[0] | {"cosine": cosine}
            for text, (item, cosine) in meant.items()
        }
        for text, one in grounded.items():
            reporter.say(
                f"{text!r} is taken for {one['title']!r} (id {one['item_id']}, cosine "
                f"{one['cosine']:.2f})"
            )
        show_ranked(reporter, history, ranked, self.k)
        answer = {"history": history, "recommendations": [one.to_dict() for one in ranked]}
        return answer | ({"grounded": grounded} if self.ground else {})
