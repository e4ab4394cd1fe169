"""What the engines ask of a model before they use it, for models of genret and of users."""

import dataclasses
from typing import Any, Literal


@dataclasses.dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a model reads, and how it is to be trained and searched.

    The defaults hold for a model that says nothing: it reads the codes of items and nothing else.

    Attributes:
      max_items: longest history that it was made for; None: any.
      reads_items: it reads the rows of items beside their codes.
      time_buckets: buckets of the times between items that it reads; 0: it reads none.
      user_buckets: buckets of users that it reads; 0: it reads none.
      normalize: codes over which a search normalizes its log-probabilities.
      one_target_a_row: a row of a training batch holds one history whose last item is the only
        target; otherwise every item of a row is a target.
      dense_share: weight of its dense head in a ranking that fuses both of its heads; None: it has
        no such head.
      scores_codes: the codes of an item are independent of each other, and a search scores every
        item by the sum of its codes instead of spelling them.
    """

    max_items: int | None = None
    reads_items: bool = False
    time_buckets: int = 0
    user_buckets: int = 0
    normalize: Literal["level", "catalog", "legal"] = "level"
    one_target_a_row: bool = False
    dense_share: float | None = None
    scores_codes: bool = False

    @property
    def reads_side(self) -> bool:
        """Whether it reads more of a history than the codes of its items."""
        return self.reads_items or self.time_buckets > 0 or self.user_buckets > 0


def capabilities_of(model: Any) -> Capabilities:
    """Return the ``capabilities`` of a model, or the defaults for a model that has none.

    >>> capabilities_of(object()).reads_side
    False
    """
    found = getattr(model, "capabilities", None)
    return found if isinstance(found, Capabilities) else Capabilities()
