"""What a training in another process reports arrives here, also from one that was started again."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from genret import pipeline
from genret.config import TrainConfig, TrainEngineConfig
from genret.errors import GenretError
from genret.pipeline._relay import Receiver, Sender


class Noted:
    """A Progress that notes what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[None]:
        self.lines.append(f"begin {title}")
        yield
        self.lines.append(f"end {title}")

    def say(self, text: str) -> None:
        self.lines.append(text)

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[..., None]]:
        self.lines.append(f"{title} of {total}")
        yield lambda n=1, note=None: self.lines.append(f"+{n} {note}")


def test_reports_of_a_sender_and_of_the_one_after_it() -> None:
    noted, records = Noted(), list[Any]()
    with Receiver(noted, records.append) as receiver:
        sender = Sender(receiver.receive)
        lost = sender.stage("train")
        lost.__enter__()
        with sender.stage("train"), sender.progress("steps", 9) as advance:
            advance(4, "compiling")
            sender.say("step 4")
            receiver.receive(("metrics", {"step": 4}))
    assert records == [{"step": 4}]
    assert noted.lines == [
        "begin train", "end train", "begin train", "steps of 9", "+4 compiling", "step 4",
        "end train",
    ]  # fmt: skip


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "genret.pipeline._ray", raising=False)
    with pytest.raises(GenretError, match=r"engine: .*pip install genret\[ray\]"):
        pipeline.train(tmp_path, engine=TrainEngineConfig(engine="ray"))


def test_several_workers_need_a_mesh(tmp_path: Any) -> None:
    engine = TrainEngineConfig(engine="ray", workers=2)
    with pytest.raises(GenretError, match="--mesh: found none with 2 workers"):
        pipeline.train(tmp_path, TrainConfig(), engine=engine)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers: found 0"),
        ({"restarts": -1}, "restarts: found -1"),
        ({"gpus_per_worker": 1, "tpus_per_worker": 4}, "gpus_per_worker: found 1 with"),
        ({"tpu_type": "TPU-V6E", "tpus_per_worker": 4}, "tpu_topology: found none with"),
        ({"tpu_type": "TPU-V6E", "tpu_topology": "4x4"}, "and tpus_per_worker = 0, expected all"),
        ({"tpus_per_worker": 4, "workers": 4}, "tpu_topology: found none with 4 workers"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GenretError, match=message):
        TrainEngineConfig(engine="ray", **options)
