"""The op on a TPU: two lines a beam are copied from HBM, then shifted into place in registers.

XLA's gather of whole lines from HBM takes some 80 cycles a line. Issuing a copy takes 6, and the
copies of all beams are under way at the same time.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from .._tpu_select import SUBLANES, iota
from ..rows_level.layout import DATA, LANES, LO, rows_of_line

MOST_RECORDS = 1024
"""Records of a grid step, at most: the code is unrolled over their registers."""


def load_rows(
    table: jax.Array, state: jax.Array, *, pairs: int, stride: int, interpret: Any
) -> jax.Array:
    """Fill the records of beams; see :func:`genret_kernels.load_rows.api.load_rows`."""
    count = state.shape[0] * state.shape[1]
    rows = rows_of_line(pairs)
    lines = jnp.clip(state[..., LO].reshape(count) // rows, 0, table.shape[0] - 2)
    own = next(n for n in range(min(count, MOST_RECORDS), 0, -SUBLANES) if count % n == 0)
    found = pl.pallas_call(
        functools.partial(_kernel, rows=rows, pairs=pairs, stride=stride),
        out_shape=jax.ShapeDtypeStruct((count, LANES), jnp.int32),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(count // own,),
            in_specs=[
                pl.BlockSpec(memory_space=pltpu.HBM),
                pl.BlockSpec((own, LANES), lambda i, _: (i, 0)),
            ],
            out_specs=pl.BlockSpec((own, LANES), lambda i, _: (i, 0)),
            scratch_shapes=[
                pltpu.VMEM((own, LANES), jnp.int32),
                pltpu.VMEM((own, LANES), jnp.int32),
                pltpu.SemaphoreType.DMA,
            ],
        ),
        compiler_params=pltpu.CompilerParams(disable_bounds_checks=True),  # clipped above
        interpret=interpret,
        name="load_rows",
    )(lines, table, state.reshape(count, LANES))
    return found.reshape(state.shape)


def _kernel(
    lines: Any,  # int32 [B R] in SMEM
    table: Any,  # int32 [T, 128] in HBM
    state: Any,  # int32 [n, 128]
    out: Any,  # int32 [n, 128]
    first: Any,  # int32 [n, 128]: the line in which each record's rows begin
    second: Any,  # int32 [n, 128]: the line behind it
    arrived: Any,
    *,
    rows: int,
    pairs: int,
    stride: int,
) -> None:
    count = out.shape[0]
    start = pl.program_id(0) * count

    def fetch(record: Any, _: Any) -> Any:
        line = lines[start + record]
        for offset, buffer in enumerate((first, second)):
            source = table.at[pl.ds(line + offset, 1)]
            pltpu.make_async_copy(source, buffer.at[pl.ds(record, 1)], arrived).start()
        return 0

    jax.lax.fori_loop(0, count, fetch, 0, unroll=SUBLANES)
    for buffer in (first, second):  # one wait for the bytes of all copies
        pltpu.make_async_copy(buffer, buffer, arrived).wait()

    own = state[...]
    lane = iota(own.shape, 1)
    shift = jnp.broadcast_to(own[:, LO : LO + 1] & (rows - 1), own.shape)
    pair = (lane - DATA) >> (stride.bit_length() - 1)
    row = shift + ((lane - DATA) & (stride - 1))
    at = (pair * rows + row) & (LANES - 1)
    behind = (at - rows) & (LANES - 1)
    found = jnp.where(row < rows, _lanes(first[...], at), _lanes(second[...], behind))
    inside = (lane >= DATA) & (lane < DATA + pairs * stride)
    out[...] = jnp.where(inside, found, own)


def _lanes(values: jax.Array, lane: jax.Array) -> jax.Array:
    """Return the entries at some lane of the same row."""
    return jnp.take_along_axis(values, lane, axis=1, mode="promise_in_bounds")
