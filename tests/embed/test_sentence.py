"""The adapter of sentence-transformers, with a double in the library's place."""

import sys
import types
from typing import Any

import numpy as np
import pytest

from genret.embed import sentence_vectors
from genret.errors import GenretError


class Double:
    """Stands in for ``SentenceTransformer``."""

    def __init__(self, name: str) -> None:
        if name == "none":
            raise OSError("no such model\nand a long explanation")
        self.name = name

    def encode(self, texts: list[str], **options: Any) -> np.ndarray:
        assert options["normalize_embeddings"]
        assert options["convert_to_numpy"]
        value = np.nan if self.name == "nan" else 1.0
        return np.array([[value, len(text)] for text in texts], np.float32)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = Double  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)


@pytest.mark.usefixtures("library")
def test_vectors_come_in_order() -> None:
    assert sentence_vectors(["a", "abc"], "model").tolist() == [[1, 1], [1, 3]]


@pytest.mark.usefixtures("library")
def test_bad_models_are_one_line() -> None:
    with pytest.raises(GenretError, match=r"'none': cannot be loaded: no such model$"):
        sentence_vectors(["a"], "none")
    with pytest.raises(GenretError, match="sentence model 'nan': row 0 holds nan"):
        sentence_vectors(["a"], "nan")


def test_the_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(GenretError, match=r"pip install 'genret\[sentence\]'"):
        sentence_vectors(["a"], "model")
