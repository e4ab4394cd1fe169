"""Points of a service on Ray Serve: users a second and waiting times at rising load, and overload.

Proxy, replica and the clients share this machine's cores, which ``recommend_many`` has for itself:
same model, users, k and beams. Two services of the same replica are compared with it: clients that ask
for several users in one request, as a page or a mailing does, and clients that ask for one user each.
"""

import asyncio
import functools
import json
import os
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.process import Figures, in_own_process, make_run
from benchmarks.record import Points
from genret.histories import Histories

K, BEAMS, QUEUE = 10, 50, 128
HISTORY = 50
"""Longest history of a request."""
LOADS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Clients that ask one request after the other."""
SATURATING, OVERLOADING = 64, 512
TOGETHER, ASKING_TOGETHER = 256, 3
"""Users of a request that asks for several, and clients that send such requests."""
ROUNDS = 5
"""Times that service and ``recommend_many`` are measured, in turn."""
MODELS = {
    "tiny": ("--levels 4 --codebook-size 256", "--preset tiny"),
    "base": ("--levels 4 --codebook-size 256", "--preset base"),
    "beauty": ("--levels 2 --codebook-size 1024", "--recipe beauty"),
}
"""Model -> options of its codes and of its training, which is a step: any parameters cost the same."""


def points(model: str, items: int, seconds: float) -> Points:
    """Serve one of the models, which knows so many items; each load lasts so many seconds."""
    key = f"serve: {model}, {items} items"
    return {key: functools.partial(_served, model, items, seconds)}


def _served(model: str, items: int, seconds: float) -> Figures:
    codes, train = MODELS[model]
    # Answers of any parameters cost the same, so the model is hardly trained.
    prepare = functools.partial(
        make_run, ingest=f"--synthetic --synthetic-users 500 --synthetic-items {items}",
        tokenize=f"--method random {codes}", index="",
        train=f"{train} --steps 1 --batch-size 2 --eval-users 1",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        in_own_process(prepare, run)
        return in_own_process(_measured, str(run), seconds)


def _measured(run: str, seconds: float) -> Figures:
    """Start a service of a run and ask it, in a process of its own."""
    os.environ |= {
        "XLA_FLAGS": "",  # one device, as the service has
        # A busy machine takes long to start a proxy, which Ray would kill and start anew.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "200",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
        "RAY_worker_niceness": "0",  # as what it is compared with; Ray's default is 15
    }
    import ray
    from ray import serve

    from genret.recommend import Recommender
    from genret.serving import app

    shop = Recommender.load(run)
    rng = np.random.default_rng(0)
    lists = [rng.integers(0, shop.num_items, n) for n in rng.integers(2, HISTORY, 2048)]
    histories = Histories.from_lists(lists)
    ids = shop.index.ids_of(np.arange(shop.num_items)).tolist()
    asked = [{"history": [ids[row] for row in own]} for own in lists]
    groups = [asked[n : n + TOGETHER] for n in range(0, len(asked), TOGETHER)]
    bodies = {
        1: [json.dumps(one).encode() for one in asked],
        TOGETHER: [json.dumps({"requests": group}).encode() for group in groups],
    }

    def alone() -> float:
        start, users = time.perf_counter(), 0
        while time.perf_counter() < start + seconds:
            shop.recommend_many(histories.take(np.arange(512) + users % 2048), K, beams=BEAMS)
            users += 512
        return users / (time.perf_counter() - start)

    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="error")
    serve.start(http_options={"port": port})
    service = {"run": run, "k": K, "beams": BEAMS, "most_items": HISTORY, "queue": QUEUE}
    serve.run(app(service), name="shop")

    def load(clients: int, users: int = 1) -> Figures:
        url = f"http://127.0.0.1:{port}/"
        return asyncio.run(_asked(url, bodies[users], clients, seconds, users))

    alone(), load(SATURATING), load(ASKING_TOGETHER, TOGETHER)  # compiled, connected, warm
    rounds = [(alone(), load(ASKING_TOGETHER, TOGETHER), load(SATURATING)) for _ in range(ROUNDS)]
    loads = {str(clients): load(clients) for clients in LOADS}
    overload = load(OVERLOADING)
    serve.shutdown()
    ray.shutdown()
    own, several, one = (
        np.array([x if isinstance(x, float) else x["users_per_second"] for x in column])
        for column in zip(*rounds, strict=True)
    )
    best = max(each["users_per_second"] for each in loads.values())
    below = [each for each in loads.values() if each["users_per_second"] < 0.9 * best]
    return {
        "over_recommend_many": float(np.median(several / own)),
        "one_user_over_recommend_many": float(np.median(one / own)),
        "recommend_many": float(np.median(own)),
        "users_per_second": float(np.median(several)),
        "one_user_users_per_second": float(np.median(one)),
        "p99_over_p50": max(each["p99_ms"] / each["p50_ms"] for each in below),
        "failed": sum(x["failed"] for x in (*loads.values(), overload, *(r[1] for r in rounds))),
        "refused_before": sum(each["refused"] for each in loads.values()),
        "refused": overload["refused"],
        "overload_over_best": overload["users_per_second"] / best,
        "loads": loads,
        "overload": overload,
    }


async def _asked(
    url: str, bodies: Sequence[bytes], clients: int, seconds: float, users: int
) -> Figures:
    """Let clients ask one request after the other; one that is refused waits as it is told.

    Each body asks for so many users.
    """
    import aiohttp

    took: list[float] = []
    refused = failed = 0
    start = time.perf_counter()

    async def client(number: int, session: aiohttp.ClientSession) -> None:
        nonlocal refused, failed
        while (asked := time.perf_counter()) < start + seconds:
            body = bodies[number % len(bodies)]
            number += clients
            async with session.post(url, data=body) as answer:
                await answer.read()
            if answer.status == 200:
                took.append(time.perf_counter() - asked)
            elif answer.status == 503:
                refused += 1
                await asyncio.sleep(float(answer.headers["Retry-After"]))
            else:
                failed += 1

    connections = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connections) as session:
        await asyncio.gather(*(client(number, session) for number in range(clients)))
    p50, p99 = np.percentile(took, [50, 99]) * 1000
    return {
        "users_per_second": users * len(took) / (time.perf_counter() - start),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "refused": refused,
        "failed": failed,
    }
