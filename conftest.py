"""What pytest does not look into: modules whose libraries are not installed."""

import importlib.util

# The examples of a module run where it can be imported; its tests say why they are skipped.
OPTIONAL = {"torch": "genret/hf/logits_processor.py", "ray": "genret/scoring/_ray.py"}
collect_ignore = [file for name, file in OPTIONAL.items() if not importlib.util.find_spec(name)]
