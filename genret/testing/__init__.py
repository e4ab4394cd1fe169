"""Public test doubles: a model that is a table of logits, and small catalogues of any shape."""

from genret.testing._catalogues import random_codes, tiny_catalogue
from genret.testing._table_model import TableModel

__all__ = ["TableModel", "random_codes", "tiny_catalogue"]
