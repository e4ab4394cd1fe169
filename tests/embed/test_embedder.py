"""The embedder on disk: what is damaged is refused by name, what was brought is not guessed."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from genret.embed import Embedder, TextEmbedder, Whitening, load_embedder, save_vectors
from genret.errors import GenretError

TEXTS = ["Red wool socks", "Blue wool socks", "Garden hose", "Espresso machine"]


def embedder() -> Embedder:
    vectors = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    return Embedder(
        width=5, text_columns=("title",), text=TextEmbedder.fit(TEXTS, 3, pieces=64, seed=0)[0],
        text_weight=2.0, cooccurrence_dim=2, cooccurrence_weight=0.5,
        whitening=Whitening.fit(vectors, 0.5),
    )  # fmt: skip


def test_loading_gives_what_was_saved(tmp_path: Path) -> None:
    made = embedder()
    save_vectors(tmp_path / "vectors", np.ones((4, 5)), embedder=made)
    again = load_embedder(tmp_path / "vectors")
    assert again.embed(TEXTS).tobytes() == made.embed(TEXTS).tobytes()
    assert (again.text_columns, again.cooccurrence_dim) == (("title",), 2)
    assert again.reads_text
    assert not again.takes_vectors


@pytest.mark.parametrize(
    ("file", "contents", "message"),
    [
        ("embedder.json", b"[]", "damaged: expected the fields"),
        ("embedder.json", b'{"width": 5}', "damaged: expected the fields"),
        ("embedder.safetensors", b"", "missing or damaged"),
    ],
)
def test_damage_is_named(tmp_path: Path, file: str, contents: bytes, message: str) -> None:
    embedder().save(tmp_path)
    (tmp_path / file).write_bytes(contents)
    with pytest.raises(GenretError, match=f"{file}: {message}"):
        Embedder.load(tmp_path)


def test_arrays_of_another_shape_are_refused(tmp_path: Path) -> None:
    embedder().save(tmp_path)
    save_file({"rarity": np.ones(3, np.float32)}, tmp_path / "embedder.safetensors")
    with pytest.raises(GenretError, match=r"embedder\.safetensors: found arrays"):
        Embedder.load(tmp_path)
    header = json.loads((tmp_path / "embedder.json").read_text()) | {"width": "wide"}
    (tmp_path / "embedder.json").write_text(json.dumps(header))
    with pytest.raises(GenretError, match="width: found 'wide'"):
        Embedder.load(tmp_path)


def test_vectors_that_were_brought_are_asked_for(tmp_path: Path) -> None:
    save_vectors(tmp_path / "vectors", np.ones((2, 3)), embedder=Embedder(width=3))
    brought = load_embedder(tmp_path / "vectors")
    assert brought.takes_vectors
    with pytest.raises(GenretError, match="not made of texts"):
        brought.embed(["new"])
    with pytest.raises(GenretError, match="found a width of 4, expected 3"):
        brought.finish(np.ones((1, 4), np.float32))
    save_vectors(tmp_path / "older", np.ones((2, 3)))
    with pytest.raises(GenretError, match="written without its embedder"):
        load_embedder(tmp_path / "older")
