"""Kernels of generative retrieval, on plain arrays; they need jax and numpy only.

Each op is a folder of the same files: ``api.py`` checks and dispatches, ``reference.py`` is the op
in plain JAX (it *is* the definition), ``pallas_tpu.py`` and ``pallas_gpu.py`` are kernels that
equal it, and ``arg_specs.py`` names the sizes that tests and benchmarks use. The ops:

- :func:`genret_kernels.top_m.top_m`: the best candidates of a request, exactly;
- :func:`genret_kernels.dense_level.dense_level`: a level of the search at which each code of each
  beam may be a child;
- :func:`genret_kernels.lines_level.lines_level`: a ragged level of the search, whose beams' children
  lie in lines of a table in HBM;
- :func:`genret_kernels.rows_level.rows_level`: a level of the search whose beams carry the codes of
  the few items below them;
- :func:`genret_kernels.load_lines.load_lines`: whole lines of a table in HBM;
- :func:`genret_kernels.load_rows.load_rows`: these codes, read from a table in HBM;
- :func:`genret_kernels.shared_prefix_attention.shared_prefix_attention`: attention of beams over
  the history that they share and over their own codes.

The argument ``implementation`` chooses: "xla" (the reference), "pallas_tpu", "pallas_gpu", or None.
None takes "xla" everywhere; no kernel has been timed on hardware yet. An index that is made ready
for a TPU or a GPU asks for its kernels by name: the compilers count a fraction of the cycles or
launches (``docs/benchmarks.md``). A name that is asked for is what runs, or :class:`KernelError`
says why it cannot.

The folder is called ``kernels`` and the package ``genret_kernels`` (another project on PyPI has
that name), so imports inside are relative.
"""

from ._dispatch import IMPLEMENTATIONS, KernelError

__all__ = ["IMPLEMENTATIONS", "KernelError"]
