"""What a job says while it runs."""

from unittest.mock import Mock

from genret.scoring._job import Job
from genret.scoring._score import _Meter


def test_a_job_says_which_program_is_compiled() -> None:
    told: list[tuple[int, str]] = []
    job = Mock(spec=Job, shards=[], rows=5)
    meter = _Meter(job, [], lambda *said: told.append(said))
    meter.scorer = Mock()
    meter.scorer.engine.search.widths = (4, 8)
    for excluded in (64, 64, 256):  # a user who has seen more than usual needs a further one
        with meter.compiling((8, excluded)):
            assert told[-1][1].startswith("compiling")
    assert told == [(0, f"compiling program {n} of {most}") for n, most in ((1, 2), (2, 2), (3, 3))]
