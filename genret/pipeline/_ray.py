"""A training on a Ray cluster: Ray Train's JaxTrainer places the workers, and restarts what is lost.

The only file of this package that imports Ray. Each worker does what a process does that is started
by hand with ``--coordinator``: it joins the others and trains. Ray tells it the number, and the first
worker tells the address. That checkpoints are whole or absent is what makes a restart harmless.
"""

import contextlib
import logging
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from genret.config import ProcessesConfig, TrainEngineConfig
from genret.errors import GenretError
from genret.kept_programs import keep_programs
from genret.pipeline._progress import Progress
from genret.pipeline._relay import Message, Receiver, Sender
from genret.pipeline._train import train
from genret.training import LostProcessError, is_first, joined
from genret.typing import PathLike

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
try:
    import ray
    import ray.train
    import ray.train.collective
    from ray.train.v2.jax import JaxConfig, JaxTrainer
    from ray.util.queue import Empty, Queue
except ImportError as e:
    raise GenretError("engine: found 'ray', expected it installed: pip install genret[ray]") from e

_START_TIMEOUT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
_POLL_S = 0.5


def train_on_ray(
    run: PathLike,
    options: dict[str, Any],
    engine: TrainEngineConfig,
    join_timeout: int,
    *,
    progress: Progress,
    on_metrics: Callable[[dict[str, Any]], object] | None,
) -> dict[str, Any]:
    """Train on a cluster.

    Args:
      run: the run folder, as every node sees it.
      options: those of :func:`genret.pipeline._train.train`.
      engine: the cluster, and what a worker reserves.
      join_timeout: seconds that the workers are waited for.
      progress: receives what the first worker reports.
      on_metrics: called with each record of the first worker.

    Returns:
      What the training returns in the first worker.

    Raises:
      GenretError: there is no such cluster or no room in it, a worker refuses what it is given, or
        workers were lost more often than they may be.
    """
    with (
        # What Ray Train writes for itself: every worker has to see it.
        tempfile.TemporaryDirectory(prefix=".ray-", dir=run, ignore_cleanup_errors=True) as storage,
        contextlib.redirect_stdout(_WithoutRay(sys.stdout)),
        _cluster(engine),
        _environment(_START_TIMEOUT, str(join_timeout)),
        Receiver(progress, on_metrics) as receiver,
        _queue() as told,
    ):
        trainer = JaxTrainer(
            _work,
            train_loop_config={
                "run": os.fspath(run), "options": options, "told": told,
                "join_timeout": join_timeout,
            },
            # The workers join as processes do that are started by hand, on every kind of device:
            # on CPUs JaxTrainer would not join them at all.
            jax_config=JaxConfig(use_tpu=False, use_gpu=False),
            scaling_config=_scaling(engine),
            run_config=ray.train.RunConfig(
                name="genret", storage_path=storage,
                failure_config=ray.train.FailureConfig(
                    max_failures=engine.restarts, controller_failure_limit=0
                ),
            ),
        )  # fmt: skip
        # Ray Train would take Ctrl-C for itself in the main thread.
        pool = ThreadPoolExecutor(1, thread_name_prefix="ray-train")
        try:
            return _followed(pool.submit(trainer.fit), told, receiver, engine, join_timeout)
        finally:
            pool.shutdown(wait=False)


def _work(given: dict[str, Any]) -> dict[str, Any] | None:
    """Train as one of the workers; the first one returns the result."""
    told: Queue = given["told"]
    number = ray.train.get_context().get_world_rank()
    try:
        told.put(("worker", number))
    except ray.exceptions.RayActorError:
        return (
            None  # nobody listens any more: the training was given up, and is not to be restarted
        )
    address = _own_address() if number == 0 else None
    processes = ProcessesConfig(
        coordinator=ray.train.collective.broadcast_from_rank_zero(address),
        num_processes=ray.train.get_context().get_world_size(),
        process_id=number,
        join_timeout=given["join_timeout"],
    )
    try:
        with joined(processes):
            keep_programs()
            report: dict[str, Any] = {}
            if is_first():
                report = {
                    "progress": Sender(told.put),
                    "on_metrics": lambda record: told.put(("metrics", record)),
                }
            result = train(given["run"], **given["options"], **report)
    except LostProcessError:
        raise  # Ray starts all of them again
    except GenretError as e:
        told.put(("refused", str(e)))
        raise
    return result if number == 0 else None


def _followed(
    fit: "Future[ray.train.Result]",
    told: Queue,
    receiver: Receiver,
    engine: TrainEngineConfig,
    join_timeout: int,
) -> dict[str, Any]:
    """Show what the workers tell until the training has ended; return its result."""
    starts = 0
    while True:
        ended = fit.done()  # before the queue is emptied: nothing comes afterwards
        for name, value in _messages(told):
            if name == "refused":
                raise GenretError(value)
            if name != "worker":
                receiver.receive((name, value))
            elif value == 0:
                if starts:
                    receiver.receive(
                        ("say", "a worker was lost; all go on from the last checkpoint")
                    )
                starts += 1
        if ended:
            break
    try:
        result: dict[str, Any] = fit.result().return_value
    except ray.train.WorkerGroupError as e:
        number, failure = min(e.worker_failures.items())
        raise GenretError(
            f"ray: worker {number} of {engine.workers} failed, and {engine.restarts} restarts were "
            f"made before: {_line(failure)}"
        ) from e
    except ray.train.ControllerError as e:
        if type(e.controller_failure).__name__ != "WorkerGroupStartupTimeoutError":
            raise GenretError(f"ray: {_line(e.controller_failure)}") from e
        raise GenretError(
            f"workers: found no room for {engine.workers} of {_shown(_resources(engine))} within "
            f"{join_timeout} s, in a cluster of {_shown(ray.cluster_resources())}"
        ) from e
    except ray.exceptions.RayError as e:
        raise GenretError(f"ray: {_line(e)}") from e
    return result


class _WithoutRay:
    """Standard output without what a thread of Ray prints there, between two lines of JSON.

    What it has to say of workers that were lost is also in Ray's logs.

    Args:
      out: where everything else goes.
    """

    def __init__(self, out: Any) -> None:
        self._out = out

    def write(self, text: str) -> int:
        if threading.current_thread().name == "ray_listen_error_messages":
            return len(text)
        written: int = self._out.write(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


def _messages(told: Queue) -> Iterator[Message]:
    """Yield what was told: waits a moment for the first message, and for no other."""
    wait = True
    while True:
        try:
            yield told.get(block=wait, timeout=_POLL_S if wait else None)
        except Empty:
            return
        wait = False


@contextlib.contextmanager
def _cluster(engine: TrainEngineConfig) -> Iterator[None]:
    """Connect to the cluster, and part from it if it was this that connected."""
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(engine.ray_address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as e:
        raise GenretError(f"ray_address: cannot connect: {_line(e)}") from e
    try:
        yield
    finally:
        ray.shutdown()  # ends the workers, too, where the training was interrupted


@contextlib.contextmanager
def _queue() -> Iterator[Queue]:
    """Give the queue of what the workers tell; whoever tells something afterwards fails."""
    told = Queue(actor_options={"num_cpus": 0})
    try:
        yield told
    finally:
        told.shutdown(force=True)


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _scaling(engine: TrainEngineConfig) -> ray.train.ScalingConfig:
    try:
        return ray.train.ScalingConfig(
            num_workers=engine.workers,
            resources_per_worker=_resources(engine),
            use_gpu=engine.gpus_per_worker > 0,
            use_tpu=engine.tpus_per_worker > 0,
            accelerator_type=engine.tpu_type,
            topology=engine.tpu_topology,
        )
    except ValueError as e:
        raise GenretError(f"tpu_topology: found what Ray refuses: {_line(e)}") from e


def _resources(engine: TrainEngineConfig) -> dict[str, float]:
    wanted = {
        "CPU": engine.cpus_per_worker,
        "GPU": float(engine.gpus_per_worker),
        "TPU": float(engine.tpus_per_worker),
    }
    return {name: count for name, count in wanted.items() if count}


def _shown(resources: dict[str, float]) -> str:
    """Return resources as text: ``1 CPU, 4 TPU``."""
    found = [f"{resources[name]:g} {name}" for name in ("CPU", "GPU", "TPU") if name in resources]
    return ", ".join(found) or "no CPU"


def _own_address() -> str:
    """Return this node's address with a port that is free now."""
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    host = ray.util.get_node_ip_address()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).strip()[:300]
