"""Kernels of generative retrieval, on plain arrays; they need jax and numpy only.

Each op is a folder of the same files: ``api.py`` checks and dispatches, ``reference.py`` is the op
in plain JAX (it *is* the definition), ``pallas_tpu.py`` and ``pallas_gpu.py`` are kernels that
equal it, and ``arg_specs.py`` names the sizes that tests and benchmarks use. The ops:

- :func:`genret_kernels.top_m.top_m`: the best candidates of a request, exactly;
- :func:`genret_kernels.shared_prefix_attention.shared_prefix_attention`: attention of beams over
  the history that they share and over their own codes.

The argument ``implementation`` chooses: "xla" (the reference), "pallas_tpu", "pallas_gpu", or None.
None takes "xla" everywhere: the kernels compile, and equal their references in Pallas'
interpreter, but none has been measured to be faster on hardware yet. A name that is asked for is
what runs, or :class:`KernelError` says why it cannot.

The folder is called ``kernels`` and the package ``genret_kernels`` (another project on PyPI has
that name), so imports inside are relative.
"""

from ._dispatch import IMPLEMENTATIONS, KernelError

__all__ = ["IMPLEMENTATIONS", "KernelError"]
