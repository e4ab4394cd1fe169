"""The budget on accelerators: its bars, its table, and that no change costs cycles unseen."""

import importlib.util
import json
from importlib import metadata
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import accelerators as acc
from benchmarks.bars import evaluate
from benchmarks.cycles import compile_for
from benchmarks.device import markdown
from benchmarks.launches import GPUS, read_launches
from benchmarks.record import Record
from benchmarks.workload import Point
from genret.errors import GenretError


def _record(cycles: dict[tuple[str, Point], int]) -> Record:
    record = Record(None, {"preset": "bars"}, say=lambda _: None)
    for (method, size), count in cycles.items():
        figures = {
            "chip": "v6e", "method": method, "size": size.sizes(), "cycles": count,
            "kinds": {"sort": count}, "hbm_bytes": 9,
        }  # fmt: skip
        if method == acc.OURS:
            figures["wrong_answers"] = int(count > 1000)
        record.point(f"v6e {method} {size.size}", lambda f=figures: f)
    return record


def test_bars_are_ratios_of_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    small = acc.GRID[1]
    record = _record(
        {
            (acc.OURS, acc.MAIN): 100, (acc.RIVAL, acc.MAIN): 400, (acc.OURS, small): 800,
            (acc.RIVAL, small): 800, (acc.OURS, acc.WIDE): 300, (acc.STYLE, acc.WIDE): 400,
            (acc.OURS, acc.FREE): 1000, (acc.OURS, acc.RULED): 1200,
        }
    )  # fmt: skip
    evaluate(record.document, acc.BARS)  # two points of nine
    assert "v6e_geomean_over_static" not in record.document["bars"]
    assert "v6e_worst_over_static" not in record.document["verdicts"]
    monkeypatch.setattr(acc, "GRID", (acc.MAIN, small))
    evaluate(record.document, acc.BARS)
    assert record.document["bars"] == {
        "v6e_main_over_static": 0.25,
        "v6e_geomean_over_static": 0.5,
        "v6e_worst_over_static": 1.0,
        "v6e_b16_over_static_style": 0.75,
        "v6e_rules_over_none": 1.2,
        "wrong_answers": 1,
    }
    met = {name: verdict["met"] for name, verdict in record.document["verdicts"].items()}
    assert met["v6e_main_over_static"]
    assert not met["v6e_worst_over_static"]
    assert not met["wrong_answers"]
    (shown,) = acc.tables(record.document)
    titles, rows = shown.columns, shown.rows
    assert titles[1] == "cycles"
    assert rows[0][:2] == [f"{acc.OURS} |C|=1000000 V=2048 B=2 uniform", "100"]
    assert len(rows[0]) == len(titles)
    absent = {"chip": "h100", "method": acc.OURS, "error": "jax[cuda12] is absent: pip install it"}
    record.add(f"h100 {acc.OURS} {acc.MAIN.size}", absent)
    assert [row[1:] for row in acc.tables(record.document)[1].rows] == [
        ["jax[cuda12] is absent: pip install it"]
    ]


def test_sizes_have_names_of_their_own() -> None:
    for sizes in acc.SIZES.values():
        assert len({size.size for size in sizes}) == len(sizes)
    assert len(acc.GRID) == 9


def test_unknown_chips_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--chips", "v99"], "chips: found ['v99'], expected some of ['v5e', 'v6e', 'v7x', 'a100'"),
        (["--resume"], "resume: found no file"),
    ):
        assert program.main(["accelerators", *arguments]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(GenretError, match="expected one of"):
        compile_for("gtx", abs, 1.0)


def test_launches_are_counted(tmp_path: Path) -> None:
    (tmp_path / "hlo").mkdir()
    sequence = (
        "000: kSequential [source]\n    001: kCustomKernel [x] a grid: [1]\n    002: kCopy [x]\n"
    )
    (tmp_path / "hlo" / "m.thunk_sequence.txt").write_text(sequence)
    (tmp_path / "hlo" / "m.thunk_sequence_after_thunk_passes.txt").write_text(
        "000: kCommandBuffer [x]\n" + sequence
    )
    (tmp_path / "hlo" / "m.gpu_after_optimizations.txt").write_text(
        "ENTRY %main (a: f32[4]) -> f32[4] {\n  %a = f32[4]{0} parameter(0)\n"
        "  ROOT %copy.1 = f32[4]{0} copy(%a)\n}\n"
    )
    found = read_launches(tmp_path)
    assert (found["kernels"], found["copies"], found["graphs"], found["bytes"]) == (1, 1, 1, 32)


def test_gpus_are_described() -> None:
    text = GPUS["h100"].target_config("h100")
    assert "major: 9 minor: 0" in text
    assert text.count("{") == text.count("}")


@pytest.mark.slow
@pytest.mark.tpu_backend
def test_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("compiling for TPU needs libtpu (pip install 'jax[tpu]')")
    file, page = tmp_path / "a.json", tmp_path / "a.html"
    few = ["--preset", "smoke", "--chips", "v6e,h100", "--methods", "genret", "static-style"]
    assert program.main(["accelerators", *few, "--json", str(file), "--page", str(page)]) == 0
    document = json.loads(file.read_text())
    assert document["bars"]["wrong_answers"] == 0
    assert document["figures"] == acc.LABEL
    found = {key: p for key, p in document["points"].items() if key.startswith("v6e")}
    assert len(found) == 2
    for point in found.values():
        assert point["cycles"] == sum(point["kinds"].values()) > 0
        assert point["hbm_bytes"] > 0
    assert "width=device-width" in page.read_text()
    assert acc.LABEL in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.tpu_backend
def test_the_main_point_is_within_its_budget() -> None:
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("compiling for TPU needs libtpu (pip install 'jax[tpu]')")
    if not acc.BUDGET.exists():
        pytest.skip("no budget is committed")
    budget = json.loads(acc.BUDGET.read_text())
    now, style = (
        measure()
        for measure in acc.points((acc.MAIN,), ("v6e",), "", (acc.OURS, acc.STYLE)).values()
    )
    then, old = (budget["points"][f"v6e {m} {acc.MAIN.size}"] for m in (acc.OURS, acc.STYLE))
    assert now["wrong_answers"] == 0
    versions = budget["environment"]["versions"]
    if all(metadata.version(name) == versions[name] for name in ("jax", "libtpu")):
        assert acc.over_budget(now, then) == []
    else:  # another compiler counts other cycles: of both programs alike, nearly
        assert now["cycles"] / style["cycles"] <= 1.1 * then["cycles"] / old["cycles"]


@pytest.mark.slow
def test_the_attached_device_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "d.json"
    assert program.main(["device", "--smoke", "--json", str(file)]) == 0
    table = markdown(json.loads(file.read_text()))
    assert table in capsys.readouterr().out
    assert "4 random tries, 0 wrong answers, 0 invalid items" in table
    assert "| genret |" in table
