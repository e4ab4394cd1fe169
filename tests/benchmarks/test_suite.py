"""The suite: points are measured once, kept as lines, shown, drawn and compared."""

import json
import os
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as program
from benchmarks import paper, suite
from benchmarks.methods import METHODS, Ours, StaticStyle, Unsupported
from benchmarks.plots import machines, who_wins
from benchmarks.process import in_own_process
from benchmarks.record import Record, read
from benchmarks.suite import OF_PAPER, POINTS, WITH_MODEL, measure
from benchmarks.timing import interleave, merge, more_than, times_of
from benchmarks.workload import Point, Workload
from genret.errors import GenretError

pytestmark = pytest.mark.slow  # dozens of programs are compiled and timed

SMALL = {"codes": 16, "depth": 2, "batch": 2, "beams": 4, "repeats": 3}
FAILED = {"sizes": {"depth": 1}, "methods": {"genret": {"error": "not measured"}}}
METHODS_OF_TEST = ("unconstrained", "genret", "static-style")


def _record(path: Path | None, preset: str = "smoke", *, resume: bool = False) -> Record:
    heading = {"preset": preset, "environment": {"device": "cpu"}}
    return Record(path, heading, resume=resume, say=lambda _: None)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the run of two points."""
    folder = tmp_path_factory.mktemp("run")
    record = _record(folder / "a.json")
    points = [Point(items=n, methods=METHODS_OF_TEST, **SMALL) for n in (50, 200)]
    for key, measured in suite.points(points).items():
        record.point(key, measured)
    return folder


def test_a_point_has_all_figures(run_folder: Path) -> None:
    points = read(run_folder / "a.json")["points"]
    for line in points.values():
        assert list(line["methods"]) == [*METHODS_OF_TEST]
        for name, own in line["methods"].items():
            assert own["ms"] > 0
            assert [len(rounds) for rounds in own["rounds_ms"]] == [3]
            assert own["step_ms"] == pytest.approx(own["ms"] / 2)
            if name != "unconstrained":
                assert (own["valid"], own["of_exact"]) == (1.0, 1.0)
                assert own["bytes"] > 0
        first = line["methods"]["unconstrained"]
        assert (first["over_first_ms"], first["times_first"]) == (0, 1)
        assert line["floors"]["logsumexp_ms"] > 0


def test_a_run_goes_on_where_it_was_killed(run_folder: Path, tmp_path: Path) -> None:
    points = [Point(items=n, methods=("unconstrained",), **SMALL) for n in (50, 200)]
    document = read(run_folder / "a.json")
    first = document["points"][points[0].key]
    del document["points"][points[1].key]
    file = tmp_path / "b.json"
    file.write_text(json.dumps(document))
    measured = []
    record = _record(file, resume=True)
    for key, measure_it in suite.points(points).items():
        measured += [] if record.has(key) else [key]
        record.point(key, measure_it)
    assert measured == [points[1].key]
    found = read(file)
    assert found["resumed"] == 1
    assert found["points"][points[0].key] == first
    assert len(found["points"]) == 2


@pytest.mark.slow
def test_processes_share_the_rounds(run_folder: Path, tmp_path: Path) -> None:
    point = Point(items=50, methods=METHODS_OF_TEST, processes=2, **SMALL)
    (line,) = (measured() for measured in suite.points([point]).values())
    assert line["sizes"]["repeats"] == 3
    assert line["floors"]["logsumexp_ms"] > 0
    for own in line["methods"].values():
        assert [len(rounds) for rounds in own["rounds_ms"]] == [2, 2]
        medians = [statistics.median(rounds) for rounds in own["rounds_ms"]]
        assert own["ms"] == pytest.approx(statistics.mean(medians), abs=1e-4)
        assert len(own["quartiles_ms"]) == 2


def test_a_killed_process_is_a_point_of_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        in_own_process(os._exit, 9)

    monkeypatch.setattr(suite, "in_own_process", killed)
    point = Point(items=60, methods=("genret",), processes=3, **SMALL)
    (found,) = (measured() for measured in suite.points([point]).values())
    assert "was killed" in found["methods"]["genret"]["error"]
    assert found["sizes"]["items"] == 60


def test_errors_of_one_process_are_the_methods() -> None:
    good = {"methods": {"a": {"rounds_ms": [[1.0]], "ms": 1.0}, "b": {"ms": 2.0}}}
    bad = {"methods": {"a": {"error": "no"}, "b": {"ms": 3.0}}}
    assert merge([good, bad]) == {"methods": {"a": {"error": "no"}, "b": {"ms": 2.5}}}


def test_a_wrong_answer_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    right = StaticStyle.step

    def worst_first(self: StaticStyle, logits: object, beams: object, width: int) -> object:
        return right(self, -logits, beams, width)  # type: ignore[operator]

    monkeypatch.setattr(StaticStyle, "step", worst_first)
    # A size of its own: what was traced before is not traced again.
    sizes = SMALL | {"beams": 5}
    found = measure(Point(items=60, methods=("genret", "static-style"), **sizes))["methods"]
    assert "not the answer of brute force" in found["static-style"]["error"]
    assert "ms" not in found["static-style"]
    assert found["genret"]["of_exact"] == 1.0


def test_what_cannot_be_measured_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: object) -> None:
        raise Unsupported("genret: too large")

    monkeypatch.setattr(Ours, "build", too_large)
    found = measure(Point(items=60, methods=("genret", "static-style"), **SMALL))["methods"]
    assert found["genret"] == {"error": "Unsupported: genret: too large"}
    assert found["static-style"]["ms"] > 0
    assert "over_first_ms" not in found["static-style"]


def test_the_page_needs_no_network(run_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "run.html"
    assert program.main(["page", str(run_folder / "a.json"), "--out", str(page)]) == 0
    text = page.read_text()
    assert text.count("<svg") == 1  # the map of who wins where
    assert "src=" not in text
    assert "static-style" in text
    assert 'name=viewport content="width=device-width' in text


def test_rounds_are_shared_out() -> None:
    ran = []

    def takes(name: str, seconds: float) -> None:
        ran.append(name)
        time.sleep(seconds)

    functions = {"long": partial(takes, "long", 0.02), "short": partial(takes, "short", 0.0)}
    between = dict.fromkeys(functions, partial(takes, "between", 0.0))
    found = interleave(functions, 5, warm=0, seconds_each=0.03, before=between)
    assert ran == 3 * ["between", "long", "between", "short"] + 2 * ["between", "short"]
    assert [len(own["rounds_ms"]) for own in found.values()] == [3, 5]
    one_process = {name: {"rounds_ms": [own["rounds_ms"]]} for name, own in found.items()}
    assert times_of(one_process["long"], one_process["short"]) > 1


def test_a_disturbed_process_hardly_moves_a_ratio() -> None:
    rng = np.random.default_rng(0)
    quiet = [rng.normal(1.0, 0.01, 50) for _ in range(3)]
    twice = [2.0 * rng.normal(1.0, 0.01, 50) for _ in range(3)]
    moody = [*twice[:2], 1.5 * twice[2]]  # all of a process, and of one method alone
    base = {"rounds_ms": quiet}
    assert times_of({"rounds_ms": twice}, base) == pytest.approx(2.0, rel=0.01)
    assert times_of({"rounds_ms": moody}, base) == pytest.approx(2.0, rel=0.02)
    assert more_than({"rounds_ms": moody}, base) == pytest.approx(1.0, rel=0.04)
    assert (times_of(base, base), more_than(base, base)) == (1.0, 0.0)


def test_the_map_says_who_wins_where() -> None:
    def line(items: int, model: str | None = None) -> dict:
        sizes = {"items": items, "codes": 256, "depth": 4, "batch": 2, "beams": 7, "model": model}
        times = {"unconstrained": 0.5, "genret": 1.0, "static-style": 3.0, "ppv-top50": 0.25}
        methods: dict = {
            name: {"ms": ms, "rounds_ms": [[ms]], "valid": 1.0, "of_exact": 1.0}
            for name, ms in times.items()
        }
        methods["unconstrained"]["valid"] = methods["ppv-top50"]["of_exact"] = 0.5
        methods["marisa"] = {"error": "Unsupported: marisa: no"}
        return {"sizes": sizes | {"kind": "uniform"}, "methods": methods}

    points = [line(10**n) for n in range(2, 16)]
    figure = who_wins(points)
    assert figure is not None
    upper, lower = figure.axes
    methods = [label.get_text() for label in upper.get_yticklabels()]
    assert methods == ["unconstrained", "genret", "ppv-top50", "static-style"]
    assert [len(axes.get_xticks()) for axes in figure.axes] == [12, 2]
    assert [text.get_text() for text in lower.texts] == 2 * ["0.50", "1 ms", "0.25", "3.0"]
    framed = [patch for patch in lower.patches if patch.get_facecolor()[3] == 0]
    assert [patch.get_y() // 1 for patch in framed] == [1, 1]  # ours: the others are wrong or slow
    assert who_wins([{"sizes": {}, "methods": {"genret": {"error": "no"}}}]) is None


def test_three_machines_side_by_side() -> None:
    where = "|C|=1000000 V=2048 L=8 B=2 M=70 uniform"
    times = {"genret": {"ms": 1.25}, "unconstrained": {"ms": 30.0}, "marisa": {"error": "no"}}
    compiled = {
        f"v6e genret {where}": {"method": "genret", "cycles": 2_886_427},
        f"v6e static-style {where}": {"method": "static-style", "error": "no"},
        f"h100 genret {where}": {"method": "genret", "kernels": 70, "copies": 6},
    }
    figure = machines({f"given logits {where}": {"methods": times}}, compiled)
    said = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert said == [[" 1.25", " 30"], [" 2,886"], [" 70"]]


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("no run\n")
    (tmp_path / "none").write_text("[1]")
    (tmp_path / "point").write_text('{"points": {"a": 1}}')
    for arguments, message in (
        (["page", str(tmp_path / "none")], "found no points"),
        (["page", str(tmp_path / "point")], "'a' is no point"),
        (["page", str(tmp_path / "text")], "not valid JSON"),
        (["page", str(tmp_path / "absent")], "cannot be read"),
        (["--resume"], "resume: found no file"),
        (["--static", str(tmp_path)], "static: found no"),
        (["--only", "3000M"], "which no point has in its name; one is 'given logits"),
    ):
        assert program.main(arguments) == 2
        assert message in capsys.readouterr().err
    _record(tmp_path / "x")
    with pytest.raises(GenretError, match="is of preset 'smoke'"):
        _record(tmp_path / "x", "bars", resume=True)


@pytest.mark.parametrize("preset", ["smoke", "bars", "paper", "models"])
def test_presets_name_each_point_once(preset: str) -> None:
    points = POINTS[preset]  # type: ignore[index]
    assert len({point.key for point in points}) == len(points)
    assert {name for point in points for name in point.methods} <= METHODS.keys()
    assert {*OF_PAPER, *WITH_MODEL} <= METHODS.keys()


def test_some_points_of_a_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(suite, "measure", lambda point: asked.append(point.key) or FAILED)
    monkeypatch.setattr(suite, "in_own_process", lambda function, *args: function(*args))
    assert program.main(["--preset", "models", "--only", "0.3M", "300M"]) == 0
    assert [key.split()[0] for key in asked] == ["0.3M", "300M"]


@pytest.mark.slow
def test_the_smoke_preset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "smoke.html"
    assert (
        program.main(["--preset", "smoke", "--json", str(tmp_path / "s"), "--page", str(page)]) == 0
    )
    points = read(tmp_path / "s")["points"]
    for line in points.values():
        for name, own in line["methods"].items():
            if name == "marisa" and "error" in own:
                assert "pip install" in own["error"]
            elif name == "static-style" and line["sizes"]["filters"]:
                assert "needs an index for each set" in own["error"]
            else:
                assert own["ms"] > 0
    assert page.exists()
    assert "genret" in capsys.readouterr().out


@pytest.mark.slow
def test_filters_and_updates_are_points() -> None:
    methods = (*METHODS_OF_TEST, "ppv-incremental")
    found = measure(Point(items=200, filters=2, methods=methods, **SMALL))["methods"]
    assert found["genret"]["of_exact"] == 1.0
    assert found["genret"]["restrict_s"] > 0
    assert "an index for each set" in found["static-style"]["error"]
    found = measure(Point(items=200, inserted=0.1, methods=methods, **SMALL))["methods"]
    for name in methods[1:]:
        assert found[name]["of_exact"] == 1.0  # the late items are among the answers
        assert min(found[name]["update_s"], found[name]["refresh_s"], found[name]["queued_ms"]) > 0
    with pytest.raises(GenretError, match="expected one of them"):
        Workload.of(Point(items=200, filters=1, inserted=0.1, **SMALL))


def test_a_run_beside_the_paper() -> None:
    def line(items: int, codes: int, model: str | None = None) -> dict:
        sizes = {"items": items, "codes": codes, "depth": 8, "model": model}
        times = {name: {"over_first_ms": items**0.5, "step_ms": 1} for name in OF_PAPER[:-1]}
        times["unconstrained"] = {"over_first_ms": 0.0, "step_ms": 10.0}
        return {"sizes": sizes, "methods": times | {"cpu-trie": {"error": "Unsupported: ..."}}}

    points = [line(10**5, 2048), line(10**6, 2048), line(10**7, 256), line(10**7, 2048, "30M")]
    first, over_items, over_codes = paper.tables(points)
    assert first.rows[0] == ["STATIC", "+0.033 ms, 0.25%", "+3162.278 ms, 31622.8%"]
    assert first.rows[4][2] == "too large"
    assert over_items.rows[-1] == [
        "growth with the items: slope of the logarithms", "0.12, 0.50", "0.00, 0.50", "0.16, 0.50", "0.38, 0.50",
        "0.01, too few above 0", "0.50",
    ]  # fmt: skip
    assert over_codes.rows[0][1] == "0.040, 3162.278"
    assert over_codes.rows[-1][1] == "too few above 0, too few above 0"
    text = paper.markdown({"processor": "a chip", "cores": 2}, points)
    assert text.startswith("theirs: TPU v6e")
    assert "| growth with the codes: slope of the logarithms | too few above 0, " in text
    with pytest.raises(GenretError, match="no points of the preset"):
        paper.tables([])
