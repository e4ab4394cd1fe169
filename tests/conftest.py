"""The filter of the test suite: strict numerics, eight CPU devices, checked shapes, real data."""

import os

FLAGS = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=8 {FLAGS}"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("MPLBACKEND", "agg")

from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

# Shapes and types of every annotated function are checked while the tests run.
jaxtyping.install_import_hook("genret", "beartype.beartype")

import hypothesis
import jax
import jaxlib.version

from tests.browser import Browser, missing, started

jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile(
    "genret",
    deadline=None,
    max_examples=50,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "again", hypothesis.settings.get_profile("genret"), max_examples=10
)
hypothesis.settings.load_profile("genret")


COMPILED_CHEAPLY = (
    "not slow and not exhaustive",
    "not slow and not exhaustive and not tpu_backend",
    "not optimized and not exhaustive",
    "slow and not optimized",
    "slow or not slow",
)
"""What `-m` selects when most of the time goes into programs that run once."""


def pytest_configure(config: pytest.Config) -> None:
    """Leave out LLVM's dear passes where they do not pay."""
    if config.option.markexpr in COMPILED_CHEAPLY:
        os.environ["XLA_FLAGS"] += (
            " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
        )
        # The emitters before jaxlib 0.12 compile a quarter faster; later ones know no others.
        if jaxlib.version.__version_info__ < (0, 12):
            os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"


SETTINGS = {
    "usual": {},
    "x64-strict-nans": {
        "jax_enable_x64": True,
        "jax_numpy_dtype_promotion": "strict",
        "jax_debug_nans": True,
    },
}
"""Settings of JAX that a user may have made; rank promotion raises in all tests."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked ``any_settings`` under each of the unusual settings."""
    if metafunc.definition.get_closest_marker("any_settings"):
        unusual = [name for name in SETTINGS if name != "usual"]
        metafunc.parametrize("jax_settings", unusual, indirect=True)


@pytest.fixture(autouse=True)
def jax_settings(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set JAX as a user may have; a test that is not marked keeps the usual settings."""
    values = SETTINGS[getattr(request, "param", "usual")]
    before = {name: getattr(jax.config, name) for name in values}
    for name, value in values.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


MAPS = Path("/proc/self/maps")


@pytest.fixture(scope="module", autouse=True)
def _room_for_programs() -> Iterator[None]:
    """Forget compiled programs while the kernel still has room for more.

    Each maps half a dozen pieces of memory, of which a process of Linux may have 65,530; the next
    compilation then ends in a segmentation fault.
    """
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a real browser; tests that take it are skipped where there is none."""
    lacks = missing()
    if lacks:
        pytest.skip(lacks)
    with started() as found:
        yield found


SHARED = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets (Office, Beauty); tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip(f"real data not found at {SHARED}")
    return SHARED
