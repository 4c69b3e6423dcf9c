"""The gateway's process: events over HTTP."""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from collections.abc import Mapping

import uvicorn
import uvloop
from prometheus_client import CollectorRegistry

from connectors.callers import Callers
from connectors.contract_pages import ContractPages
from connectors.fate_routes import FateRoutes
from connectors.fates import Fates
from connectors.gateway import Edges, create_app
from connectors.preflight_routes import PreflightRoutes
from connectors.quotas import Quota, Quotas
from ops.api_keys import InForce
from ops.asking import asked
from ops.processes.doors import admission, following, open_inbox, spare_the_collector
from ops.processes.http_connection import Connection
from ops.processes.rehearsal import Rehearsal
from ops.settings import Gateway, Settings
from ops.trespass import checked_access
from ops.worker_http import state_server
from schemas.codelists import CodeLists
from schemas.conventions import Convention, load
from schemas.errors import Misconfigured, Unavailable
from streams.dataflows.definition import Rules
from streams.telemetry import DoorTelemetry
from streams.topics import Topics

CONNECTIONS = 1000
"""Requests under way at most, whoever they are from; others are told 503 by uvicorn. Quotas bind agencies before."""


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
    known = admission(settings, convention)
    kafka = await checked_access(settings, "gateway", topics)
    callers = Callers(InForce(settings.secrets), clients(settings.gateway, convention))
    reach = Rehearsal(settings, "gateway").reach
    lists = CodeLists.load(*convention.codelist_directories)
    allowed = quotas(settings.gateway, convention)
    async with (
        following(settings, known),
        asked(settings, convention, kafka) as workers,
        open_inbox(kafka, topics, reach=reach) as (_, inbox),
        state_server(metrics, lambda _path, _query: None, *settings.address("gateway")),
    ):
        telemetry = DoorTelemetry(metrics, "http", tuple(convention.agencies))
        fates = Fates(workers, Rules(convention, lists), known.receipts)
        pages = [
            ContractPages(convention, lists, time.time).router,
            FateRoutes(fates, callers, allowed).router,
            PreflightRoutes(known, workers, (callers, allowed), time.time).router,
        ]
        app = create_app(Edges(known, inbox, callers, telemetry, allowed, pages))
        serving = server(app, settings.gateway)
        spare_the_collector()
        watch = asyncio.create_task(_stop_when(inbox.lost, serving))
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises the one that ended it once more
            signal.signal(number, lambda *_: None)
        await serving.serve()
        watch.cancel()
        if inbox.lost.is_set():
            raise Unavailable("producer-lost", "Kafka refused a frame; the gateway must start anew.")


def clients(settings: Gateway, convention: Convention) -> Mapping[str, str]:
    """Return which name in a client certificate is whose; raises Misconfigured for what is none."""
    pairs = [each.strip().rpartition("=") for each in settings.clients.split(",") if each.strip()]
    for name, _, agency in pairs:
        if not name or agency not in convention.agencies:
            detail = "MIGEX_GATEWAY__CLIENTS is `<name in a certificate>=<agency of the convention>,…`."
            raise Misconfigured("bad-clients", detail)
    if (pairs or settings.certificates_only) and not (settings.client_ca and settings.certificate):
        detail = "Client certificates need MIGEX_GATEWAY__CLIENT_CA and MIGEX_GATEWAY__CERTIFICATE."
        raise Misconfigured("bad-clients", detail)
    return {name: agency for name, _, agency in pairs}


def quotas(settings: Gateway, convention: Convention) -> Quotas:
    """Return how much each agency may bring; raises Misconfigured for what is no quota."""
    others = {}
    for each in filter(None, map(str.strip, settings.quotas.split(","))):
        agency, _, numbers = each.partition("=")
        try:
            rate, burst, requests = numbers.split("/")
            others[agency] = Quota(float(rate), int(burst), int(requests))
        except ValueError:
            others[agency] = Quota(0, 0, 0)
        quota = others[agency]
        if agency not in convention.agencies or not (quota.events_per_sec > 0 < quota.burst and quota.requests > 0):
            detail = "MIGEX_GATEWAY__QUOTAS is `<agency of the convention>=<events a second>/<burst>/<requests>,…`."
            raise Misconfigured("bad-quota", detail)
    return Quotas(Quota(settings.events_per_sec, settings.burst, settings.requests), others)


def server(app: object, settings: Gateway) -> uvicorn.Server:
    """Return the server; raises Misconfigured when its certificates are none."""
    asked = ssl.CERT_REQUIRED if settings.certificates_only else ssl.CERT_OPTIONAL
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # any ASGI app
        host=settings.host,
        port=settings.port,
        http=Connection,
        log_config=None,
        access_log=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=20,
        ssl_certfile=settings.certificate or None,
        ssl_keyfile=settings.key or None,
        ssl_ca_certs=settings.client_ca or None,
        ssl_cert_reqs=asked if settings.client_ca else ssl.CERT_NONE,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        detail = "MIGEX_GATEWAY__CERTIFICATE, __KEY and __CLIENT_CA are PEM files that belong together."
        raise Misconfigured("bad-certificate", detail) from error
    return uvicorn.Server(config)


async def _stop_when(lost: asyncio.Event, serving: uvicorn.Server) -> None:
    await lost.wait()
    serving.should_exit = True
