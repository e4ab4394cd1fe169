"""The best candidates of a request, exactly: the public op, its checks and its dispatch."""

import jax
import jax.numpy as jnp

from .._dispatch import KernelError, check_dtype, check_shapes, choose
from . import reference

OP = "top_m"


def top_m(
    values: jax.Array, m: int, *, implementation: str | None = None
) -> tuple[jax.Array, jax.Array]:
    """Return the m best values of each row and where they are.

    The order is by value, descending, and of equal values by place, ascending: the same on every
    backend. Exact for every input.

    Implementations: "xla" only. What costs is one pass over the values for the maxima of groups of
    128; XLA fuses that pass with whatever computes the values, which a kernel would have to read
    back from HBM. The rest sorts m groups' worth of values: Pallas has no sort on TPU or GPU, and
    XLA's ``top_k`` is already a library call.

    Args:
      values: float32 [B, C], without NaN; -inf is a value like any other.
      m: how many to return, 1 to C.
      implementation: see above; None takes "xla".

    Returns:
      float32 [B, m], the values, and int32 [B, m], their places. Zeros are returned as +0.

    Raises:
      KernelError: shapes, types or the implementation do not fit.

    >>> best, where = top_m(jnp.array([[1.0, 3.0, -jnp.inf, 3.0]]), 3)
    >>> best.tolist(), where.tolist()
    ([[3.0, 3.0, 1.0]], [[1, 3, 0]])
    """
    choose(OP, implementation, ("xla",))
    sizes = check_shapes(OP, "B C", {"values": values})
    check_dtype(OP, "values", values, jnp.float32)
    if not 1 <= m <= sizes["C"]:
        raise KernelError(
            f"{OP}: m: found {m}, expected 1 to {sizes['C']}, the candidates of a request"
        )
    return reference.top_m(values, m)
