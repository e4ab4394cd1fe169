"""Programs that measure: ``python -m benchmarks.NAME --help``.

Each compares named methods in one process, in rounds that alternate between them, checks their
answers, and prints medians and ratios; ``--out`` or ``--json`` writes them with the machine and the commit.
They share

- ``program``: options, points, tables and the exit status, for all programs;
- ``record`` and ``bars``: the JSON of a run, and what its figures have to reach;
- ``timing`` and ``process``: rounds, ratios and compilations; processes, their seconds and their memory;
- ``workload`` and ``methods``: a catalog, requests and logits, and ways to search it behind one interface;
- ``show`` and ``plots``: pages and pictures, made from the JSON.

The oracles that answers are compared with are those of the tests, in ``genret.testing``.
"""
