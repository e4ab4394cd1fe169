"""Encoder and decoder of the tokenizers that train networks, and how they are trained."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.sparse as sp
from flax import nnx

from genret.config import AutoencoderConfig
from genret.tokenizers._kmeans import ROWS, pad_rows
from genret.typing import Array, Float, Vectors

STEPS_A_CALL = 25
"""Steps that run on the device without a look at the host."""


class MLP(nnx.Module):
    """Linear layers with SiLU between them; the last one starts at zero."""

    def __init__(self, widths: Sequence[int], *, rngs: nnx.Rngs) -> None:
        last = len(widths) - 2
        zeros = nnx.initializers.zeros_init()
        self.layers = nnx.List(
            [
                nnx.Linear(inputs, outputs, rngs=rngs)
                if i < last
                else nnx.Linear(inputs, outputs, kernel_init=zeros, rngs=rngs)
                for i, (inputs, outputs) in enumerate(pairwise(widths))
            ]
        )

    def __call__(self, x: Float[Array, "N D"]) -> Float[Array, "N K"]:
        """Apply the layers."""
        for i, layer in enumerate(self.layers):
            x = layer(jax.nn.silu(x) if i else x)
        return x


class Autoencoder(nnx.Module):
    r"""An encoder :math:`z = x P + f(x)` and a decoder :math:`\hat x = z P^T + g(z)`.

    P starts as the first principal axes of the catalog and the last layers of the MLPs f and g at
    zero: training starts at the best linear map instead of noise, and no code starts dead. Inputs
    are scaled to about unit variance a number before they enter an MLP.

    Args:
      width: D, of the vectors.
      latent: K, of the bottleneck.
      hidden: widths of f's hidden layers; g has them in the other order.
      rngs: source of the initial parameters.
    """

    def __init__(self, width: int, latent: int, hidden: Sequence[int], *, rngs: nnx.Rngs) -> None:
        self.axes = nnx.Param(jnp.zeros((width, latent), jnp.float32))
        self.back = nnx.Param(jnp.zeros((latent, width), jnp.float32))
        self.encoder = MLP([width, *hidden, latent], rngs=rngs)
        self.decoder = MLP([latent, *reversed(hidden), width], rngs=rngs)
        self.width, self.latent = width, latent

    def start_at(self, axes: Float[np.ndarray, "D K"], stretch: Any = 1.0) -> None:
        """Put the principal axes in; the decoder's are stretched where its input is in other units."""
        self.axes[...] = jnp.asarray(axes)
        self.back[...] = jnp.asarray((axes * stretch).T, jnp.float32)

    def encode(self, x: Float[Array, "N D"]) -> Float[Array, "N K"]:
        """Return the latent vectors."""
        return x @ self.axes[...] + self.encoder(x * self.width**0.5)

    def decode(self, z: Float[Array, "N K"]) -> Float[Array, "N D"]:
        """Return the vectors that latent ones stand for."""
        return z @ self.back[...] + self.decoder(z * self.latent**0.5)


def principal_axes(points: Vectors, count: int) -> Float[np.ndarray, "D K"]:
    """Return the ``count`` axes of largest variance, zeros where there are fewer dimensions.

    The sign of an axis makes its largest entry positive, so that equal inputs give equal axes.
    """
    width = points.shape[1]
    scatter = np.zeros((width, width))
    for first in range(0, len(points), 65536):
        rows = points[first : first + 65536].astype(np.float64)
        scatter += rows.T @ rows
    axes = np.linalg.eigh(scatter)[1][:, ::-1][:, :count]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    result = np.zeros((width, count), np.float32)
    result[:, : axes.shape[1]] = axes * signs[None, :]
    return result


class Batch(NamedTuple):
    """Vectors of a step: the first half's partners are the second half where there are any.

    Attributes:
      x: float32 [S, B, D]; with a contrastive term the second half of B are the partners.
      linked: [S, B / 2], 1 where the partner is one and 0 where the item has none.
    """

    x: Float[Any, "S B D"]
    linked: Float[Any, "S H"]


def batches(
    points: Vectors, config: AutoencoderConfig, seed: int, pairs: sp.csr_matrix | None
) -> Iterator[Batch]:
    """Yield :class:`Batch` after batch: every item once a pass, in a new order each."""
    rng = np.random.default_rng(seed)
    size = min(config.training_batch, len(points))
    partners = Partners(pairs) if config.contrast and pairs is not None else None
    order = rng.permutation(len(points))
    for first in range(0, config.training_steps, STEPS_A_CALL):
        steps = min(STEPS_A_CALL, config.training_steps - first)
        while len(order) < steps * size:
            order = np.concatenate([order, rng.permutation(len(points))])
        rows = order[: steps * size].reshape(steps, size)
        order = order[steps * size :]
        x = points[rows]
        linked = np.zeros((steps, size), np.float32)
        if partners is not None:
            others, linked = partners.draw(rows, rng)
            x = np.concatenate([x, points[others]], axis=1)
        yield Batch(x, linked)


class Partners:
    """Draws for an item another one that occurs with it in training histories, by their counts."""

    def __init__(self, pairs: sp.csr_matrix) -> None:
        self.pairs = pairs.tocsr()
        self.sums = np.concatenate([[0.0], np.cumsum(self.pairs.data, dtype=np.float64)])

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return a partner for each row (itself where it has none) and 1 where it has one."""
        low = self.sums[self.pairs.indptr[rows]]
        high = self.sums[self.pairs.indptr[rows + 1]]
        at = np.searchsorted(self.sums, low + rng.random(rows.shape) * (high - low), side="right")
        linked = high > low
        entry = np.minimum(np.maximum(at - 1, 0), max(0, len(self.pairs.data) - 1))
        chosen = self.pairs.indices[entry] if len(self.pairs.data) else rows
        return np.where(linked, chosen, rows), linked.astype(np.float32)


def info_nce(
    z: Float[Array, "B K"], linked: Float[Array, "H"], temperature: float
) -> Float[Array, ""]:
    r"""Return the mean over items i with a partner i' of
    :math:`-\log \frac{\exp(\cos(z_i, z_{i'}) / τ)}{\sum_j \exp(\cos(z_i, z_{j'}) / τ)}`.

    The sum runs over the partners of the whole batch.

    Source: van den Oord et al., "Representation learning with contrastive predictive coding", 2018;
      Wang et al., "LETTER", 2024 (collaborative signals in tokenizers).
    """  # noqa: D205
    unit = z * jax.lax.rsqrt(jnp.sum(z * z, axis=1, keepdims=True) + 1e-12)
    mine, theirs = jnp.split(unit, 2)
    scores = jax.nn.log_softmax(mine @ theirs.T / temperature, axis=1)
    return -jnp.sum(jnp.diagonal(scores) * linked) / jnp.maximum(linked.sum(), 1)


def train(
    trained: Any,
    state: Any,
    loss: Callable[[Any, Any, Array, Array], tuple[Array, Any]],
    after: Callable[[Any, Any, Any, Array], tuple[Any, Any]],
    data: Iterable[Batch],
    config: AutoencoderConfig,
    seed: int,
    advance: Callable[[int], None],
) -> tuple[Any, Any]:
    """Run AdamW over batches.

    Args:
      trained: the parameters, a pytree.
      state: what changes without gradients, a pytree.
      loss: of parameters, state, vectors [B, D] and links [H]; returns the loss and what ``after``
        wants to know.
      after: of the updated parameters, the state, that, and a key; returns both for the next step.
      data: the batches.
      config: learning rate and decay.
      seed: of the keys.
      advance: called with the number of steps done since the last call.

    Returns:
      The trained parameters and the last state.
    """
    rate = optax.cosine_decay_schedule(config.learning_rate, config.training_steps)
    matrices = jax.tree.map(lambda p: p.ndim == 2, trained)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(rate, weight_decay=config.weight_decay, mask=matrices),
    )

    def step(carry: Any, inputs: Any) -> tuple[Any, None]:
        trained, state, moments, key = carry
        key, now = jax.random.split(key)
        grads, found = jax.grad(loss, has_aux=True)(trained, state, *inputs)
        updates, moments = optimizer.update(grads, moments, trained)
        trained, state = after(optax.apply_updates(trained, updates), state, found, now)
        return (trained, state, moments, key), None

    @jax.jit
    def run(carry: Any, batch: Batch) -> Any:
        return jax.lax.scan(step, carry, (batch.x, batch.linked))[0]

    carry = (trained, state, optimizer.init(trained), jax.random.key(seed))
    for batch in data:
        carry = jax.block_until_ready(run(carry, jax.tree.map(jnp.asarray, batch)))
        advance(len(batch.x))
    return carry[0], carry[1]


def in_parts(advance: Callable[[], None], steps: int, parts: int) -> Callable[[int], None]:
    """Return a counter of steps that calls ``advance`` once for each of ``parts`` shares of them."""
    done = told = 0

    def count(new: int) -> None:
        nonlocal done, told
        done += new
        while told < min(parts, done * parts // steps):
            told += 1
            advance()

    return count


def by_blocks(function: Callable[[Array], Any], points: Vectors) -> Any:
    """Apply a function of vectors [R, D] to blocks of one size, and return the rows asked for.

    A row's arithmetic is then the same in any company.
    """
    padded, _ = pad_rows(points)
    blocks = padded.reshape(-1, ROWS, padded.shape[1])
    found = jax.lax.map(function, blocks)
    return np.asarray(found).reshape(-1, *found.shape[2:])[: len(points)]


def flatten(network: Any) -> dict[str, np.ndarray]:
    """Return a network's parameters by name."""
    flat = nnx.to_pure_dict(nnx.state(network, nnx.Param))
    leaves = jax.tree_util.tree_flatten_with_path(flat)[0]
    return {
        "network." + ".".join(str(getattr(k, "key", k)) for k in path): np.asarray(leaf)
        for path, leaf in leaves
    }


def unflatten(network: Any, arrays: dict[str, np.ndarray]) -> None:
    """Put parameters by name into a network of the same shape."""
    state = nnx.state(network, nnx.Param)
    pure = nnx.to_pure_dict(state)
    leaves, structure = jax.tree_util.tree_flatten_with_path(pure)
    found = [
        jnp.asarray(arrays["network." + ".".join(str(getattr(k, "key", k)) for k in path)])
        for path, _ in leaves
    ]
    nnx.replace_by_pure_dict(state, jax.tree.unflatten(structure, found))
    nnx.update(network, state)
