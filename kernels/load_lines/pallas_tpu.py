"""The op on a TPU: a copy from HBM for each line, and one wait for all of a grid step."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from .._dispatch import check_fits
from .._tpu import LANES
from .._tpu_select import SUBLANES

MOST_LINES = 1 << 16
"""Lines to read at most: their numbers lie in SMEM."""

STEP = 1024
"""Lines of a grid step, at most."""


def load_lines(table: jax.Array, which: jax.Array, *, interpret: Any) -> jax.Array:
    """Return some lines of a table; see :func:`genret_kernels.load_lines.api.load_lines`."""
    count = which.shape[0]
    check_fits("load_lines", "lines to read with 'pallas_tpu'", count, MOST_LINES)
    steps = pl.cdiv(count, STEP)
    own = count if steps == 1 else STEP  # no need to fill up a single step
    which = jnp.pad(jnp.clip(which, 0, table.shape[0] - 1), (0, steps * own - count))
    found = pl.pallas_call(
        _kernel,
        out_shape=jax.ShapeDtypeStruct((steps * own, LANES), jnp.int32),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(steps,),
            in_specs=[pl.BlockSpec(memory_space=pltpu.HBM)],
            out_specs=pl.BlockSpec((own, LANES), lambda i, _: (i, 0)),
            scratch_shapes=[pltpu.SemaphoreType.DMA],
        ),
        compiler_params=pltpu.CompilerParams(disable_bounds_checks=True),  # clipped above
        interpret=interpret,
        name="load_lines",
    )(which, table)
    return found[:count]


def _kernel(
    which: Any,  # int32 [N] in SMEM
    table: Any,  # int32 [T, 128] in HBM
    out: Any,  # int32 [n, 128]
    arrived: Any,
) -> None:
    count = out.shape[0]
    begin = pl.program_id(0) * count

    def fetch(line: Any, _: Any) -> Any:
        source = table.at[pl.ds(which[begin + line], 1)]
        pltpu.make_async_copy(source, out.at[pl.ds(line, 1)], arrived).start()
        return 0

    whole = count // SUBLANES * SUBLANES
    jax.lax.fori_loop(0, whole, fetch, 0, unroll=SUBLANES)
    for line in range(whole, count):
        fetch(line, 0)
    # Waits for bytes: those of whole registers together, those of single lines one by one.
    for start, size in [(0, whole)] * (whole > 0) + [(line, 1) for line in range(whole, count)]:
        arriving = out.at[pl.ds(start, size)]
        pltpu.make_async_copy(arriving, arriving, arrived).wait()
