"""Programs that measure: ``python -m benchmarks.NAME --help``.

Each compares named methods in one process, in rounds that alternate between them, checks their
answers, and prints medians and ratios; ``--out`` writes them as JSON with the machine and the commit.
"""
