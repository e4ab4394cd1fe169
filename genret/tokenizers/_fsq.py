"""Finite scalar quantization: codes that are digits of a few rounded numbers; no codebook."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

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
from genret.tokenizers._vector import Arrays, FitInput, VectorTokenizer
from genret.typing import Array, Codes, Float, Int, Vectors

_DECAY = 0.9
_NORMAL = 1.702
"""The logistic function of 1.702 x is the normal distribution function to within 0.01."""


class FSQ(VectorTokenizer):
    r"""Finite scalar quantization of an autoencoder's latent numbers.

    The encoder gives L groups of d numbers. Number j of a group, standardized by its mean and
    deviation over the catalog, becomes one of m_j steps,

        u = σ(1.702 · z),  step = min(⌊m_j u⌋, m_j − 1),  value = (step + ½) / m_j,

    steps of equal probability where z is normal; the code of a group is the number with the digits
    (step_1, …, step_d), the first the least. The decoder reads 2·value − 1 of all groups; gradients
    pass the rounding straight through. A prefix of codes is decoded with the middle, 0, for the rest.

    Attributes:
      codes_per_level: Π m_j for each of L levels.
      steps: m_1, …, m_d.
      network: encoder and decoder.
      mean: of the latent numbers, float32 [L · d].
      deviation: their standard deviation.

    Source: Mentzer et al., "Finite scalar quantization", 2023; RecGPT, 2025 (four codes of
      [8, 8, 8, 6, 5] steps).

    >>> from genret.config import AutoencoderConfig, TokenizeConfig
    >>> vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    >>> small = AutoencoderConfig(hidden=(16,), training_steps=5)
    >>> config = TokenizeConfig(levels=2, fsq_levels=(4, 3), autoencoder=small)
    >>> tokenizer = FSQ.fit(vectors, config, seed=0)
    >>> tokenizer.codes_per_level, tokenizer.encode(vectors[:3]).codes.shape
    ((12, 12), (3, 2))
    """

    kind: ClassVar[str] = "fsq"

    def __init__(
        self,
        network: Autoencoder,
        levels: int,
        steps: tuple[int, ...],
        mean: Float[np.ndarray, "K"],
        deviation: Float[np.ndarray, "K"],
        hidden: tuple[int, ...],
        offset: Float[np.ndarray, "D"],
        scale: float,
    ) -> None:
        super().__init__((int(np.prod(steps)),) * levels, offset, scale)
        self.network, self.steps, self.hidden = network, steps, hidden
        self.mean, self.deviation = mean, deviation
        graph, weights = nnx.split(network)
        counts = jnp.asarray(steps * levels, jnp.float32)

        def codes_of(x: Array) -> Array:
            z = nnx.merge(graph, weights).encode(x)
            digits = _digits(z, jnp.asarray(mean), jnp.asarray(deviation), counts)[1]
            return digits.reshape(-1, levels, len(steps)) @ jnp.asarray(_basis(steps))

        self._codes_of = jax.jit(codes_of)
        self._vectors_of = jax.jit(lambda z: nnx.merge(graph, weights).decode(z))

    @classmethod
    def _fit(cls, data: FitInput) -> "FSQ":
        points, config, seed, pairs = data.points, data.config, data.seed, data.pairs
        options, steps = config.autoencoder, config.fsq_levels
        latent = config.levels * len(steps)
        network = Autoencoder(points.shape[1], latent, options.hidden, rngs=nnx.Rngs(seed))
        axes = _dealt(principal_axes(points, latent), config.levels)
        # The decoder reads numbers that are evenly spread over (-1, 1): their deviation is 3^-½.
        network.start_at(axes, (points @ axes).std(axis=0)[None, :] * 3**0.5)
        graph, weights = nnx.split(network)
        counts = jnp.asarray(steps * config.levels, jnp.float32)

        def loss(trained: Any, state: Any, x: Array, linked: Array) -> tuple[Array, Any]:
            model = nnx.merge(graph, trained)
            z = model.encode(x)
            # A root has no gradient at 0: a latent number may be the same for all.
            mean, deviation = z.mean(axis=0), jnp.sqrt(z.var(axis=0) + 1e-10)
            smooth, digits = _digits(z, mean, deviation, counts)
            rounded = 2 * (digits + 0.5) / counts[None, :] - 1
            q = smooth + jax.lax.stop_gradient(rounded - smooth)
            total = jnp.mean(jnp.sum((model.decode(q) - x) ** 2, axis=1))
            if options.contrast and pairs is not None:
                total += options.contrast * info_nce(q, linked, options.temperature)
            return total, None

        weights, _ = train(
            weights,
            (),
            loss,
            lambda trained, state, found, key: (trained, state),
            batches(points, options, seed, pairs),
            options,
            seed,
            in_parts(data.advance, options.training_steps, config.levels),
        )
        network = nnx.merge(graph, weights)
        z = by_blocks(jax.jit(network.encode), points)
        mean, deviation = z.mean(axis=0), z.std(axis=0)
        return cls(
            network, config.levels, steps, mean, deviation, options.hidden, data.offset, data.scale
        )

    def _encode(self, points: Vectors) -> Codes:
        return by_blocks(self._codes_of, points)

    def _decode(self, codes: Codes) -> Vectors:
        levels, width = len(self.codes_per_level), len(self.steps)
        counts = np.array(self.steps)
        digits = codes[:, :, None] // _basis(self.steps)[None, None, :] % counts[None, None, :]
        values = np.zeros((len(codes), levels, width), np.float32)
        values[:, : codes.shape[1]] = 2 * (digits + 0.5) / counts[None, None, :] - 1
        return by_blocks(self._vectors_of, values.reshape(len(codes), levels * width))

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        options = {"steps": list(self.steps), "hidden": list(self.hidden)}
        return options, flatten(self.network) | {"mean": self.mean, "deviation": self.deviation}

    @classmethod
    def _shapes(
        cls, header: Mapping[str, Any], sizes: tuple[int, ...], width: int
    ) -> dict[str, tuple[int, ...]]:
        latent = len(sizes) * len(header["steps"])
        if any(size != np.prod(header["steps"]) for size in sizes):
            raise ValueError(f"codes_per_level {sizes} are not the product of {header['steps']}")
        network = Autoencoder(width, latent, header["hidden"], rngs=nnx.Rngs(0))
        return {name: array.shape for name, array in flatten(network).items()} | {
            "mean": (latent,),
            "deviation": (latent,),
        }

    @classmethod
    def _from_state(
        cls,
        header: Mapping[str, Any],
        arrays: Arrays,
        sizes: tuple[int, ...],
        offset: Float[np.ndarray, "D"],
        scale: float,
    ) -> "FSQ":
        steps, hidden = tuple(header["steps"]), tuple(header["hidden"])
        latent = len(sizes) * len(steps)
        network = Autoencoder(len(offset), latent, hidden, rngs=nnx.Rngs(0))
        unflatten(network, arrays)
        return cls(
            network, len(sizes), steps, arrays["mean"], arrays["deviation"], hidden, offset, scale
        )


def _digits(
    z: Float[Array, "B K"],
    mean: Float[Array, "K"],
    deviation: Float[Array, "K"],
    counts: Float[Array, "K"],
) -> tuple[Float[Array, "B K"], Int[Array, "B K"]]:
    """Return 2u − 1, which has gradients, and the steps."""
    standard = (z - mean[None, :]) / (deviation + 1e-6)[None, :]
    u = jax.nn.sigmoid(_NORMAL * standard)
    steps = jnp.minimum(jnp.floor(u * counts[None, :]), counts[None, :] - 1)
    return 2 * u - 1, steps.astype(jnp.int32)


def _basis(steps: tuple[int, ...]) -> Int[np.ndarray, "K"]:
    """Return the value of each digit: 1, m_1, m_1 m_2 and so on.

    >>> _basis((8, 6, 5)).tolist()
    [1, 8, 48]
    """
    return np.cumprod((1, *steps[:-1])).astype(np.int32)


def _dealt(axes: Float[np.ndarray, "D K"], levels: int) -> Float[np.ndarray, "D K"]:
    """Deal the axes out, the first to each level's first number, and so on: no level is poor."""
    width, latent = axes.shape
    return np.ascontiguousarray(
        axes.reshape(width, latent // levels, levels).transpose(0, 2, 1).reshape(width, latent)
    )
