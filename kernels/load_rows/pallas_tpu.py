"""The op on a TPU: one or two lines a beam are copied from HBM, then shifted into place in registers.

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
from ..rows_level.layout import DATA, LANES, LO

MOST_RECORDS = 1024
"""Records of a grid step, at most: the code is unrolled over their registers."""


def load_rows(
    table: jax.Array,
    state: jax.Array,
    *,
    pairs: int,
    stride: int,
    step: int,
    held: int,
    interpret: Any,
) -> jax.Array:
    """Fill the records of beams; see :func:`genret_kernels.load_rows.api.load_rows`."""
    count = state.shape[0] * state.shape[1]
    lines_read = 1 if held >= step + stride - 1 else 2
    lines = jnp.clip(state[..., LO].reshape(count) // step, 0, table.shape[0] - lines_read)
    own = next(n for n in range(min(count, MOST_RECORDS), 0, -SUBLANES) if count % n == 0)
    found = pl.pallas_call(
        functools.partial(_kernel, step=step, held=held, pairs=pairs, stride=stride),
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
                pltpu.VMEM((lines_read, own, LANES), jnp.int32),
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
    copied: Any,  # int32 [1 or 2, n, 128]: the line in which each record's rows begin, and the next
    arrived: Any,
    *,
    step: int,
    held: int,
    pairs: int,
    stride: int,
) -> None:
    lines_read, count = copied.shape[:2]
    start = pl.program_id(0) * count

    def fetch(record: Any, _: Any) -> Any:
        line = lines[start + record]
        for number in range(lines_read):
            source, target = table.at[pl.ds(line + number, 1)], copied.at[number, pl.ds(record, 1)]
            pltpu.make_async_copy(source, target, arrived).start()
        return 0

    jax.lax.fori_loop(0, count, fetch, 0, unroll=SUBLANES)
    pltpu.make_async_copy(copied, copied, arrived).wait()  # one wait for the bytes of all copies

    own = state[...]
    lane = iota(own.shape, 1)
    shift = jnp.broadcast_to(own[:, LO : LO + 1] & (step - 1), own.shape)
    pair = (lane - DATA) >> (stride.bit_length() - 1)
    row = shift + ((lane - DATA) & (stride - 1))
    at = (pair * held + row) & (LANES - 1)
    found = _lanes(copied[0], at)
    if lines_read == 2:
        found = jnp.where(row < held, found, _lanes(copied[1], (at - held) & (LANES - 1)))
    inside = (lane >= DATA) & (lane < DATA + pairs * stride)
    out[...] = jnp.where(inside, found, own)


def _lanes(values: jax.Array, lane: jax.Array) -> jax.Array:
    """Return the entries at some lane of the same row."""
    return jnp.take_along_axis(values, lane, axis=1, mode="promise_in_bounds")
