"""What the environment tells JAX: its devices, and settings that no command can run under."""

import contextlib
import importlib.util
import os
import sys
import warnings

from genret.cli.terminal import descriptor_aside
from genret.errors import GenretError

_WATCHES = {
    "jax_debug_infs": (False, "the score of what must not be answered is -inf"),
    "jax_check_tracer_leaks": (False, "it takes the arrays of an index for leaks"),
    "jax_transfer_guard_host_to_device": ("allow", "a command moves its data to the devices"),
    "jax_transfer_guard_device_to_host": ("allow", "a command moves its answers from the devices"),
    "jax_transfer_guard_device_to_device": ("allow", "a command spreads its data over the devices"),
}
"""Settings under which JAX ends a program that does what it is meant to do: the value to run with,
and why."""


def prepare_jax(*, quiet: bool) -> None:
    """Import JAX, let it look for devices, and switch off what ends every search.

    Args:
      quiet: keep libtpu's noise away.

    Raises:
      GenretError: a variable of the environment has a value that JAX does not know.
      RuntimeError: JAX finds no device of the kinds that it was told to use.
    """
    try:
        import jax
    except ValueError as e:  # JAX reads its variables as it is imported, and names the one
        raise GenretError(f"environment: {e}") from e
    for name, (usable, reason) in _WATCHES.items():
        found = jax.config.values[name]
        if found not in (usable, None, "log", "log_explicit"):
            warnings.warn(f"{name}: found {found!r}, which is not followed: {reason}", stacklevel=2)
            jax.config.update(name, usable)
    _find_devices(quiet=quiet)


def missing_device() -> str | None:
    """Return why JAX finds no device; None if it finds one, so something else went wrong."""
    jax = sys.modules.get("jax")
    if jax is None:
        return None
    try:
        _find_devices(quiet=True)
        jax.devices()
    except (RuntimeError, AssertionError) as e:  # an assertion without a word in jax 0.10
        platforms = jax.config.jax_platforms
        reason = str(e) or "it cannot be initialized"
        return (
            f"JAX_PLATFORMS: found {platforms!r}, expected a kind of device that is here: {reason}"
        )
    return None


def _find_devices(*, quiet: bool) -> None:
    """Let JAX look for devices before anything else does, without libtpu's noise.

    Where libtpu is installed and no TPU is there, it writes five lines straight to the file descriptor
    of standard error, whatever its settings say. Nothing is done where it is not asked.
    """
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if (platforms and "tpu" not in platforms) or importlib.util.find_spec("libtpu") is None:
        return
    import jax

    with descriptor_aside() if quiet else contextlib.nullcontext():
        jax.devices()
