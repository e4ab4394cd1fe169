"""A stage that writes into a run holds the run's lock from its first read to its last write."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from genret.artifacts import Run
from genret.typing import PathLike

P = ParamSpec("P")
R = TypeVar("R")


def writes_run(
    stage: Callable[Concatenate[PathLike, P], R],
) -> Callable[Concatenate[PathLike, P], R]:
    """Wrap a stage so that it holds the lock of its run while it works.

    Meanwhile every other process that wants to write into the run is refused. A stage may call
    another one. See :meth:`genret.artifacts.Run.writing`.
    """

    @functools.wraps(stage)
    def held(run: PathLike, *args: P.args, **kwargs: P.kwargs) -> R:
        with Run.open(run).writing():
            return stage(run, *args, **kwargs)

    return held


def first_writes_run(
    stage: Callable[Concatenate[PathLike, P], R],
) -> Callable[Concatenate[PathLike, P], R]:
    """Wrap a stage of several processes: the first one holds the lock, as :func:`writes_run` does."""
    held = writes_run(stage)

    @functools.wraps(stage)
    def one_holds(run: PathLike, *args: P.args, **kwargs: P.kwargs) -> R:
        from genret.training import is_first

        return (held if is_first() else stage)(run, *args, **kwargs)

    return one_holds


def makes_run(
    stage: Callable[Concatenate[PathLike, P], R],
) -> Callable[Concatenate[PathLike, P], R]:
    """Wrap a stage as :func:`writes_run` does, and create the run folder if it does not exist."""
    held = writes_run(stage)

    @functools.wraps(stage)
    def made(run: PathLike, *args: P.args, **kwargs: P.kwargs) -> R:
        Run.open(run, create=True)
        return held(run, *args, **kwargs)

    return made
