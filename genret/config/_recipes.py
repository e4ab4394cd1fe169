"""Recipes: frozen architectures and optimizations whose figures are known."""

import dataclasses
import difflib

from genret.config._base import require
from genret.config._train import TrainConfig
from genret.config.models import ItemDecoderConfig, ModelConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """An architecture and an optimization that belong together."""

    model: ModelConfig
    """The architecture; what the data say (codes, items) is filled when it is used."""
    train: TrainConfig
    """The optimization."""


_OFFICE_ITEMS = ItemDecoderConfig(
    width=64,
    code_width=64,
    heads=2,
    kv_heads=2,
    mlp_dim=192,
    max_items=20,
    dropout=0.3,
    item_ids=True,
)
_OFFICE_TRAIN = TrainConfig(
    steps=1700,
    batch_size=64,
    learning_rate=3e-3,
    loss="legal",
    label_smoothing=0.1,
    eval_every=340,
    eval_users=0,
    exclude_seen=False,
    checkpoint_every=340,
    patience=0,
)

OFFICE = Recipe(model=_OFFICE_ITEMS, train=_OFFICE_TRAIN)
"""Amazon Office with its shipped semantic IDs, 50 epochs; chosen on validation.

Expected, seen items not removed, 20 beams: Recall@10 .117 and NDCG@10 .067 on validation; on the
test split, means of three seeds, .0866 and .0506, where SASRec has .0937 and .0496. Four to seven
minutes on two CPU cores, evaluation included.
"""

OFFICE_APAO = Recipe(
    model=_OFFICE_ITEMS,
    train=dataclasses.replace(_OFFICE_TRAIN, apao="pointwise", apao_weight=0.3, apao_rate=1e-4),
)
"""The same with APAO's pointwise prefix loss; weight and rate are those of the paper for this data.

On the test split, one seed: Recall@10 .0875 and NDCG@10 .0498, where the same seed has .0895 and
.0512 without it.
"""

_OFFICE_FLAT = _OFFICE_ITEMS.as_kind("decoder_only", layers=3)

OFFICE_DECODER_ONLY = Recipe(model=_OFFICE_FLAT, train=_OFFICE_TRAIN)
"""The flattened codes of the same histories through one Llama-shaped transformer, trained alike.

On the test split, means of three seeds: Recall@10 .0849 and NDCG@10 .0439. A quarter of an hour on
one CPU core.
"""

OFFICE_DECODER_ONLY_APAO = Recipe(model=_OFFICE_FLAT, train=OFFICE_APAO.train)
"""The same with APAO's pointwise prefix loss: .0845 and .0435, means of three seeds.

APAO is to keep beams from pruning the wanted item; here 50 beams have the Recall@10 of exact scores
without it.
"""

OFFICE_TIGER = Recipe(
    model=_OFFICE_ITEMS.as_kind(
        "encoder_decoder",
        layers=3,
        code_layers=2,
        heads=4,
        head_dim=16,
        tie_embeddings=False,
        dropout=0.1,
    ),
    train=dataclasses.replace(
        _OFFICE_TRAIN, steps=3500, batch_size=128, eval_every=1750, checkpoint_every=350
    ),
)
"""The same codes through TIGER's encoder and decoder, 20 epochs: one target a row makes an epoch
ten times as long.

The output vectors are its own: tied to the input's, it learned several times slower. On the test
split, one seed: Recall@10 .0640 and NDCG@10 .0307, with validation still rising; APAO's authors
report .0608 after up to 200 epochs. Half an hour on one CPU core.
"""

OFFICE_ONE_PASS = Recipe(model=_OFFICE_FLAT.as_kind("one_pass"), train=_OFFICE_TRAIN)
"""All codes of the next item in one pass, under RecGPT's hybrid mask.

On the test split, one seed: Recall@10 .0589 and NDCG@10 .0328. Ten minutes on one CPU core.
"""

BEAUTY = Recipe(
    model=_OFFICE_ITEMS,
    train=dataclasses.replace(_OFFICE_TRAIN, steps=4800, eval_every=600, checkpoint_every=600),
)
"""Amazon Beauty with its shipped semantic IDs: the settings of Office, 40 epochs.

On the test split, means of three seeds: Recall@10 .0660 and NDCG@10 .0397 (seen items not removed,
20 beams), where SASRec has .0772 and .0456. With two codes of 1,024 from co-occurrence instead
(``embed --text-dim 0``, ``tokenize --levels 2 --codebook-size 1024 --balanced --local-last``), means
of two seeds: .0727 and .0435. A quarter of an hour on one CPU core; the figures of the page
include the evaluations.
"""

HYBRID = Recipe(
    model=dataclasses.replace(
        _OFFICE_ITEMS,
        width=128,
        heads=4,
        kv_heads=4,
        mlp_dim=256,
        dropout=0.4,
        item_vectors=True,
        dense_head=True,
        dense_layers=1,
        dense_items=True,
    ),
    train=dataclasses.replace(
        _OFFICE_TRAIN,
        epochs=43.3,
        eval_every=1_000_000,
        eval_users=5000,
        checkpoint_every=200,
        dense_negatives=4096,
        dense_smoothing=0.1,
        transitions=True,
    ),
)
"""Codes and a dense head on one encoder, fused with counted transitions, for any data; it reads the
items' vectors.

The head has the last of the two blocks and vectors of the items for itself, so that its mistakes are
others than those of the codes. Office with its shipped semantic IDs is 1,400 steps; there all items
compete in the head's loss, elsewhere a sample of 4,096. Test, 20 beams, weights chosen on the
validation split, Recall@10 and NDCG@10: Office, three seeds, .1117 and .0633, where SASRec has .0949 and
.0499; with seen items forbidden .1177 and .0671, where it has .1006 and .0546. Beauty with two codes of
1,024 from co-occurrence, seed 0, .0831 and .0509, where SASRec has .0779 and .0456; forbidden .0894 and
.0552, .0842 and .0518. Without the transitions Office .1005 and .0574, Beauty .0742 and .0458; a SASRec
with transitions is level with the recipe on Office (docs/results.md). On one shared CPU core twenty
minutes for Office, fifty for Beauty.
"""

RECIPES = {
    "office": OFFICE,
    "office-apao": OFFICE_APAO,
    "office-decoder-only": OFFICE_DECODER_ONLY,
    "office-decoder-only-apao": OFFICE_DECODER_ONLY_APAO,
    "office-tiger": OFFICE_TIGER,
    "office-one-pass": OFFICE_ONE_PASS,
    "beauty": BEAUTY,
    "hybrid": HYBRID,
}
"""Recipes by the name that ``genret train --recipe`` takes."""


def recipe(name: str) -> Recipe:
    """Return a recipe by its name.

    Raises:
      GenretError: there is none of that name.

    >>> recipe("office").train.steps > 0
    True
    """
    close = difflib.get_close_matches(name, RECIPES, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    require(
        name in RECIPES,
        f"--recipe: found {name!r}, expected one of {', '.join(RECIPES)}{hint}",
    )
    return RECIPES[name]
