"""k-means against scikit-learn and against slow twins, and on degenerate inputs."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans as SklearnKMeans

from genret.tokenizers._kmeans import assign, kmeans, nearest, pad_rows


def blobs(num_points: int, num_blobs: int, width: int, spread: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(num_blobs, width))
    points = centers[rng.integers(0, num_blobs, num_points)]
    return (points + spread * rng.normal(size=points.shape)).astype(np.float32)


@pytest.mark.parametrize(("spread", "codes"), [(0.1, 8), (1.0, 16), (1.0, 100)])
@pytest.mark.parametrize("batch_size", [10**6, 500])
def test_inertia_is_close_to_scikit_learn(spread: float, codes: int, batch_size: int) -> None:
    vectors = blobs(3000, 16, 8, spread, seed=1)
    ours = kmeans(vectors, codes, iterations=50, batch_size=batch_size, seed=0)
    theirs = SklearnKMeans(codes, n_init=1, max_iter=50, random_state=0).fit(vectors)
    # A start is luck: on separate blobs one bad start costs a blob, so compare with some slack.
    assert ours.inertia <= theirs.inertia_ * (1.5 if spread < 1 else 1.05)


def test_inertia_and_labels_equal_the_slow_twin() -> None:
    vectors = blobs(500, 5, 4, 0.7, seed=2)
    found = kmeans(vectors, 12, iterations=20, batch_size=10**6, seed=3)
    squares = ((vectors[:, None, :] - found.centroids[None, :, :]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(found.labels, squares.argmin(axis=1))
    assert found.inertia == pytest.approx(squares.min(axis=1).sum(), rel=1e-5)


def test_at_the_end_centroids_are_means() -> None:
    vectors = blobs(400, 4, 3, 0.3, seed=4)
    found = kmeans(vectors, 6, iterations=200, batch_size=10**6, seed=0)
    for code in range(6):
        np.testing.assert_allclose(
            found.centroids[code], vectors[found.labels == code].mean(axis=0), atol=2e-2
        )


@pytest.mark.parametrize("batch_size", [10**6, 300])
def test_equal_seeds_give_equal_bytes_and_others_differ(batch_size: int) -> None:
    vectors = blobs(1000, 9, 5, 1.0, seed=0)
    runs = [
        kmeans(vectors, 20, iterations=5, batch_size=batch_size, seed=seed) for seed in (7, 7, 8)
    ]
    assert runs[0].centroids.tobytes() == runs[1].centroids.tobytes()
    assert runs[0].labels.tobytes() == runs[1].labels.tobytes()
    assert runs[0].centroids.tobytes() != runs[2].centroids.tobytes()


def test_dead_codes_are_seeded_again() -> None:
    """A start with all centroids in one place still ends with every code in use."""
    from genret.tokenizers._kmeans import lloyd

    vectors = blobs(600, 6, 3, 0.2, seed=5)
    points, weights = pad_rows(vectors)
    start = jnp.broadcast_to(vectors[:1], (6, 3))
    centroids = lloyd(points, weights, start, 50)
    labels, errors = nearest(vectors, centroids, 10**6)
    assert len(np.unique(labels)) == 6
    best = kmeans(vectors, 6, iterations=50, batch_size=10**6, seed=0).inertia
    assert errors.sum() < 4 * best


@settings(max_examples=30)
@given(
    st.lists(st.tuples(*[st.integers(-3, 3)] * 2), min_size=1, max_size=12),
    st.sampled_from([1, 4, 16]),
    st.sampled_from([10**6, 5]),
)
def test_few_distinct_vectors(points: list[tuple[int, int]], codes: int, batch_size: int) -> None:
    """Fewer distinct vectors than codes: each gets a code of its own, and no error is left."""
    vectors = np.array(points, np.float32)
    found = kmeans(vectors, codes, iterations=30, batch_size=batch_size, seed=0)
    distinct = np.unique(vectors, axis=0)
    assert np.isfinite(found.centroids).all()
    assert found.centroids.shape == (codes, 2)
    # Equal vectors have equal labels.
    labels_of = {
        p: {int(c) for q, c in zip(points, found.labels, strict=True) if q == p} for p in points
    }
    assert all(len(labels) == 1 for labels in labels_of.values())
    if len(distinct) <= codes and batch_size > len(points):
        assert found.inertia < 1e-5
        assert len(np.unique(found.labels)) == len(distinct)


def test_a_vector_gets_the_same_code_in_any_company() -> None:
    vectors = blobs(2500, 30, 12, 1.0, seed=6)
    centroids = kmeans(vectors[:500], 24, iterations=10, batch_size=10**6, seed=0).centroids
    centroids = jnp.asarray(centroids)
    whole, _ = nearest(vectors, centroids, 10**6)
    for rows in (slice(7, 8), slice(100, 140), slice(0, 1025), slice(1000, 2500)):
        np.testing.assert_array_equal(nearest(vectors[rows], centroids, 333)[0], whole[rows])


def test_devices_share_the_search_for_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The codes are those of one device, with a bias and without."""
    from genret.tokenizers import _kmeans

    vectors = blobs(5000, 30, 4, 1.0, seed=7)
    centroids, bias = jnp.asarray(vectors[:9]), jnp.linspace(0, 0.3, 9)
    alone = [nearest(vectors, centroids, 10**6, pull) for pull in (None, bias)]
    monkeypatch.setattr(_kmeans, "_BLOCKS_A_DEVICE", 2)
    for pull, expected in zip((None, bias), alone, strict=True):
        points, _ = pad_rows(vectors)
        labels, _ = _kmeans._assign_on_devices(points, centroids, pull)
        assert len(labels.sharding.device_set) == 4
        for found, wanted in zip(nearest(vectors, centroids, 10**6, pull), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_ties_go_to_the_lower_code() -> None:
    points, _ = pad_rows(np.zeros((3, 2), np.float32))
    labels, _ = assign(points, jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    assert labels[:3].tolist() == [0, 0, 0]
