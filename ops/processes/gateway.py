"""The gateway's process: events over HTTP."""

from __future__ import annotations

import asyncio
import signal
import time

import uvicorn
import uvloop
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from connectors.contract_pages import ContractPages
from connectors.gateway import Edges, create_app
from ops import secrets
from ops.access import access
from ops.processes.doors import admission, following, open_inbox, spare_the_collector
from ops.processes.rehearsal import Rehearsal
from ops.settings import Settings
from schemas.codelists import CodeLists
from schemas.conventions import load
from schemas.errors import Unavailable
from streams.telemetry import DoorTelemetry
from streams.topics import Topics

CONNECTIONS = 256
"""Requests under way at most; others are told 503 by uvicorn."""


def run(settings: Settings) -> None:
    """Take events until SIGTERM, then finish what is under way.

    Raises Misconfigured when secrets are missing, Unavailable when Kafka does not answer at start or when the producer
    can no longer be used.
    """
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    convention = load(settings.convention)
    topics = Topics.of(settings.generation, convention)
    metrics = CollectorRegistry()
    ProcessCollector(registry=metrics)
    PlatformCollector(registry=metrics)
    known = admission(settings, convention)
    keys = secrets.agencies(settings.secrets)
    kafka = access(settings, "gateway")
    reach = Rehearsal(settings, "gateway").reach
    async with following(settings, known), open_inbox(kafka, topics, reach=reach) as (_, inbox):
        telemetry = DoorTelemetry(metrics, "http", tuple(convention.agencies))
        app = create_app(Edges(known, inbox, keys, telemetry, metrics))
        lists = CodeLists.load(*convention.codelist_directories)
        app.include_router(ContractPages(convention, lists, time.time).router)
        server = _server(app, *settings.address("gateway"))
        spare_the_collector()
        watch = asyncio.create_task(_stop_when(inbox.lost, server))
        await server.serve()
        watch.cancel()
        if inbox.lost.is_set():
            raise Unavailable("producer-lost", "Kafka refused a frame; the gateway must start anew.")


def _server(app: object, host: str, port: int) -> uvicorn.Server:
    """Return the server; it raises the signal that ended it once more, so signals are left to do nothing then."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return uvicorn.Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]  # any ASGI app
            host=host,
            port=port,
            http="httptools",
            log_config=None,
            access_log=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=20,
        )
    )


async def _stop_when(lost: asyncio.Event, server: uvicorn.Server) -> None:
    await lost.wait()
    server.should_exit = True
