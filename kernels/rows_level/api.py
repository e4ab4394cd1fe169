"""One level of a search whose beams carry the codes below them: the public op and its checks."""

from typing import Any

import jax
import jax.numpy as jnp

from .._dispatch import KernelError, check_dtype, check_shapes, choose
from . import layout, reference

OP = "rows_level"


def rows_level(
    logits: jax.Array,
    state: jax.Array,
    limit: jax.Array,
    *,
    level: int,
    first: int,
    width: int,
    stride: int,
    beams: int,
    end_code: int | None = None,
    implementation: str | None = None,
    interpret: Any = False,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Choose the best children of all beams, where the beams' records hold their items' codes.

    A child of a beam is a run of rows with equal codes. Its score is the beam's plus the log-softmax
    of its code's logit, ``base + (logit - logsumexp(logits))``. The M best children that lead to an
    allowed item are the next beams; of equal scores the lower beam comes first, then the lower code.

    Implementations: "xla"; "pallas_tpu", one kernel for the whole level: it reads the logits once,
    looks the children's up in vector registers, chooses without a sort and moves the records on the
    matrix unit; "pallas_gpu", two kernels: scores, then ranks by counting. The sum in a logsumexp
    is taken in another order by each, so its last bit may differ.

    Args:
      logits: float32 or bfloat16 [B, M, V], or [B, 1, V] for all beams; may be NaN where there is no
        beam.
      state: int32 [B, R, 128], the records of the beams, see :mod:`genret_kernels.rows_level.layout`.
      limit: int32 [B], beams to keep of each request, at most M.
      level: l, codes so far.
      first: the first level whose codes the records hold.
      width: rows below a beam, at most; a power of two.
      stride: rows that a record has room for, at least ``width``.
      beams: M.
      end_code: the code that ends a semantic ID: a beam that has ended has one child, at no cost.
        None: there is none.
      implementation: see above; None takes "xla".
      interpret: run the kernel in Pallas' interpreter; True or ``pltpu.InterpretParams``.

    Returns:
      The records of the children, int32 [B, R, 128], and of each child its parent, its code (both
      int32 [B, M], 0 for padding) and its score (float32 [B, M], -inf for padding), best first.

    Raises:
      KernelError: shapes, types, sizes or the implementation do not fit.

    >>> zero = jnp.zeros((1, 1), jnp.int32)
    >>> words = jnp.array([[[[2, 5]]]], jnp.uint32)  # two items: codes 2 and 5
    >>> state = layout.pack(
    ...     jnp.zeros((1, 1, 0), jnp.int32), jnp.zeros((1, 1)), zero, zero + 2,
    ...     jnp.full((1, 1), 3, jnp.uint32), words)
    >>> state = jnp.pad(state, ((0, 0), (0, 0), (0, 0)))[:, :8]
    >>> logits = jnp.log(jnp.array([[[0.1, 0.1, 0.2, 0.1, 0.1, 0.4]]] ))
    >>> _, parents, codes, scores = rows_level(
    ...     logits, state, jnp.array([2]), level=0, first=0, width=2, stride=2, beams=2)
    >>> codes.tolist()
    [[5, 2]]
    """
    chosen = choose(OP, implementation, ("xla", "pallas_tpu", "pallas_gpu"))
    sizes = check_shapes(OP, "B N V, B R C, B", {"logits": logits, "state": state, "limit": limit})
    check_dtype(OP, "logits", logits, jnp.float32, jnp.bfloat16)
    check_dtype(OP, "state", state, jnp.int32)
    check_dtype(OP, "limit", limit, jnp.int32)
    if sizes["C"] != layout.LANES or sizes["R"] != layout.num_records(beams):
        expected = (layout.num_records(beams), layout.LANES)
        raise KernelError(f"{OP}: state: found {state.shape[1:]}, expected {expected}")
    if sizes["N"] not in (1, beams):
        raise KernelError(f"{OP}: logits: found {sizes['N']} beams, expected 1 or {beams}")
    if width & (width - 1) or not 1 <= width <= stride <= layout.MOST_ROWS:
        raise KernelError(
            f"{OP}: width: found {width}, expected a power of two of at most the stride {stride}"
        )
    end = layout.DATA + ((level - first) // 2 + 1) * stride
    if not first <= level < layout.MOST_LEVELS or end > layout.LANES:
        raise KernelError(f"{OP}: level: found {level}, which the records have no room for")
    static: dict[str, Any] = {
        "level": level,
        "first": first,
        "width": width,
        "stride": stride,
        "beams": beams,
        "end_code": end_code,
    }
    if chosen == "pallas_tpu":
        from . import pallas_tpu  # Pallas is loaded when it is asked for

        return pallas_tpu.rows_level(logits, state, limit, **static, interpret=interpret)
    if chosen == "pallas_gpu":
        from . import pallas_gpu

        return pallas_gpu.rows_level(logits, state, limit, **static, interpret=interpret)
    return reference.rows_level(logits, state, limit, **static)
