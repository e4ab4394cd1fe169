"""How large the points of `benchmarks.constraint` are."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of all bars; the defaults are those that the bars are asked of."""

    # Given logits: |C|, V and (B, M) of the grid, levels, and rounds of a point.
    items: tuple[int, ...] = (10**5, 10**6, 10**7)
    codes: tuple[int, ...] = (256, 2048, 8192)
    shapes: tuple[tuple[int, int], ...] = ((2, 70), (16, 70), (4, 256))
    depth: int = 8
    repeats: int = 15
    # (|C|, V) of the skewed codes and of the filters, and their (B, M): a filter for each request.
    skewed: tuple[int, int] = (10**6, 2048)
    filter_batch: tuple[int, int] = (32, 70)
    # (|C|, V) of the index that is built and weighed, rounds of builds, |C| of tokenized codes.
    index: tuple[int, int] = (10**7, 2048)
    builds: int = 3
    tokenized: int = 10**6
    # |C| of a large index and of one that it is compared with; GiB without which it is not tried.
    big: int = 10**8
    small: int = 10**6
    free_gib: float = 18
    # An index that changes: |C|, V, L, (B, M), how often; |C| of the index whose insert is timed.
    live: tuple[int, int, int] = (10**5, 256, 4)
    live_shape: tuple[int, int] = (2, 20)
    changes: int = 100
    insert_into: int = 10**6
    # Calls of a model: |C|, V, L of uniform codes, (B, M), and batches of histories.
    model: tuple[int, int, int] = (2 * 10**7, 2048, 8)
    model_shape: tuple[int, int] = (2, 70)
    histories: int = 5
    # Memory of a history: the M's, items of it (each is four codes), and the width of the model.
    beams: tuple[int, ...] = (10, 70, 512)
    history_items: int = 20
    width: int = 256
    tries: int = 10_000  # random tries whose answers are checked
    shop: int = 100_000  # items of the catalog of which one user is recommended


SMOKE = Sizes(
    items=(2000,), codes=(64,), shapes=((2, 5),), depth=3, repeats=3, skewed=(2000, 64),
    filter_batch=(4, 5), index=(5000, 64), builds=2, tokenized=2000, big=20_000, small=2000,
    free_gib=1, live=(2000, 64, 3), live_shape=(2, 5), changes=2, insert_into=5000,
    model=(2000, 64, 4), model_shape=(2, 5), histories=2, beams=(2, 8), history_items=8, width=32,
    tries=8, shop=500,
)  # fmt: skip
