"""k-means on the accelerator: k-means++ start, Lloyd's iterations at once or batch by batch."""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genret.tokenizers._points import Points, batches
from genret.typing import Array, Float, Int, Vectors

ROWS = 1024
"""Rows whose distances are formed together: memory stays bounded, and the arithmetic of a row is
the same whatever the number of rows around it."""
_BLOCK = 64
"""Neighboring vectors that go into the same mini-batch: a file is read in runs, not row by row."""
_BLOCKS_A_DEVICE = 8
"""Blocks of rows below which a device is not asked to help."""
_START_POINTS = 64
"""Points for each code among which the start is chosen."""
_TOLERANCE = 1e-4
"""Relative gain of an iteration below which it was the last."""
_NOISE = 1e-6
"""Squared error, relative to the mean squared norm, that counts as none (float32 rounding)."""


class KMeans(NamedTuple):
    """Result of :func:`kmeans`.

    Attributes:
      centroids: float32 [V, D].
      labels: the nearest centroid of each vector, int32 [N].
      inertia: sum of squared distances to it.
    """

    centroids: Float[np.ndarray, "V D"]
    labels: Int[np.ndarray, "N"]
    inertia: float


def kmeans(
    vectors: Vectors | Points, codes: int, *, iterations: int, batch_size: int, seed: int
) -> KMeans:
    """Cluster vectors.

    Up to ``batch_size`` vectors are clustered by Lloyd's iterations over all of them. More are
    clustered by at most ``iterations`` passes over batches: in the first one every centroid is the
    running mean of the points that chose it so far, and each further one is an iteration of Lloyd's
    over all batches. Centroids that no point chose move to the points with the largest error. Both
    stop early once a pass gains less than 1e-4. Points that lie in a file are read batch by batch.

    With fewer distinct vectors than codes each distinct vector gets a code and the rest stay
    unused. Center and scale vectors to about unit variance first: distances are float32.

    Args:
      vectors: finite float32 [N, D].
      codes: V, centroids.
      iterations: passes over the vectors at most.
      batch_size: vectors on the device at a time.
      seed: of the start and of the order of mini-batches.

    Returns:
      The centroids, labels and inertia.

    Source: Arthur, Vassilvitskii, "k-means++", 2007; Sculley, "Web-scale k-means clustering", 2010.

    >>> vectors = np.array([[0.0], [0.1], [5.0], [5.1]], np.float32)
    >>> result = kmeans(vectors, 2, iterations=10, batch_size=100, seed=0)
    >>> bool(result.labels[0] == result.labels[1] != result.labels[2] == result.labels[3])
    True
    """
    rng = np.random.default_rng(seed)
    size = min(len(vectors), batch_size, _START_POINTS * codes)
    sample = np.sort(rng.choice(len(vectors), size, replace=False))
    start = _plus_plus(*pad_rows(vectors[sample]), jax.random.key(seed), codes)
    if len(vectors) <= batch_size:
        centroids = lloyd(*pad_rows(vectors[:]), start, iterations)
    else:
        centroids = _by_batches(vectors, start, iterations, batch_size, rng)
    labels, errors = nearest(vectors, centroids, batch_size)
    return KMeans(np.asarray(centroids), labels, float(errors.sum(dtype=np.float64)))


def nearest(
    vectors: Vectors | Points,
    centroids: Float[Array, "V D"],
    batch_size: int,
    bias: Float[Array, "V"] | None = None,
) -> tuple[Int[np.ndarray, "N"], Float[np.ndarray, "N"]]:
    """Return the nearest centroid (ties: the lower one) of each vector and the squared distance.

    A bias makes a centroid nearer by so much, in halves of squared distances: see :func:`assign`.
    The local devices share each batch.
    """
    labels = np.empty(len(vectors), np.int32)
    errors = np.empty(len(vectors), np.float32)
    for rows in batches(len(vectors), batch_size):
        batch = vectors[rows]
        points, _ = pad_rows(batch)
        found, distances = _assign_on_devices(points, centroids, bias)
        labels[rows] = np.asarray(found)[: len(batch)]
        errors[rows] = np.asarray(distances)[: len(batch)]
    return labels, errors


def _assign_on_devices(
    points: Float[Array, "N D"],
    centroids: Float[Array, "V D"],
    bias: Float[Array, "V"] | None = None,
) -> tuple[Int[Array, "N"], Float[Array, "N"]]:
    """Do what :func:`assign` does on as many local devices as the blocks of rows are enough for."""
    count = min(len(jax.local_devices()), max(1, len(points) // (ROWS * _BLOCKS_A_DEVICE)))
    count = 1 << (count.bit_length() - 1)  # as the blocks, a power of two
    if count == 1:
        return assign(points, centroids, bias)
    mesh = Mesh(np.array(jax.local_devices()[:count]), ("rows",))
    points = jax.device_put(points, NamedSharding(mesh, P("rows")))
    centroids, bias = jax.device_put((centroids, bias), NamedSharding(mesh, P()))
    return _assign_parts(mesh)(points, centroids, bias)


@lru_cache(maxsize=4)
def _assign_parts(mesh: Mesh) -> Any:
    """Return :func:`assign` as a program of all devices of a mesh, each with its own rows."""
    rows, whole = P("rows"), P()
    return jax.jit(
        jax.shard_map(assign, mesh=mesh, in_specs=(rows, whole, whole), out_specs=(rows, rows))
    )


def pad_rows(vectors: Vectors) -> tuple[Float[Array, "P D"], Float[Array, "P"]]:
    """Put vectors on the device, padded to a power of two of row blocks; weight 0 marks padding."""
    blocks = max(1, -(-len(vectors) // ROWS))
    rows = ROWS * (1 << (blocks - 1).bit_length())
    points = np.zeros((rows, vectors.shape[1]), np.float32)
    points[: len(vectors)] = vectors
    weights = (np.arange(rows) < len(vectors)).astype(np.float32)
    return jnp.asarray(points), jnp.asarray(weights)


@jax.jit
def assign(
    points: Float[Array, "N D"],
    centroids: Float[Array, "V D"],
    bias: Float[Array, "V"] | None = None,
) -> tuple[Int[Array, "N"], Float[Array, "N"]]:
    """Return the nearest centroid of each point and the squared distance to it.

    argmin_c ½‖x − c‖² − b_c = argmin_c ½‖c‖² − b_c − x·c; the distance itself is then taken from
    x − c, which is exact where the expanded form cancels.
    """
    half_norms = 0.5 * jnp.sum(centroids * centroids, axis=1)
    if bias is not None:
        half_norms -= bias

    def block(rows: Float[Array, "R D"]) -> tuple[Int[Array, "R"], Float[Array, "R"]]:
        dots = jnp.matmul(rows, centroids.T, precision=jax.lax.Precision.HIGHEST)
        labels = jnp.argmin(half_norms[None, :] - dots, axis=1).astype(jnp.int32)
        return labels, jnp.sum((rows - centroids[labels]) ** 2, axis=1)

    labels, errors = jax.lax.map(block, points.reshape(-1, ROWS, points.shape[1]))
    return labels.reshape(-1), errors.reshape(-1)


@partial(jax.jit, static_argnums=3)
def _plus_plus(
    points: Float[Array, "N D"], weights: Float[Array, "N"], key: Array, codes: int
) -> Float[Array, "V D"]:
    """Choose start points one by one, with probability proportional to the squared distance.

    Of 2 + log V candidates for each the one that leaves the least error is taken.
    """
    trials = 2 + int(np.log(codes))

    def squares_to(row: Array) -> Array:
        return jnp.sum((points - points[row][None, :]) ** 2, axis=1) * weights

    def choose(i: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        centroids, distances = state
        # Where every point is chosen already all logits are -inf and row 0 is chosen again.
        candidates = jax.random.categorical(
            jax.random.fold_in(key, i), jnp.log(distances), shape=(trials,)
        )
        left = jax.lax.map(lambda row: jnp.minimum(distances, squares_to(row)).sum(), candidates)
        best = candidates[jnp.argmin(left)]
        return centroids.at[i].set(points[best]), jnp.minimum(distances, squares_to(best))

    first = jax.random.categorical(jax.random.fold_in(key, 0), jnp.log(weights))
    start = jnp.broadcast_to(points[first], (codes, points.shape[1]))
    return jax.lax.fori_loop(1, codes, choose, (start, squares_to(first)))[0]


def sums(
    points: Float[Array, "N D"],
    weights: Float[Array, "N"],
    labels: Int[Array, "N"],
    codes: int,
) -> tuple[Float[Array, "V D"], Float[Array, "V"]]:
    """Sum the points of each label, and count them.

    A product with one-hot rows: unlike a scatter-add it adds in the same order on every device.
    """

    def block(
        carry: tuple[Array, Array], rows: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array], None]:
        x, w, label = rows
        member = jax.nn.one_hot(label, codes, dtype=jnp.float32) * w[:, None]
        total = jnp.matmul(member.T, x, precision=jax.lax.Precision.HIGHEST)
        return (carry[0] + total, carry[1] + member.sum(axis=0)), None

    width = points.shape[1]
    blocks = (
        points.reshape(-1, ROWS, width),
        weights.reshape(-1, ROWS),
        labels.reshape(-1, ROWS),
    )
    empty = (jnp.zeros((codes, width), jnp.float32), jnp.zeros(codes, jnp.float32))
    return jax.lax.scan(block, empty, blocks)[0]


def _reseed(
    centroids: Float[Array, "V D"],
    dead: Array,
    points: Float[Array, "N D"],
    errors: Float[Array, "N"],
    noise: Float[Array, ""],
) -> tuple[Float[Array, "V D"], Array]:
    """Move dead centroids to the points with the largest errors; say which ones moved."""
    largest, rows = jax.lax.top_k(errors, min(len(centroids), len(points)))
    rank = jnp.cumsum(dead) - 1  # the i-th dead centroid takes the i-th largest error
    place = jnp.clip(rank, 0, len(rows) - 1)
    moves = dead & (rank < len(rows)) & (largest[place] > noise)
    return jnp.where(moves[:, None], points[rows[place]], centroids), moves


@partial(jax.jit, static_argnums=3)
def lloyd(
    points: Float[Array, "N D"],
    weights: Float[Array, "N"],
    start: Float[Array, "V D"],
    iterations: int,
) -> Float[Array, "V D"]:
    """Alternate assignment and means until the gain is small."""
    noise = _NOISE * jnp.sum(points**2) / jnp.sum(weights)

    def unfinished(state: tuple[Array, Array, Array, Array, Array]) -> Array:
        i, _, inertia, before, moved = state
        return (i < iterations) & (moved | (inertia < (1 - _TOLERANCE) * before))

    def iterate(
        state: tuple[Array, Array, Array, Array, Array],
    ) -> tuple[Array, Array, Array, Array, Array]:
        i, centroids, inertia, _, _ = state
        labels, errors = assign(points, centroids)
        errors = errors * weights
        totals, counts = sums(points, weights, labels, len(centroids))
        means = totals / jnp.maximum(counts, 1)[:, None]
        alive = counts > 0
        centroids = jnp.where(alive[:, None], means, centroids)
        centroids, moved = _reseed(centroids, ~alive, points, errors, noise)
        return i + 1, centroids, jnp.sum(errors), inertia, moved.any()

    never = jnp.float32(jnp.inf)
    state = (jnp.int32(0), start, never, never, jnp.bool_(True))
    return jax.lax.while_loop(unfinished, iterate, state)[1]


_sums = jax.jit(sums, static_argnums=3)


@jax.jit
def _follow(
    centroids: Float[Array, "V D"],
    seen: Float[Array, "V"],
    totals: Float[Array, "V D"],
    counts: Float[Array, "V"],
) -> tuple[Float[Array, "V D"], Float[Array, "V"]]:
    """Move each centroid towards new points, by their share of all that it has seen."""
    seen = seen + counts
    share = counts / jnp.maximum(seen, 1)
    means = totals / jnp.maximum(counts, 1)[:, None]
    return centroids + share[:, None] * (means - centroids), seen


def _by_batches(
    vectors: Vectors | Points,
    start: Float[Array, "V D"],
    iterations: int,
    batch_size: int,
    rng: np.random.Generator,
) -> Float[Array, "V D"]:
    """Pass over shuffled batches; dead centroids are re-seeded from the last batch of a pass.

    In the first pass the centroids follow each batch, in the others all batches together.
    """
    centroids, nothing = start, (jnp.zeros_like(start), jnp.zeros(len(start), jnp.float32))
    size = min(_BLOCK, batch_size)
    num_blocks = -(-len(vectors) // size)
    num_batches = -(-num_blocks // (batch_size // size))
    before = np.inf
    for number in range(iterations):
        (totals, seen), inertia = nothing, 0.0
        for blocks in np.array_split(rng.permutation(num_blocks), num_batches):
            rows = (blocks[:, None] * size + np.arange(size)[None, :]).ravel()
            points, weights = pad_rows(vectors[rows[rows < len(vectors)]])
            found = _assign_on_devices(points, centroids)
            labels, errors = jax.device_put(found, start.sharding)
            own_totals, counts = _sums(points, weights, labels, len(start))
            if number == 0:
                centroids, seen = _follow(centroids, seen, own_totals, counts)
            else:
                totals, seen = totals + own_totals, seen + counts
            inertia += float(jnp.sum(errors * weights))
        if number > 0:
            means = totals / jnp.maximum(seen, 1)[:, None]
            centroids = jnp.where((seen > 0)[:, None], means, centroids)
        _, distances = assign(points, centroids)
        noise = _NOISE * jnp.sum(points**2) / jnp.sum(weights)
        centroids, moved = _reseed(centroids, seen == 0, points, distances * weights, noise)
        if not moved.any() and inertia >= (1 - _TOLERANCE) * before:
            break
        before = inertia
    return centroids
