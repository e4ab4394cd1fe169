"""RQ-VAE: residual codes of what a network makes of the vectors."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.config import TokenizeConfig
from genret.tokenizers._autoencoder import (
    Autoencoder,
    batches,
    by_blocks,
    flatten,
    in_parts,
    info_nce,
    principal_axes,
    train,
    unflatten,
)
from genret.tokenizers._balance import potentials
from genret.tokenizers._kmeans import kmeans, lloyd, nearest, pad_rows
from genret.tokenizers._local import Prefixes
from genret.tokenizers._points import BATCH
from genret.tokenizers._quantize import Books, commitment, follow, pass_gradients, quantize
from genret.tokenizers._rq_kmeans import spread_of
from genret.tokenizers._vector import (
    Arrays,
    FitInput,
    VectorTokenizer,
    default_codebook_size,
)
from genret.typing import Array, Codes, Float, Vectors

_FINAL_PASSES = 10
_START_PASSES = 10
_BALANCING_ROUNDS = 100


class RQVAE(VectorTokenizer):
    r"""Residual quantization of an autoencoder's latent vectors.

    With the encoder's :math:`z`, residuals :math:`r_1 = z, r_{l+1} = r_l - e_l` and
    :math:`e_l` the nearest code of level l (with ``normalize_residuals`` as in
    :class:`~genret.tokenizers.RQKMeans`), the loss of a vector x is

        ‖x − decode(Σ_l e_l)‖² + β Σ_l ‖r_l − sg(e_l)‖² (+ Σ_l ‖sg(r_l) − e_l‖²)
        (+ γ InfoNCE between items that occur together in training histories),

    sg: held constant. Gradients pass the codes straight through or by the rotation trick;
    codebooks start as k-means of the first latent vectors and follow moving means (or the term in
    brackets); codes that hardly any vector chooses move to one; the last level is balanced by
    optimal transport, whose biases stay with the tokenizer. At the end a few k-means iterations
    over the whole catalog settle the codebooks.

    Attributes:
      codes_per_level: codes of each level, [L].
      books: float32 [L, V, K].
      spreads: float32 [L, V], of what each code leaves over.
      bias: of the last level's codes, float32 [V].
      network: encoder and decoder.

    Source: Lee et al., "Autoregressive image generation using residual quantization", 2022;
      Rajput et al., "TIGER", 2023; Zheng et al., "LC-Rec", 2024 (balanced last level); Fifty et
      al., 2024 (rotation trick); Wang et al., "LETTER", 2024 (collaborative contrast).

    >>> from genret.config import AutoencoderConfig
    >>> vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    >>> small = AutoencoderConfig(hidden=(16,), latent=4, training_steps=5)
    >>> config = TokenizeConfig(levels=2, codebook_size=4, autoencoder=small)
    >>> tokenizer = RQVAE.fit(vectors, config, seed=0)
    >>> tokenizer.encode(vectors[:3]).codes.shape, tokenizer.decode([[0, 1]]).shape
    ((3, 2), (1, 8))
    """

    kind: ClassVar[str] = "rq_vae"

    def __init__(
        self,
        network: Autoencoder,
        books: Float[np.ndarray, "L V K"],
        spreads: Float[np.ndarray, "L V"],
        bias: Float[np.ndarray, "V"],
        hidden: tuple[int, ...],
        offset: Float[np.ndarray, "D"],
        scale: float,
        prefixes: Prefixes | None = None,
    ) -> None:
        super().__init__((books.shape[1],) * books.shape[0], offset, scale)
        self.network, self.hidden = network, hidden
        self.books, self.spreads, self.bias, self.prefixes = books, spreads, bias, prefixes
        graph, weights = nnx.split(network)
        quantizer = tuple(map(jnp.asarray, (books, spreads, bias)))
        self._codes_of = jax.jit(
            lambda x: quantize(nnx.merge(graph, weights).encode(x), *quantizer).codes.T
        )
        self._left_of = jax.jit(
            lambda x: quantize(nnx.merge(graph, weights).encode(x), *quantizer).residuals[-1]
        )
        self._vectors_of = jax.jit(lambda z: nnx.merge(graph, weights).decode(z))

    @classmethod
    def _fit(cls, data: FitInput) -> "RQVAE":
        points, config, seed, pairs = data.points, data.config, data.seed, data.pairs
        size = config.codebook_size or default_codebook_size(len(points), config.levels)
        options = config.autoencoder
        network = Autoencoder(points.shape[1], options.latent, options.hidden, rngs=nnx.Rngs(seed))
        network.start_at(principal_axes(points, options.latent))
        graph, weights = nnx.split(network)

        values, books = _start(network, points, config, size, seed)

        def loss(trained: Any, books: Books, x: Array, linked: Array) -> tuple[Array, Any]:
            model = nnx.merge(graph, trained["network"])
            z, values = model.encode(x), trained["values"]
            found = jax.lax.stop_gradient(quantize(z, values, books.spreads, books.bias))
            q = pass_gradients(z, found.sums, options.gradients)
            total = jnp.mean(jnp.sum((model.decode(q) - x) ** 2, axis=1))
            total += options.commitment * commitment(z, found)
            if options.codebooks == "loss":
                chosen = jnp.take_along_axis(values, found.codes[..., None], axis=1)
                total += jnp.mean(jnp.sum((found.residuals - chosen) ** 2, axis=(0, 2)))
            if options.contrast and pairs is not None:
                total += options.contrast * info_nce(q, linked, options.temperature)
            return total, found

        def after(trained: Any, books: Books, found: Any, key: Array) -> tuple[Any, Books]:
            values, books = follow(
                books,
                found,
                trained["values"],
                options,
                key,
                normalize=config.normalize_residuals,
            )
            return trained | {"values": values}, books

        trained, books = train(
            {"network": weights, "values": values},
            books,
            loss,
            after,
            batches(points, options, seed, pairs),
            options,
            seed,
            in_parts(data.advance, options.training_steps, config.levels),
        )
        network = nnx.merge(graph, trained["network"])
        latent = by_blocks(jax.jit(network.encode), points)
        final, spreads, bias, prefixes = _settle(latent, trained["values"], config, seed)
        return cls(network, final, spreads, bias, options.hidden, data.offset, data.scale, prefixes)

    def _encode(self, points: Vectors) -> Codes:
        codes = by_blocks(self._codes_of, points)
        if self.prefixes is not None:
            left = self.prefixes.standardize(codes[:, :-1], by_blocks(self._left_of, points))
            codes = codes.copy()
            codes[:, -1], _ = nearest(
                left, jnp.asarray(self.books[-1]), BATCH, jnp.asarray(self.bias)
            )
        return codes

    def _decode(self, codes: Codes) -> Vectors:
        latent = np.zeros((len(codes), self.books.shape[2]), np.float32)
        gain = np.ones((len(codes), 1), np.float32)
        for level in range(codes.shape[1]):
            values = self.books[level][codes[:, level]]
            if self.prefixes is not None and level == len(self.books) - 1:
                values = self.prefixes.restore(codes[:, :level], values)
            latent += gain * values
            gain *= self.spreads[level][codes[:, level]][:, None]
        return by_blocks(self._vectors_of, latent)

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        options: dict[str, Any] = {"latent": self.network.latent, "hidden": list(self.hidden)}
        local: Arrays = {}
        if self.prefixes is not None:
            options["local_prefixes"], local = len(self.prefixes.codes), self.prefixes.arrays()
        return options, local | flatten(self.network) | {
            "books": self.books,
            "spreads": self.spreads,
            "bias": self.bias,
        }

    @classmethod
    def _shapes(
        cls, header: Mapping[str, Any], sizes: tuple[int, ...], width: int
    ) -> dict[str, tuple[int, ...]]:
        network = Autoencoder(width, header["latent"], header["hidden"], rngs=nnx.Rngs(0))
        local = {}
        if "local_prefixes" in header:
            local = Prefixes.shapes(header["local_prefixes"], len(sizes), header["latent"])
        return (
            local
            | {name: array.shape for name, array in flatten(network).items()}
            | {
                "books": (len(sizes), sizes[0], header["latent"]),
                "spreads": (len(sizes), sizes[0]),
                "bias": (sizes[0],),
            }
        )

    @classmethod
    def _from_state(
        cls,
        header: Mapping[str, Any],
        arrays: Arrays,
        sizes: tuple[int, ...],
        offset: Float[np.ndarray, "D"],
        scale: float,
    ) -> "RQVAE":
        hidden = tuple(header["hidden"])
        network = Autoencoder(len(offset), header["latent"], hidden, rngs=nnx.Rngs(0))
        unflatten(network, arrays)
        prefixes = Prefixes.of(arrays) if "local_prefixes" in header else None
        quantizer = (arrays["books"], arrays["spreads"], arrays["bias"])
        return cls(network, *quantizer, hidden, offset, scale, prefixes)


def _start(
    network: Autoencoder, points: Vectors, config: TokenizeConfig, size: int, seed: int
) -> tuple[Float[Array, "L V K"], Books]:
    """Start the codebooks as residual k-means of latent vectors."""
    sample = points
    if len(points) > BATCH:
        rows = np.random.default_rng(seed).choice(len(points), BATCH, replace=False)
        sample = points[np.sort(rows)]
    residual = by_blocks(jax.jit(network.encode), sample).copy()
    values, spreads = [], []
    for level in range(config.levels):
        found = kmeans(
            residual, size, iterations=_START_PASSES, batch_size=BATCH, seed=seed + level
        )
        values.append(found.centroids)
        residual -= found.centroids[found.labels]
        spreads.append(_spread(residual, found.labels, size, config.normalize_residuals))
        residual /= spreads[-1][found.labels][:, None]
    stacked = jnp.asarray(np.stack(values))
    equal = min(config.autoencoder.training_batch, len(points)) / size
    counts = jnp.full(stacked.shape[:2], equal, jnp.float32)
    bias = jnp.zeros(size, jnp.float32)
    return stacked, Books(counts, equal * stacked, jnp.asarray(np.stack(spreads)), bias)


def _settle(
    latent: Float[np.ndarray, "N K"],
    values: Float[Array, "L V K"],
    config: TokenizeConfig,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Prefixes | None]:
    """Take a few k-means iterations on each level, and balance the last one."""
    residual, settled, spreads = latent.copy(), [], []
    entropy, prefixes = config.autoencoder.sinkhorn, None
    bias = jnp.zeros(values.shape[1], jnp.float32)
    codes = np.empty((len(latent), len(values)), np.int32)
    for level, book in enumerate(values):
        last = level == len(values) - 1
        if config.local_last and level > 0 and last:
            prefixes = Prefixes.fit(codes[:, :level], residual)
            residual = prefixes.standardize(codes[:, :level], residual)
            # Other units, other codes: what was trained is no start.
            book = jnp.asarray(
                kmeans(
                    residual,
                    len(book),
                    iterations=_START_PASSES,
                    batch_size=BATCH,
                    seed=seed + level,
                ).centroids
            )
        points, weights = pad_rows(residual[:BATCH])
        moved = lloyd(points, weights, book, _FINAL_PASSES)
        if entropy and last:
            bias = potentials(points, weights, moved, bias, _BALANCING_ROUNDS, last=entropy)
        codes[:, level], _ = nearest(residual, moved, BATCH, bias if last else None)
        residual -= np.asarray(moved)[codes[:, level]]
        spreads.append(_spread(residual, codes[:, level], len(book), config.normalize_residuals))
        residual /= spreads[-1][codes[:, level]][:, None]
        settled.append(np.asarray(moved))
    return np.stack(settled), np.stack(spreads), np.asarray(bias), prefixes


def _spread(
    residuals: Float[np.ndarray, "N K"], labels: np.ndarray, size: int, normalize: bool
) -> Float[np.ndarray, "V"]:
    return spread_of(residuals, labels, size) if normalize else np.ones(size, np.float32)
