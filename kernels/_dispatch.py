"""The rules of ``implementation=``, and the checks that all ops share."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

IMPLEMENTATIONS = ("xla", "pallas_tpu", "pallas_gpu")
"""The names that an op may be asked for; not every op has all of them."""


class KernelError(ValueError):
    """An op that cannot run as it was asked to: one line with what was found and expected.

    >>> raise KernelError("top_m: m: found 9, expected 1 to 4, the candidates of a request")
    Traceback (most recent call last):
    ...
    genret_kernels._dispatch.KernelError: top_m: m: found 9, expected 1 to 4, the candidates of a request
    """


def choose(op: str, implementation: str | None, available: tuple[str, ...]) -> str:
    """Return the implementation to run; one that is named is that one or an error.

    Args:
      op: name of the op, for the message.
      implementation: what the caller asked for; None: "xla".
      available: what the op has.

    Raises:
      KernelError: the name is unknown, or the op has no such implementation.

    >>> choose("top_m", None, ("xla",))
    'xla'
    """
    if implementation is None:
        return "xla"
    if implementation not in IMPLEMENTATIONS:
        raise KernelError(
            f"{op}: implementation: found {implementation!r}, "
            f"expected None or one of {', '.join(IMPLEMENTATIONS)}"
        )
    if implementation not in available:
        raise KernelError(
            f"{op}: implementation: found {implementation!r}, which this op does not have, "
            f"expected None or one of {', '.join(available)}"
        )
    return implementation


def check_shapes(op: str, shapes: str, arrays: Mapping[str, jax.Array]) -> dict[str, int]:
    """Hold the arrays against their shapes and return the size of each letter.

    Args:
      op: name of the op, for the message.
      shapes: a shape for each array, separated by commas: "B M V, E".
      arrays: the arrays by name, in the same order.

    Raises:
      KernelError: an array has another number of axes, or an axis another size than before.

    >>> check_shapes("op", "B M, M", {"x": jnp.zeros((2, 3)), "y": jnp.zeros(3)})
    {'B': 2, 'M': 3}
    """
    sizes: dict[str, int] = {}
    for shape, (name, array) in zip(shapes.split(","), arrays.items(), strict=True):
        letters = shape.split()
        found = jnp.shape(array)
        fits = len(found) == len(letters)
        for letter, size in zip(letters, found, strict=False):
            fits &= sizes.setdefault(letter, size) == size
        if not fits:
            expected = ", ".join(f"{x}={sizes[x]}" if x in sizes else x for x in letters)
            raise KernelError(f"{op}: {name}: found shape {found}, expected [{expected}]")
    return sizes


def check_dtype(op: str, name: str, array: jax.Array, *expected: Any) -> None:
    """Hold an array against the element types that the op reads.

    Raises:
      KernelError: it has another type.
    """
    names = [jnp.dtype(x).name for x in expected]
    if jnp.result_type(array).name not in names:
        raise KernelError(
            f"{op}: {name}: found {jnp.result_type(array).name}, expected {' or '.join(names)}"
        )


def check_fits(op: str, what: str, found: int, limit: int) -> None:
    """Hold a size against the most that a kernel can take.

    Raises:
      KernelError: it is larger.
    """
    if found > limit:
        raise KernelError(f"{op}: {what}: found {found}, expected at most {limit}; use 'xla'")
