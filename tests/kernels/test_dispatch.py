"""What is asked for by name is what runs, or one line says why it cannot."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from genret_kernels import KernelError
from genret_kernels.shared_prefix_attention import shared_prefix_attention
from genret_kernels.top_m import top_m

HAS = {
    "top_m": (),
    "shared_prefix_attention": ("pallas_tpu", "pallas_gpu"),
}


def ones(*shape: int, dtype: Any = jnp.float32) -> jax.Array:
    return jnp.ones(shape, dtype)


def call(op: str, **changed: Any) -> Callable[..., Any]:
    """Return the op on small arrays, some of them changed."""
    whole = partial(ones, dtype=jnp.int32)
    functions: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "top_m": (top_m, {"values": ones(2, 5), "m": 3}),
        "shared_prefix_attention": (
            shared_prefix_attention,
            {
                "queries": ones(2, 3, 1, 4, 16),
                "shared_keys": ones(2, 5, 2, 16),
                "shared_values": ones(2, 5, 2, 16),
                "shared_lengths": whole(2),
                "earlier_keys": ones(2, 9, 2, 16),
                "earlier_values": ones(2, 9, 2, 16),
                "paths": whole(2, 3, 4),
                "keys": ones(2, 3, 1, 2, 16),
                "values": ones(2, 3, 1, 2, 16),
            },
        ),
    }
    function, arguments = functions[op]
    return partial(function, **{**arguments, **changed})


@pytest.mark.parametrize("op", HAS)
def test_a_name_is_never_replaced(op: str) -> None:
    assert "pallas_call" not in str(jax.make_jaxpr(call(op))())
    assert "pallas_call" not in str(jax.make_jaxpr(call(op, implementation="xla"))())
    for name in ("pallas_tpu", "pallas_gpu"):
        asked = call(op, implementation=name)
        if name in HAS[op]:
            assert "pallas_call" in str(jax.make_jaxpr(asked)())
        else:
            with pytest.raises(KernelError, match=rf"^{op}: .*'{name}', which this op does not"):
                asked()


@pytest.mark.parametrize("op", HAS)
def test_unknown_name(op: str) -> None:
    with pytest.raises(KernelError, match=rf"^{op}: implementation: found 'triton', expected None"):
        call(op, implementation="triton")()


@pytest.mark.parametrize(
    ("op", "changed", "message"),
    [
        ("top_m", {"m": 6}, "m: found 6, expected 1 to 5"),
        ("top_m", {"m": 0}, "m: found 0, expected 1 to 5"),
        ("top_m", {"values": ones(2, 5, dtype=jnp.bfloat16)}, "values: found bfloat16"),
        ("shared_prefix_attention", {"queries": ones(2, 3, 1, 3, 16)}, "found 3 heads"),
        (
            "shared_prefix_attention",
            {"paths": ones(2, 3, 10, dtype=jnp.int32)},
            "paths: found 10 positions of a beam, expected at most E=9",
        ),
        ("shared_prefix_attention", {"paths": ones(2, 3, 4)}, "paths: found float32"),
        ("shared_prefix_attention", {"queries": ones(2, 3, 2, 4, 16)}, r"keys: .*T=2"),
        ("shared_prefix_attention", {"keys": ones(2, 3, 1, 1, 16)}, r"keys: .*K=2"),
        (
            "shared_prefix_attention",
            {"values": ones(2, 3, 1, 2, 16, dtype=jnp.bfloat16)},
            "values: found bfloat16, expected float32",
        ),
    ],
)
def test_arguments_that_do_not_fit(op: str, changed: dict[str, Any], message: str) -> None:
    for name in (None, *HAS[op]):
        with pytest.raises(KernelError, match=rf"^{op}: .*{message}"):
            call(op, implementation=name, **changed)()


@pytest.mark.parametrize(
    ("op", "name", "sizes", "message"),
    [
        ("shared_prefix_attention", "pallas_tpu", {"width": 1024}, "found 1024, expected at most"),
        ("shared_prefix_attention", "pallas_gpu", {"width": 48}, "found 48, expected a power of"),
        ("shared_prefix_attention", "pallas_gpu", {"width": 512}, "found 512, expected at most"),
    ],
)
def test_shapes_that_a_kernel_cannot_take(
    op: str, name: str, sizes: dict[str, int], message: str
) -> None:
    """The reference takes them; the kernel says so instead of failing in its compiler."""
    beams, width = (sizes.get(x, 16) for x in ("beams", "width"))
    f32 = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)  # noqa: E731
    i32 = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.int32)  # noqa: E731
    shared, own = f32(2, 5, 2, width), f32(2, beams, 1, 2, width)
    arguments: dict[str, tuple[Any, ...]] = {
        "shared_prefix_attention": (
            own, shared, shared, i32(2), shared, shared, i32(2, beams, 1), own, own,
        ),
    }  # fmt: skip
    function = call(op).func  # type: ignore[attr-defined]
    jax.eval_shape(function, *arguments[op])
    with pytest.raises(KernelError, match=rf"^{op}: .*{message}"):
        jax.eval_shape(partial(function, implementation=name), *arguments[op])
