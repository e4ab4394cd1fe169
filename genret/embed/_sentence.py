"""Vectors of item texts from a sentence-transformers model: the one file that imports it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from genret.checks import check_vectors
from genret.errors import GenretError
from genret.typing import Float


def sentence_vectors(
    texts: Sequence[str], model: str, *, batch_size: int = 128
) -> Float[np.ndarray, "N D"]:
    """Read item texts with a sentence-transformers model.

    Args:
      texts: one text an item.
      model: name on the Hugging Face hub, or a local folder.
      batch_size: texts read together.

    Returns:
      Unit rows, float32 [N, D] with the model's D.

    Raises:
      GenretError: the library is not installed, the model cannot be loaded, or it gives NaN.
    """
    encoder = _load(model)
    vectors = encoder.encode(
        list(texts),
        batch_size=batch_size,
        show_progress_bar=False,
        convert_to_numpy=True,
        normalize_embeddings=True,
    )
    return check_vectors(vectors, f"vectors of the sentence model {model!r}")


def _load(model: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as e:
        raise GenretError(
            "sentence models need sentence-transformers; install it with: pip install 'genret[sentence]'"
        ) from e
    try:
        return SentenceTransformer(model)
    except (OSError, ValueError) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise GenretError(f"sentence model {model!r}: cannot be loaded: {reason}") from e
