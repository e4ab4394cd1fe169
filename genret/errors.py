"""The one exception that genret raises for bad input."""


class GenretError(Exception):
    """Input that cannot be used: a file, a column, an argument, a stale artifact.

    The message is one line that names what is wrong (file, column, row or argument), what was
    found and what was expected. The command line prints it and exits with status 2; every other
    exception is a fault of genret itself and keeps its traceback.

    >>> raise GenretError("codes: found dtype float64, expected integers")
    Traceback (most recent call last):
    ...
    genret.errors.GenretError: codes: found dtype float64, expected integers
    """
