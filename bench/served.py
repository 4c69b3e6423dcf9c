"""A gateway that is really served, in a process of its own, into frames that nobody keeps: what HTTP itself costs."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256

import httpx
import psutil
import uvloop
from prometheus_client import CollectorRegistry

from connectors.admission import Admission
from connectors.callers import Callers
from connectors.entry import Entry
from connectors.gateway import Edges, create_app
from connectors.inbox import frame
from connectors.quotas import Quota, Quotas
from ops.ports import free_block
from ops.processes.doors import spare_the_collector
from ops.processes.gateway import server
from ops.settings import Gateway
from schemas.frame import MAX_RECORDS
from streams.telemetry import DoorTelemetry

AT_ONCE = 4
KEY = "bench"


class Frames:
    """An inbox that makes frames of its entries and forgets them."""

    usable = True

    async def put(self, entries: Sequence[Entry]) -> None:
        """See `connectors.inbox.Inbox.put`."""
        for begin in range(0, len(entries), MAX_RECORDS):
            frame(entries[begin : begin + MAX_RECORDS])

    async def reachable(self) -> bool:
        """See `connectors.inbox.Inbox.reachable`."""
        return True


def serve(admission: Admission, agency: str, port: int) -> None:
    """Be the gateway until somebody ends this process."""
    known = {sha256(KEY.encode()).hexdigest(): agency}
    telemetry = DoorTelemetry(CollectorRegistry(), "http", [agency])
    plenty = Quotas(Quota(events_per_sec=1e9, burst=10**9, requests=100))
    app = create_app(Edges(admission, Frames(), Callers(lambda: known), telemetry, plenty))
    spare_the_collector()
    uvloop.run(server(app, Gateway(port=port)).serve())


@contextmanager
def served(admission: Admission, agency: str) -> Iterator[tuple[str, psutil.Process]]:
    """Give the address of a gateway and its process."""
    port = free_block(1)
    process = multiprocessing.get_context("fork").Process(target=serve, args=(admission, agency, port), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                if httpx.get(f"{url}/ready").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url, psutil.Process(process.pid)
    finally:
        process.kill()
        process.join()


async def posted(url: str, bodies: Sequence[bytes], headers: dict[str, str]) -> int:
    """Post every body, some at once; return how many events were accepted."""
    waiting, accepted = iter(bodies), 0

    async def sender(http: httpx.AsyncClient) -> None:
        nonlocal accepted
        for body in waiting:  # one iterator for all senders
            response = await http.post(url, content=body, headers={"X-API-Key": KEY, **headers})
            accepted += response.json()["summary"]["accepted"]

    async with httpx.AsyncClient(timeout=60) as http, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(sender(http))
    return accepted


def rate(
    where: tuple[str, psutil.Process], family: str, bodies: Sequence[bytes], headers: dict[str, str], events: int
) -> float:
    """Return events a CPU-second of the gateway's process; raises SystemExit when one was refused."""
    url, process = where
    before = process.cpu_times()
    accepted = asyncio.run(posted(f"{url}/v1/events/{family}", bodies, headers))
    after = process.cpu_times()
    if accepted != events:
        raise SystemExit(f"{events - accepted} events were refused.")
    return events / (after.user + after.system - before.user - before.system)
