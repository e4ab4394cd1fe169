"""The op in plain JAX: a few beams at a time, so that the logits of all are never there at once."""

import jax
import jax.numpy as jnp

LOGITS = 1 << 20
"""Logits held at a time: 4 MiB."""


def project_level(
    hidden: jax.Array, table: jax.Array, codes: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Project some codes of each beam; see :func:`genret_kernels.project_level.api`."""
    batch, beams, width = hidden.shape

    def project(beam: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        own, asked = beam
        logits = jnp.einsum("d,vd->v", own, table, preferred_element_type=jnp.float32)
        found = logits.at[jnp.maximum(asked, 0)].get(mode="clip")
        return jnp.where(asked >= 0, found, -jnp.inf), jax.nn.logsumexp(logits)

    found, logsumexp = jax.lax.map(
        project,
        (hidden.reshape(-1, width), codes.reshape(batch * beams, -1)),
        batch_size=min(batch * beams, max(1, LOGITS // table.shape[0])),
    )
    return found.reshape(codes.shape), logsumexp.reshape(batch, beams)
