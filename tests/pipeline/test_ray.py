"""``--engine ray``: two workers learn what two processes learn, also when one is killed."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from genret import pipeline
from genret.cli.main import main
from genret.config import ItemDecoderConfig, TokenizeConfig, TrainConfig, TrainEngineConfig
from genret.data import synthetic_tables
from genret.errors import GenretError
from tests.pipeline.test_relay import Noted
from tests.training.test_rendezvous import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
SHAPE = {
    "width": 16,
    "layers": 1,
    "heads": 2,
    "kv_heads": 2,
    "head_dim": 8,
    "mlp_dim": 32,
    "max_items": 8,
}
TRAIN = {
    "steps": 48, "batch_size": 8, "eval_every": 48, "eval_users": 20, "checkpoint_every": 8,
    "log_every": 8, "mesh": "data=2",
}  # fmt: skip


def words(**values: Any) -> list[str]:
    """Return values as options of the command line."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start a cluster of this machine, whose workers have one device and keep their programs."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install genret[ray]")
    pytest.importorskip("ray.train", reason="ray[train] is not installed")
    with pytest.MonkeyPatch.context() as patch:
        one = re.sub(r"(device_count)=\d+", r"\1=1", os.environ["XLA_FLAGS"])
        patch.setenv("XLA_FLAGS", one)
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
        patch.setenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # a process less in each training
        patch.setenv("RAY_worker_niceness", "0")
        ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield ray
        ray.shutdown()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with a catalog and codes."""
    run = tmp_path_factory.mktemp("prepared") / "run"
    pipeline.ingest(run, *synthetic_tables(60, 40, 8, seed=0))
    pipeline.tokenize(run, TokenizeConfig(method="random", levels=2, codebook_size=8))
    return run


@pytest.fixture(scope="module")
def by_hand(cluster: Any, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that two processes trained which were started by hand."""
    run = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("by_hand") / "run"))
    where = {"coordinator": f"localhost:{free_port()}", "num_processes": 2}
    command = [sys.executable, "-m", "genret", "train", str(run), *words(**SHAPE, **TRAIN, **where)]
    both = [
        subprocess.Popen([*command, f"--process-id={n}"], stderr=subprocess.PIPE, text=True)
        for n in range(2)
    ]
    for process in both:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    return run


def on_ray(run: Path, progress: Noted | None = None, **options: Any) -> dict[str, Any]:
    """Train with two workers; options are those of the engine."""
    return pipeline.train(
        run,
        TrainConfig(**TRAIN),  # type: ignore[arg-type]
        model=ItemDecoderConfig(**SHAPE),
        engine=TrainEngineConfig(engine="ray", workers=2, **options),
        progress=progress or Noted(),
    )


def is_as(run: Path, other: Path) -> None:
    """Compare two trained runs byte by byte."""
    for name in ("model.safetensors", "metrics.jsonl", "manifest.json"):
        assert (run / "model" / name).read_bytes() == (other / "model" / name).read_bytes(), name
    assert sorted(os.listdir(run)) == sorted(os.listdir(other))


def kill_a_worker(run: Path) -> None:
    """Kill one of the workers when there is a checkpoint."""
    compiled = f"JAX_COMPILATION_CACHE_DIR={os.environ['JAX_COMPILATION_CACHE_DIR']}".encode()
    while not list(run.glob("checkpoints/step-*")):
        time.sleep(0.002)
    workers = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            own = compiled in (process / "environ").read_bytes()
            if own and (process / "cmdline").read_bytes().startswith(b"ray::RayTrainWorker"):
                workers.append(int(process.name))
    assert len(workers) == 2
    os.kill(workers[-1], signal.SIGKILL)


def test_the_command_line_learns_what_two_processes_learn(
    by_hand: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(prepared, tmp_path / "run"))
    options = words(**SHAPE, **TRAIN, engine="ray", workers=2)
    assert main(["train", str(run), "--json", *options]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["steps"] == 48
    is_as(run, by_hand)


def test_a_killed_worker_is_started_again(
    by_hand: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, noted = Path(shutil.copytree(prepared, tmp_path / "run")), Noted()
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(on_ray, run, noted)
        kill_a_worker(run)
        assert training.result(timeout=300)["steps"] == 48
    assert noted.lines.count("begin train") == 2
    assert "a worker was lost; all go on from the last checkpoint" in noted.lines
    assert len([line for line in noted.lines if line.startswith("step      8  loss")]) == 1
    assert capsys.readouterr().out == ""
    is_as(run, by_hand)


def test_workers_that_are_lost_too_often_are_one_line(
    cluster: Any, prepared: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(prepared, tmp_path / "run"))
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(on_ray, run, restarts=0)
        kill_a_worker(run)
        with pytest.raises(GenretError, match=r"ray: worker [01] of 2 failed, and 0 restarts .*"):
            training.result(timeout=300)
    assert not (run / "model").exists()


def test_what_a_worker_refuses_is_one_line(
    cluster: Any, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(prepared, tmp_path / "run"))
    options = words(**SHAPE, **TRAIN | {"mesh": "data=3"}, engine="ray", workers=2)
    assert main(["train", str(run), *options]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "mesh: found" in line and "2 devices" in line] == said[-1:]
    assert not any("Traceback" in line for line in said)
    assert sorted(os.listdir(run)) == sorted(os.listdir(prepared))


def test_a_worker_that_never_comes(cluster: Any, prepared: Path) -> None:
    engine = TrainEngineConfig(engine="ray", workers=9)
    said = "workers: found no room for 9 of 1 CPU within 2 s, in a cluster of 4 CPU"
    with pytest.raises(GenretError, match=said):
        pipeline.train(prepared, TrainConfig(mesh="data=9"), engine=engine, join_timeout=2)
