"""Grounding: the items that free texts mean, by the vectors of the items' texts."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from genret.artifacts import Run
from genret.config import require
from genret.data import Catalog
from genret.embed import Embedder, load_embedder
from genret.errors import GenretError
from genret.recommend._live import LiveItems
from genret.typing import Bool, Float, Int, PathLike, Vectors

_TEXTS = 256
"""Texts that are compared with all items at once."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Grounding:
    r"""Finds the items of a catalog whose texts are nearest to free ones.

    What people type, and what a language model writes, is often no title of the catalog. The item that is
    meant is the one with the largest cosine between the vector of the free text and that of its title, or
    of all its text. These are made by the embedder of the run from texts alone, as a free text has no
    history.

    Items that were removed from a run are among them until ``genret compact`` forgets them, as histories
    may hold them; ``allowed`` leaves them out.

    Source: Bao et al., A Bi-Step Grounding Paradigm for Large Language Models in Recommendation Systems,
    2023.

    Attributes:
      catalog: the items.
      embedder: what makes vectors of texts.
      titles: vectors of the items' titles, of unit length, float32 [N, D].
      texts: vectors of all that the embedder reads of the items, likewise.

    >>> from genret.embed import TextEmbedder
    >>> import pyarrow as pa
    >>> titles = ["Red wool socks", "Blue wool socks", "Garden hose", "Long garden hose"]
    >>> catalog = Catalog(pa.table({"item_id": ["a", "b", "c", "d"], "title": titles}))
    >>> text, _ = TextEmbedder.fit(catalog.text(), 4, pieces=64, seed=0)
    >>> embedder = Embedder(width=4, text_columns=("title",), text=text)
    >>> ground = Grounding.of(catalog, embedder)
    >>> items, _ = ground.nearest(["a hose for my garden"], k=2)
    >>> sorted(catalog.item_ids[item] for item in items[0])
    ['c', 'd']
    """

    catalog: Catalog
    embedder: Embedder
    titles: Vectors
    texts: Vectors

    @classmethod
    def of(cls, catalog: Catalog, embedder: Embedder) -> "Grounding":
        """Make the vectors of a catalog's texts.

        Raises:
          GenretError: an embedder that reads no texts.
        """
        return cls(
            catalog=catalog,
            embedder=embedder,
            titles=_directions(embedder, catalog.titles),
            texts=_directions(embedder, catalog.text(embedder.text_columns)),
        )

    @classmethod
    def load(cls, run: PathLike, catalog: Catalog | None = None) -> "Grounding":
        """Ground in the items that a run has now.

        Args:
          run: the run folder, with ``vectors/``.
          catalog: its items; None loads them.

        Raises:
          GenretError: a missing, stale or damaged artifact, or vectors that were not made of texts.
        """
        opened = Run.open(run)
        opened.require("vectors")
        embedder = load_embedder(opened.folder("vectors"))
        found = LiveItems.load(opened).catalog if catalog is None else catalog
        return cls.of(found, embedder)

    def nearest(
        self, texts: Sequence[str], k: int = 1, *, allowed: Bool[np.ndarray, "N"] | None = None
    ) -> tuple[Int[np.ndarray, "T k"], Float[np.ndarray, "T k"]]:
        """Return the nearest items of texts.

        Args:
          texts: T free texts.
          k: how many items, at most as many as there are.
          allowed: which items may be answered; None: all.

        Returns:
          Item positions, the nearest first, int64 [T, k], and the cosines, float32 [T, k]: -1 and -inf
          where fewer items are allowed. Of equally near items the first ones come first.

        Raises:
          GenretError: a k that is out of range, or a text of which the embedder knows no piece.
        """
        items = len(self.titles)
        require(1 <= k <= items, f"k: found {k}, expected 1 to {items}, the number of items")
        require(
            allowed is None or allowed.shape == (items,),
            f"allowed: found {None if allowed is None else allowed.shape}, expected ({items},)",
        )
        asked = _directions(self.embedder, texts)
        of_text = self.embedder.text
        knows = [True] * len(texts) if of_text is None else of_text.knows(texts)
        for text, known in zip(texts, knows, strict=True):
            require(
                known,
                f"{text!r}: found nothing that the items' texts have too, expected words of theirs",
            )
        found = np.empty((len(texts), k), np.int64)
        cosines = np.empty((len(texts), k), np.float32)
        for first in range(0, len(texts), _TEXTS):
            part = slice(first, first + _TEXTS)
            near = np.maximum(asked[part] @ self.titles.T, asked[part] @ self.texts.T)
            if allowed is not None:
                near[:, ~allowed] = -np.inf
            order = np.argsort(-near, axis=1, kind="stable")[:, :k]
            cosines[part] = np.take_along_axis(near, order, 1)
            found[part] = np.where(np.isneginf(cosines[part]), -1, order)
        return found, cosines

    def positions_of(self, names: Iterable[str]) -> tuple[list[int], dict[str, tuple[int, float]]]:
        """Return the positions of items by id or title, and else of those that are meant.

        Args:
          names: ids, titles, parts of titles that fit one item, or free texts.

        Returns:
          A position for each name; and the names that no item has, each with the position of the
          nearest item and the cosine to it.

        Raises:
          GenretError: a text of which the embedder knows no piece.
        """
        asked = [str(name) for name in names]
        known: dict[str, int] = {}
        for name in asked:
            try:
                known[name] = self.catalog.find(name)
            except GenretError:
                continue  # no name of one item: a text
        texts = list(dict.fromkeys(name for name in asked if name not in known))
        meant: dict[str, tuple[int, float]] = {}
        if texts:
            items, cosines = (found[:, 0].tolist() for found in self.nearest(texts))
            meant = dict(zip(texts, zip(items, cosines, strict=True), strict=True))
            known |= {text: item for text, (item, _) in meant.items()}
        return [known[name] for name in asked], meant


def _directions(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Return the parts of vectors that texts make, of unit length; zero for a text that says nothing."""
    vectors = embedder.text_part(texts).astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = vectors / np.where(lengths > 0, lengths, 1)
    return unit
