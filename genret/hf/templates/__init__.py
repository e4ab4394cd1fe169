"""Prompts in words: a JSON file for each template, read by name in :class:`genret.hf.Template`."""
