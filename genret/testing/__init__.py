"""Public test doubles: a model that is a table of logits, and small catalogs of any shape."""

from genret.testing._catalogs import random_codes, tiny_catalog
from genret.testing._table_model import TableModel

__all__ = ["TableModel", "random_codes", "tiny_catalog"]
