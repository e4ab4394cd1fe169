"""The op in plain JAX."""

import jax


def load_lines(table: jax.Array, which: jax.Array) -> jax.Array:
    """Return lines of a table; see :func:`genret_kernels.load_lines.api.load_lines`."""
    return table.at[which].get(mode="clip")
