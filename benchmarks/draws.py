"""Code sets that are shipped or made by our tokenizer; and the floor of every search."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from genret.config import TokenizeConfig
from genret.data import read_semantic_ids
from genret.errors import GenretError
from genret.json_files import read_json
from genret.testing import GivenLogits
from genret.tokenizers import RQKMeans
from genret.typing import Array, Codes, Int


@jax.jit
def floor(model: GivenLogits, history: Int[Array, "B"]) -> list[Array]:
    """Compute the logsumexps of all logits and nothing else: what normalizing costs at least.

    In two passes over the logits and without a copy; ``jax.nn.logsumexp`` takes longer.
    """
    found = []
    for logits in (model.first[history][:, None], *model.later):
        largest = logits.max(axis=-1)
        found.append(jnp.log(jnp.exp(logits - largest[..., None]).sum(axis=-1)) + largest)
    return found


def real_codes(data: Path | None, name: str) -> Codes:
    """Read the semantic IDs of a folder with index.json (LC-Rec's form), int32 [N, L]."""
    if data is None:
        raise GenretError(f"data: found none, expected --data FOLDER with {name}/index.json")
    path = data / name / "index.json"
    return read_semantic_ids(path, read_json(path)).codes


def tokenized_codes(num_items: int, *, levels: int = 4, codebook: int = 256) -> Codes:
    """Tokenize made-up vectors by residual k-means, int32 [N, L].

    The vectors have topics of very different sizes, each with sub-topics: codes as skewed, and as
    dependent on those before them, as those of real items.
    """
    rng = np.random.default_rng(0)
    width, topics = 32, 400
    centers = rng.normal(0, 1, (topics, width)).astype(np.float32)
    of_topic = rng.normal(0, 0.4, (topics, 30, width)).astype(np.float32)

    def draw(count: int) -> np.ndarray:
        topic = np.minimum(topics ** rng.random(count), topics).astype(np.int64) - 1
        part = np.minimum(30 ** rng.random(count), 30).astype(np.int64) - 1
        noise = rng.normal(0, 0.2, (count, width)).astype(np.float32)
        return centers[topic] + of_topic[topic, part] + noise

    config = TokenizeConfig(levels=levels, codebook_size=codebook, iterations=10)
    tokenizer = RQKMeans.fit(draw(min(num_items, 50_000)), config, seed=0)
    pieces = [min(100_000, num_items - begin) for begin in range(0, num_items, 100_000)]
    return np.concatenate([tokenizer.encode(draw(count)).codes for count in pieces])
