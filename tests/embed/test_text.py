"""Text vectors: similar texts are close, strange texts are no accident."""

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.embed import TextEmbedder, text_vectors
from genret.embed._text import _count_pieces, _weigh
from genret.errors import GenretError

TEXTS = [
    "Red wool socks for winter", "Blue wool socks for winter", "Green cotton socks",
    "Garden hose, 10 m", "Garden hose, 25 m", "Brass garden tap",
    "Espresso machine, steel", "Espresso cups, set of six", "Coffee grinder, steel",
]  # fmt: skip


def test_similar_texts_are_close() -> None:
    vectors, _ = text_vectors(TEXTS, dim=6, pieces=300, seed=0)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    similar = vectors @ vectors.T
    for a, b, other in [(0, 1, 3), (3, 4, 6), (6, 8, 0)]:
        assert similar[a, b] > similar[a, other] + 0.1


def test_equal_seeds_give_equal_bytes() -> None:
    first, second = (text_vectors(TEXTS, dim=6, pieces=600, seed=5) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1] == second[1]


def test_the_model_reads_new_texts() -> None:
    _, model = text_vectors(TEXTS, dim=2, pieces=600, seed=0)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert processor.decode(processor.encode("garden hose ☃")) == "garden hose ☃"


def test_case_and_compatibility_forms_are_folded() -> None:
    # The first word is in full-width letters.
    texts = ["\uff21\uff2c\uff29\uff25\uff2e the film", "alien THE FILM", "another film"]
    vectors, _ = text_vectors(texts, dim=3, pieces=600, seed=0)
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_empty_texts_give_zero_rows() -> None:
    vectors, _ = text_vectors(["alpha beta", "", " \n\t\0", "beta"], dim=8, pieces=64, seed=0)
    assert vectors.shape == (4, 8)
    assert (np.linalg.norm(vectors, axis=1) > 0).tolist() == [True, False, False, True]
    with pytest.raises(GenretError, match="every text is empty"):
        text_vectors(["", " "], dim=8, pieces=64, seed=0)
    with pytest.raises(GenretError, match="every text is empty"):
        text_vectors([], dim=8, pieces=64, seed=0)


def test_one_item_and_equal_items() -> None:
    one, _ = text_vectors(["Solaris"], dim=4, pieces=64, seed=0)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)
    same, _ = text_vectors(["Solaris"] * 5, dim=4, pieces=64, seed=0)
    np.testing.assert_allclose(same @ same.T, 1, atol=1e-5)


def test_bad_unicode_names_its_row() -> None:
    with pytest.raises(GenretError, match="row 1 is not valid Unicode"):
        text_vectors(["fine", "\ud800"], dim=2, pieces=64, seed=0)


def test_too_few_pieces_is_one_line() -> None:
    letters = "".join(map(chr, range(0x4E00, 0x4E00 + 200)))
    with pytest.raises(GenretError, match="pieces: found 16, sentencepiece cannot train") as error:
        text_vectors([letters], dim=2, pieces=16, seed=0)
    assert "\n" not in str(error.value)


def test_long_texts_count_whole() -> None:
    """The training of the pieces cuts long texts, the bag of pieces does not."""
    texts = ["filler " * 2000 + "zebra", "filler " * 2000, "zebra crossing"]
    vectors, _ = text_vectors(texts, dim=3, pieces=64, seed=0)
    similar = vectors @ vectors.T
    assert similar[0, 2] > similar[1, 2] + 0.01


def test_weights_equal_their_formula() -> None:
    _, model = text_vectors(TEXTS, dim=2, pieces=300, seed=0)
    counts = _count_pieces([*TEXTS, ""], model)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    dense = np.zeros(counts.shape)
    for row, text in enumerate(TEXTS):
        for piece in processor.encode(text):
            dense[row, piece] += 1
    np.testing.assert_array_equal(counts.toarray(), dense)
    frequency = (dense > 0).sum(axis=0)
    expected = np.log(1 + dense) * np.log(1 + len(dense) / np.maximum(frequency, 1))[None, :]
    norms = np.linalg.norm(expected, axis=1, keepdims=True)
    expected = np.divide(expected, norms, out=np.zeros_like(expected), where=norms > 0)
    rarity = np.log(1 + len(dense) / np.maximum(frequency, 1)).astype(np.float32)
    np.testing.assert_allclose(_weigh(counts, rarity).toarray(), expected, atol=1e-6)


def test_a_vector_depends_on_its_own_text_alone() -> None:
    embedder, learned = TextEmbedder.fit(TEXTS, dim=6, pieces=300, seed=0)
    whole = embedder.embed(TEXTS)
    np.testing.assert_allclose(whole, learned, atol=1e-6)
    parts = [embedder.embed([text])[0] for text in TEXTS]
    np.testing.assert_array_equal(whole, parts)
    new = embedder.embed(["Purple wool socks for winter", ""])
    assert new[0] @ whole[0] > 0.9 > new[0] @ whole[3]
    assert not new[1].any()
    assert embedder.embed([]).shape == (0, 6)


@settings(max_examples=25)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=8))
def test_any_unicode_gives_finite_unit_or_zero_rows(texts: list[str]) -> None:
    try:
        vectors, _ = text_vectors([*texts, "anchor"], dim=4, pieces=600, seed=0)
    except GenretError as e:
        assert "pieces" in str(e)  # noqa: PT017 (the other outcome is checked below)
        return
    norms = np.linalg.norm(vectors, axis=1)
    assert np.isfinite(vectors).all()
    assert (np.isclose(norms, 1, atol=1e-4) | (norms == 0)).all()
