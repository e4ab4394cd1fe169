"""What the tests of kernels share: interpreters, accelerators that are not there, and jaxprs."""

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import jax
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import AbstractDevice, AbstractMesh, AxisType, Mesh

TOPOLOGIES = ("v5e:1x1", "v6e:1x1", "tpu7x:2x2x1")

DEVICES = {
    "cuda": AbstractDevice("NVIDIA H100 80GB HBM3", 132, "gpu"),
    "tpu": AbstractDevice("TPU v5 lite", 1, "tpu"),
}


@pytest.fixture
def tpu_memory() -> pltpu.InterpretParams:
    """Interpret a TPU kernel with a model of the chip's memories.

    Reads outside of an array and races are errors, and memory that nobody has written to is NaN.
    """
    return pltpu.InterpretParams(detect_races=True)


def arrays_of(function: Callable[..., Any], *args: Any) -> Iterator[Any]:
    """Yield the abstract value of everything that a function computes, inside loops and kernels."""

    def walk(jaxpr: Any) -> Iterator[Any]:
        for equation in jaxpr.eqns:
            yield from (out.aval for out in equation.outvars)
            for value in equation.params.values():
                inner = getattr(value, "jaxpr", value)
                if hasattr(inner, "eqns"):
                    yield from walk(inner)

    yield from walk(jax.make_jaxpr(function)(*args).jaxpr)


@pytest.fixture
def computed() -> Callable[..., Iterator[Any]]:
    """See ``arrays_of``."""
    return arrays_of


@pytest.fixture
def lowered_for() -> Callable[..., str]:
    """Lower a function for an accelerator that this machine need not have."""

    def lower(platform: str, function: Callable[..., Any], *args: Any) -> str:
        # Pallas asks which one it is.
        mesh = AbstractMesh((1,), ("x",), (AxisType.Auto,), abstract_device=DEVICES[platform])
        with jax.sharding.use_abstract_mesh(mesh):
            traced = jax.jit(function).trace(*args)
            return traced.lower(lowering_platforms=(platform,)).as_text()

    return lower


@pytest.fixture(params=TOPOLOGIES)
def compiled_for_tpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Compile a function for each TPU; it needs libtpu, and no TPU."""
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("compiling for TPU needs libtpu (pip install 'jax[tpu]')")
    monkeypatch.setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "true")  # several processes at once
    from jax.experimental import topologies

    bounds = {"chips_per_host_bounds": (1, 1, 1)} if request.param.endswith(":1x1") else {}
    device = topologies.get_topology_desc(request.param, "tpu", **bounds).devices[0]
    sharding = jax.sharding.SingleDeviceSharding(device)

    def compile_(function: Callable[..., Any], *args: Any) -> Any:
        args = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), args
        )
        # Pallas asks which TPU it is compiling for.
        mesh = Mesh([device], ("x",), axis_types=(AxisType.Auto,)).abstract_mesh
        with jax.sharding.use_abstract_mesh(mesh):
            return jax.jit(function).lower(*args).compile()

    return compile_
