"""What pytest does not look into: modules whose libraries are not installed."""

import importlib.util

# The examples of a module run where it can be imported; its tests say why they are skipped.
collect_ignore = [] if importlib.util.find_spec("torch") else ["genret/hf/logits_processor.py"]
