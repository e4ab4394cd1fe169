"""What pytest does not look into: modules whose libraries are not installed."""

import importlib.util

# The examples of a module run where it can be imported; its tests say why they are skipped.
OPTIONAL = {
    "genret/hf/logits_processor.py": "torch",
    "genret/pipeline/_ray.py": "ray",
    "genret/scoring/_ray.py": "ray",
}
# Ray Serve warns as it is imported, and a warning is an error here.
WARN = ["genret/serving/_ray.py"]
collect_ignore = [
    *WARN,
    *(file for file, name in OPTIONAL.items() if not importlib.util.find_spec(name)),
]
