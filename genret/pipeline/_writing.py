"""Stages that write into a run hold it from their first read to their last write."""

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
    """Return the stage, holding the run that it is given for writing.

    Another process that writes into the same run is refused meanwhile; stages that call each other
    are not. See :meth:`genret.artifacts.Run.writing`.
    """

    @functools.wraps(stage)
    def held(run: PathLike, *args: P.args, **kwargs: P.kwargs) -> R:
        with Run.open(run).writing():
            return stage(run, *args, **kwargs)

    return held


def makes_run(
    stage: Callable[Concatenate[PathLike, P], R],
) -> Callable[Concatenate[PathLike, P], R]:
    """Return the stage as :func:`writes_run` does, making the run folder where there is none."""
    held = writes_run(stage)

    @functools.wraps(stage)
    def made(run: PathLike, *args: P.args, **kwargs: P.kwargs) -> R:
        Run.open(run, create=True)
        return held(run, *args, **kwargs)

    return made
