"""The service as a deployment of Ray Serve, which takes the requests, batches them and places replicas.

The only file of this package that imports Ray.
"""

import asyncio
import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from genret.config import ServeConfig
from genret.errors import GenretError
from genret.kept_programs import keep_programs
from genret.serving._requests import Request, read_body, read_several
from genret.serving._service import Answer, Service

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
try:
    import starlette.requests
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException
    from starlette.responses import JSONResponse
except ImportError as e:
    raise GenretError("serving: found no 'ray', expected it: pip install genret[ray]") from e

T = TypeVar("T")
_NEVER_FULL = 1_000_000
_BATCHES = 3
"""Batches at once: one is read, one searched, and the answers of one are written."""
RETRY_AFTER_S = 1
"""Seconds after which a request that was refused may be sent again, as its answer says."""


def _users(asked: list[list[Request]]) -> int:
    """Return how many users requests ask for."""
    return sum(map(len, asked))


class Recommend:
    """A replica: loads the run, compiles, then answers.

    Args:
      config: fields of :class:`genret.config.ServeConfig`.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        keep_programs()
        self._config = ServeConfig.from_dict(config)
        self._service = Service(self._config)
        self._answer.set_max_batch_size(max(self._service.largest_batch, self._config.most_users))
        self._answer.set_batch_wait_timeout_s(self._config.wait_ms / 1000)
        # A refresh takes seconds: it must not wait in line with batches, nor they behind it.
        self._batches = ThreadPoolExecutor(_BATCHES)
        self._refreshes = ThreadPoolExecutor(1)
        self._inside, self._taken, self._searching = 0, 0, 0
        self._room = self._service.largest_batch + self._config.queue
        self._open = asyncio.Event()
        self._open.set()

    async def __call__(self, request: starlette.requests.Request) -> JSONResponse:
        """Answer over HTTP: POST a request, or GET what the service answers."""
        if request.method == "GET":
            return JSONResponse(self._service.describe())
        if request.method != "POST":
            error = {"error": f"method: found {request.method}, expected POST or GET"}
            return JSONResponse(error, status_code=405, headers={"Allow": "GET, POST"})
        if self._waiting >= self._room:
            error = {"error": f"overload: found {self._waiting} users who wait, come again"}
            return JSONResponse(error, status_code=503, headers={"Retry-After": str(RETRY_AFTER_S)})
        try:
            asked = read_body(await request.body(), self._config)
            if isinstance(asked, Request):
                return JSONResponse(await self._answered(asked))
            return JSONResponse(await self._answered_all(asked))
        except GenretError as e:
            return JSONResponse({"error": str(e)}, status_code=400)

    async def recommend(self, values: dict[str, Any]) -> dict[str, Any]:
        """Answer a request that comes through a handle, as JSON values.

        Raises:
          GenretError: a request that cannot be answered.
        """
        return await self._answered(Request.read(values, self._config))

    async def recommend_many(self, values: dict[str, Any]) -> dict[str, Any]:
        """Answer the request of several users that comes through a handle, as JSON values.

        Raises:
          GenretError: other values than ``{"requests": [...]}``.
        """
        return await self._answered_all(read_several(values, self._config))

    async def refresh(self) -> dict[str, Any]:
        """Answer from what the run and the file of filters have now; see :meth:`Service.refresh`.

        Returns:
          What the replica answers now, or ``{"error": text}`` where it goes on with what it has.
        """
        try:
            return await self._in_thread(self._refreshes, self._service.refresh)
        except GenretError as e:
            return {"error": str(e)}

    async def _answered(self, request: Request) -> dict[str, Any]:
        (answer,) = await self._batched([request])
        if isinstance(answer, GenretError):
            raise answer
        return answer

    async def _answered_all(self, asked: list[Request | GenretError]) -> dict[str, Any]:
        """Answer several users; who cannot be answered gets an error in the place of an answer."""
        known = [one for one in asked if isinstance(one, Request)]
        found = iter(await self._batched(known) if known else [])
        answers = [next(found) if isinstance(one, Request) else one for one in asked]
        return {
            "answers": [
                {"error": str(one)} if isinstance(one, GenretError) else one for one in answers
            ]
        }

    async def _batched(self, requests: list[Request]) -> list[Answer]:
        """Answer the users of one request, in a batch with those of others."""
        self._inside += len(requests)
        try:
            self._open_or_close()
            await self._open.wait()
            answers: list[Answer] = await self._answer(requests)
        finally:
            self._inside -= len(requests)
        return answers

    @property
    def _waiting(self) -> int:
        """Users who are asked for and in no batch yet."""
        return self._inside - self._taken

    def _open_or_close(self) -> None:
        """Let waiting requests become a batch where none is computed, or where they fill one."""
        # Ray closes a batch after its wait, even while the one before is computed: under load each
        # would hold one request. So what comes meanwhile waits for this.
        full = self._waiting >= self._config.most_users
        if not self._searching or (self._searching == 1 and full):
            self._open.set()
        else:
            self._open.clear()

    @serve.batch(max_concurrent_batches=_BATCHES, batch_size_fn=_users)
    async def _answer(self, asked: list[list[Request]]) -> list[list[Answer]]:
        users = _users(asked)
        self._taken += users
        self._searching += 1
        self._open_or_close()
        try:
            try:
                requests = list(itertools.chain(*asked))
                found = await self._in_thread(self._batches, self._service.search, requests)
            finally:
                self._searching -= 1
                self._open_or_close()
            answers = iter(await self._in_thread(self._batches, found.answers))
        finally:
            self._taken -= users
        return [list(itertools.islice(answers, len(own))) for own in asked]

    @staticmethod
    async def _in_thread(pool: ThreadPoolExecutor, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            pool, functools.partial(function, *args)
        )


def refresh_replicas(name: str, timeout_s: float) -> list[dict[str, Any]]:
    """Refresh all replicas of an application; see :func:`genret.serving.refresh`."""
    try:
        found = serve.get_app_handle(name).broadcast("refresh").results(timeout_s=timeout_s)
    except (RayServeException, RayError, TimeoutError) as e:
        said = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise GenretError(f"refresh: found no answer of the application {name!r}: {said}") from e
    errors = [one["error"] for one in found if "error" in one]
    if errors:
        raise GenretError(
            f"refresh: {len(errors)} of {len(found)} replicas go on with what they had: {errors[0]}"
        )
    return found


def deployment_of(config: ServeConfig) -> serve.Application:
    """Return the service as an application of Ray Serve."""
    options: dict[str, Any] = {"num_cpus": config.cpus_per_replica}
    if config.gpus_per_replica:
        options["num_gpus"] = config.gpus_per_replica
    if config.tpus_per_replica:
        options["resources"] = {"TPU": config.tpus_per_replica}
    place = serve.deployment(
        num_replicas=config.replicas,
        # Proxies ask a replica that is full again and again, which takes most of their time. So
        # a replica is never full for them: it refuses by itself, at once.
        max_ongoing_requests=_NEVER_FULL,
        max_queued_requests=config.queue,
        backpressure_config={"retry_after_s": RETRY_AFTER_S},
        ray_actor_options=options,
        logging_config={"enable_access_log": False},  # a line a request costs more than its parsing
    )
    return place(Recommend).bind(config.to_dict())
