"""Grounding: the nearest items by cosine, as a loop over all pairs finds them; only unknown names are texts."""

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from genret.data import Catalog
from genret.embed import Embedder, TextEmbedder
from genret.errors import GenretError
from genret.recommend import Grounding

TITLES = [
    "Red wool socks", "Blue wool socks", "Garden hose", "Long garden hose", "Desk lamp",
    "Calm desk lamp", "Steel kettle", "Kettle of steel", "Socks", "Red kettle",
]  # fmt: skip
USES = ["feet", "feet", "watering", "watering", "light", "light", "tea", "tea", "feet", "tea"]
CATALOG = Catalog(
    pa.table({"item_id": [f"sku-{n}" for n in range(len(TITLES))], "title": TITLES, "use": USES})
)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    text, _ = TextEmbedder.fit(CATALOG.text(), 6, pieces=80, seed=0)
    return Embedder(width=9, text_columns=("title", "use"), text=text, cooccurrence_dim=3)


@pytest.fixture(scope="module")
def ground(embedder: Embedder) -> Grounding:
    return Grounding.of(CATALOG, embedder)


def slowly(ground: Grounding, text: str, k: int, allowed: list[bool]) -> list[tuple[int, float]]:
    """Compare a text with one item after another."""
    (asked,) = ground.embedder.text_part([text])
    found = []
    for item, both in enumerate(zip(CATALOG.titles, CATALOG.text(), strict=True)):
        if allowed[item]:
            vectors = ground.embedder.text_part(both)
            length = np.linalg.norm(asked) * np.linalg.norm(vectors, axis=1)
            found.append((-float((vectors @ asked / length).max()), item))
    return [(item, -far) for far, item in sorted(found)[:k]]


@hypothesis.given(
    words=st.lists(st.sampled_from(" ".join(TITLES + USES).split()), min_size=1, max_size=5),
    k=st.integers(1, len(TITLES)),
    allowed=st.lists(st.booleans(), min_size=len(TITLES), max_size=len(TITLES)),
)
def test_the_nearest_items_are_those_of_a_loop(ground, words, k, allowed) -> None:
    text = " ".join(words)
    items, cosines = ground.nearest([text], k, allowed=np.array(allowed))
    expected = slowly(ground, text, k, allowed)
    kept = int((items[0] >= 0).sum())
    assert kept == len(expected) == min(k, sum(allowed))
    np.testing.assert_allclose(cosines[0, :kept], [near for _, near in expected], atol=1e-5)
    near = dict(slowly(ground, text, len(TITLES), allowed))
    # Equally near items may change places by rounding alone.
    np.testing.assert_allclose(
        [near[i] for i in items[0, :kept].tolist()], cosines[0, :kept], atol=1e-5
    )
    assert np.isneginf(cosines[0, kept:]).all()


def test_many_texts_are_compared_in_parts(ground: Grounding) -> None:
    texts = TITLES * 60
    items, cosines = ground.nearest(texts, 3)
    first, near = ground.nearest(TITLES, 3)
    np.testing.assert_array_equal(items, np.tile(first, (60, 1)))
    np.testing.assert_array_equal(first[:, 0], np.arange(len(TITLES)))
    np.testing.assert_allclose(cosines, np.tile(near, (60, 1)), atol=1e-5)
    np.testing.assert_allclose(near[:, 0], 1, atol=1e-5)


def test_other_texts_than_titles_are_read_too(ground: Grounding) -> None:
    items, _ = ground.nearest(["watering"], 2)
    assert set(items[0].tolist()) == {2, 3}


def test_names_of_items_stay_and_texts_are_grounded(ground: Grounding) -> None:
    names = ["sku-6", "Desk lamp", "a long hose for the garden", "garden HOSE", "sku-6"]
    positions, meant = ground.positions_of(names)
    assert positions[:2] + positions[3:] == [6, 4, 2, 6]
    ((text, (item, cosine)),) = meant.items()
    assert (text, item) == ("a long hose for the garden", positions[2])
    assert 0.5 < cosine <= 1
    assert positions[2] in (2, 3)
    assert ground.positions_of([]) == ([], {})


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda g: g.nearest(["東京"]), "'東京': found nothing that the items' texts have"),
        (lambda g: g.nearest([""]), "'': found nothing"),
        (lambda g: g.nearest(["lamp"], 0), "k: found 0, expected 1 to 10"),
        (lambda g: g.nearest(["lamp"], 11), "k: found 11"),
        (lambda g: g.nearest(["lamp"], allowed=np.ones(3, bool)), r"allowed: found \(3,\)"),
        (lambda g: Grounding.of(CATALOG, Embedder(width=4)), "not made of texts"),
    ],
)
def test_bad_arguments_are_named(ground: Grounding, ask, said: str) -> None:
    with pytest.raises(GenretError, match=said):
        ask(ground)
