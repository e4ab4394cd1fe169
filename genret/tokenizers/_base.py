"""What every tokenizer can do."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import scipy.sparse as sp
from numpy.typing import ArrayLike

from genret.config import TokenizeConfig
from genret.semantic_ids import SemanticIds
from genret.typing import PathLike, Vectors


@runtime_checkable
class Tokenizer(Protocol):
    """Turns item vectors into codes with frozen parameters, and back.

    Attributes:
      codes_per_level: codes of each level, before a collision suffix.
    """

    codes_per_level: tuple[int, ...]

    @classmethod
    def fit(
        cls,
        vectors: ArrayLike,
        config: TokenizeConfig,
        seed: int,
        advance: Callable[[], None] = lambda: None,
        pairs: sp.csr_matrix | None = None,
    ) -> "Tokenizer":
        """Learn the parameters from the vectors [N, D] of a catalog.

        ``advance`` is called after each of the ``config.levels`` parts of the work. ``pairs`` counts
        which items occur together in training histories, [N, N]; what has no use for it ignores it.
        """
        ...

    def encode(self, vectors: ArrayLike) -> SemanticIds:
        """Return the semantic IDs of vectors [N, D].

        The codes are int32 [N, L]. They depend on each vector alone, not on the others of the call.
        """
        ...

    def decode(self, codes: ArrayLike) -> Vectors:
        """Return what codes [N, l], l ≤ L, say about the vectors: float32 [N, D]."""
        ...

    def save(self, folder: PathLike) -> None:
        """Write the parameters into a folder."""
        ...

    @classmethod
    def load(cls, folder: PathLike) -> "Tokenizer":
        """Read what :meth:`save` wrote."""
        ...

    def report(self, vectors: ArrayLike) -> dict[str, Any]:
        """Return the figures of :func:`code_report` for the codes of some vectors."""
        ...
