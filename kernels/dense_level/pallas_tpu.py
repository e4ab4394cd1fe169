"""The op on a TPU: the bits, the logits and the choice in one kernel, see :mod:`genret_kernels._tpu_choose`."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from .._tpu_choose import Scratch, Sizes, best_codes, widened
from .._tpu_logits import Logits
from .._tpu_select import SUBLANES, bits_of, iota, to_row


def dense_level(
    logits: jax.Array, words: jax.Array, base: jax.Array, *, beams: int, interpret: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Choose the best codes of all beams; see :func:`genret_kernels.dense_level.api`."""
    batch, held = words.shape[:2]
    sizes = Sizes.of("dense_level", logits, held, beams)
    more = ((0, 0), (0, sizes.records - held))
    num_words = sizes.codes // 32
    bits = jax.lax.bitcast_convert_type(words, jnp.int32)[..., :num_words]
    fill = (0, sizes.word_lanes // sizes.copies - bits.shape[-1])
    bits = jnp.concatenate([jnp.pad(bits, (*more, fill))] * sizes.copies, axis=2)
    start = jnp.pad(base, more, constant_values=-jnp.inf)[..., None]

    def block(*shape: int) -> pl.BlockSpec:
        return pl.BlockSpec((sizes.together, *shape), lambda i: (i, 0, 0))

    found = pl.pallas_call(
        functools.partial(_kernel, sizes=sizes),
        out_shape=jax.ShapeDtypeStruct((batch, SUBLANES, sizes.lanes), jnp.int32),
        grid=(batch // sizes.together,),
        in_specs=[
            block(sizes.logits_rows, sizes.codes),
            block(sizes.records, sizes.word_lanes),
            block(sizes.records, 1),
        ],
        out_specs=block(SUBLANES, sizes.lanes),
        scratch_shapes=sizes.scratch(),
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=sizes.vmem_bytes),
        interpret=interpret,
        name="dense_level",
    )(logits, bits, start)
    scores, parents, codes = (found[:, row, :beams] for row in range(3))
    return jax.lax.bitcast_convert_type(scores, jnp.float32), parents, codes


def _kernel(
    logits: Any,  # [n, M or 1, V]
    words: Any,  # int32 [n, R, W]
    base: Any,  # float32 [n, R, 1]
    out: Any,  # int32 [n, 8, K]: bits of the scores, beams, codes
    *scratch: Any,
    sizes: Sizes,
) -> None:
    requests, records = words.shape[:2]
    own = [Logits(logits, q, records, sizes.num_codes) for q in range(requests)]
    best = best_codes(
        own,
        [each.normalizer() for each in own],
        words,
        [base[q] for q in range(requests)],
        Scratch(scratch),
        sizes,
    )
    inside = iota((1, sizes.lanes), 1) < sizes.size
    nothing, zero = bits_of(jnp.full((1, 1), -jnp.inf)), jnp.zeros((1, 1), jnp.int32)
    for q, (score, beam, code) in enumerate(best):
        columns = ((bits_of(score), nothing), (beam, zero), (code, zero))
        for row, (values, rest) in enumerate(columns):
            line = widened(to_row(values), sizes.lanes)
            out[q, row : row + 1] = jnp.where(inside, line, rest)
