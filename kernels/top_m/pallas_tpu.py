"""The op on a TPU: bisection for the m-th best value, and only m values are ranked."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from .._dispatch import check_fits
from .._tpu import LANES
from .._tpu_select import (
    LOWEST,
    SUBLANES,
    compact,
    in_order,
    iota,
    positions,
    ranked,
    round_up,
    sortable,
    thresholds,
    to_row,
)

MOST = 512
"""The largest m: all m are ranked against each other."""

MOST_CANDIDATES = 128 * LANES
"""Candidates of a request: each row of 128 is a step of the bisection, and counts as one number."""


def top_m(values: jax.Array, m: int, *, interpret: Any = False) -> tuple[jax.Array, jax.Array]:
    """Choose the best values of each row; see :func:`genret_kernels.top_m.api`."""
    batch, size = values.shape
    check_fits("top_m", "m with 'pallas_tpu'", m, MOST)
    check_fits("top_m", "candidates of a request with 'pallas_tpu'", size, MOST_CANDIDATES)
    rows = -(-size // LANES)
    padded = round_up(rows, SUBLANES)
    fill = padded * LANES - size
    # What fills up is never chosen: there are m values that come before it.
    laid_out = jnp.pad(values, ((0, 0), (0, fill)), constant_values=-jnp.inf)
    together = 2 if batch % 2 == 0 else 1  # requests that a grid step interleaves
    out = (batch, SUBLANES, round_up(m, LANES))
    block = lambda shape: pl.BlockSpec((together, *shape[1:]), lambda i: (i, 0, 0))  # noqa: E731
    found = pl.pallas_call(
        functools.partial(_kernel, rows=rows, m=m),
        out_shape=jax.ShapeDtypeStruct(out, jnp.float32),
        grid=(batch // together,),
        in_specs=[block((batch, padded, LANES))],
        out_specs=block(out),
        scratch_shapes=[
            pltpu.VMEM((together, padded, LANES), jnp.int32),
            pltpu.VMEM((together, padded, LANES), jnp.float32),
        ],
        interpret=interpret,
        name="top_m",
    )(laid_out.reshape(batch, padded, LANES))
    return found[:, 0, :m], found[:, 1, :m].astype(jnp.int32)


def _kernel(
    values: Any,  # float32 [n, R, 128]
    out: Any,  # float32 [n, 8, m filled up]: best values, their places
    keys: Any,  # int32 [n, R, 128]
    places: Any,  # float32 [n, R, 128]
    *,
    rows: int,
    m: int,
) -> None:
    requests, padded = values.shape[:2]
    slots = round_up(m, SUBLANES)
    inside = iota((padded, LANES), 0) < rows
    for q in range(requests):
        keys[q] = jnp.where(inside, sortable(values[q]), LOWEST)
    found = thresholds([keys.at[q] for q in range(requests)], rows, m)
    for q in range(requests):
        places[q] = positions(keys[q], found[q], m, by_column=False)
    lane = iota((1, LANES), 1)
    for q in range(requests):
        best, where = compact(
            values.at[q],
            lambda row, _: (lane + row * LANES).astype(jnp.float32),
            places.at[q],
            rows,
            slots,
        )
        order = ranked(best, m)
        best = to_row(in_order(order, best))[:, : out.shape[2]]
        where = to_row(in_order(order, where))[:, : out.shape[2]]
        out[q, 0:1] = best + 0.0
        out[q, 1:2] = where
