"""Options of a service: text of a command line, or values of a configuration file."""

from pathlib import Path
from typing import Any

import pytest

from genret.errors import GenretError
from genret.serving._options import config_of


def test_text_becomes_values_and_paths_absolute(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    given = {"run": "run", "filters": "f.json", "k": "20", "batch_sizes": "[1, 16]", "wait_ms": 1}
    found = config_of(given)
    assert (found.run, found.filters) == (str(run), str(run.parent / "f.json"))
    assert (found.k, found.batch_sizes, found.wait_ms) == (20, (1, 16), 1.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"run": "/no/such"}, "/no/such: no such run folder"),
        ({"k": 3}, "run: left out"),
        ({"k": "many"}, "k: found 'many', expected int"),
        ({"kk": "3"}, "unknown key 'kk' of ServeConfig; did you mean 'k'"),
        ({"k": "60"}, "beams: found 50, expected at least k, 60"),
        ({"batch_sizes": "[8, 1]"}, r"batch_sizes: found \[8, 1\], expected .* ascending"),
    ],
)
def test_bad_options(run: Path, options: dict[str, Any], said: str) -> None:
    given = options if said.startswith("run:") else {"run": str(run)} | options
    with pytest.raises(GenretError, match=said):
        config_of(given)
