"""The op in plain JAX: two stages, so that only few candidates are ever sorted."""

import jax
import jax.numpy as jnp

GROUP = 128
"""Candidates of a group: the lanes of a TPU's vector register."""

FEW = 2
"""Groups for each of the m at which one stage is cheaper: two would sort half of the values anyway."""


def top_m(values: jax.Array, m: int) -> tuple[jax.Array, jax.Array]:
    """Choose the best values of each row; see :func:`genret_kernels.top_m.api`.

    Why the groups with the m largest maxima hold the m best values. Order all values by size,
    descending, and equal ones by place, ascending: no two are equal in that order. Let the leader of
    a group be its first. A leader has its group's maximum, and of two groups with equal maxima the
    lower one has the earlier leader, so choosing groups by maximum, ties to the lower group, is
    choosing the m groups whose leaders come first. If one of the m best values were in a group that
    was not chosen, its leader would come no later than the value, and the m chosen leaders all before
    that: m values better than one of the m best. The chosen groups are then put in ascending order, so
    that among them, as in the whole row, the earlier place is the lower index, and a stable top-k of
    what they hold is the answer.
    """
    # Zeros of both signs are equal here, but not to every backend's top_k.
    values = jnp.where(values == 0, 0, values)
    rows, size = values.shape
    num_groups = -(-size // GROUP)
    if num_groups <= FEW * m:
        best, where = jax.lax.top_k(values, m)
        return best, where.astype(jnp.int32)

    # What fills up the last group comes after all values, and the chosen groups hold m without it.
    fill = num_groups * GROUP - size
    values = jnp.pad(values, ((0, 0), (0, fill)), constant_values=-jnp.inf)
    grouped = values.reshape(rows, num_groups, GROUP)
    _, groups = jax.lax.top_k(grouped.max(axis=-1), m)
    groups = jnp.sort(groups.astype(jnp.int32), axis=-1)
    held = jnp.take_along_axis(grouped, groups[..., None], axis=1, mode="clip")
    best, where = jax.lax.top_k(held.reshape(rows, m * GROUP), m)
    where = where.astype(jnp.int32)
    group = jnp.take_along_axis(groups, where // GROUP, axis=1, mode="clip")
    return best, group * GROUP + where % GROUP
