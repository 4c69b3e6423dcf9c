"""`migex outbox run`, `status`: the poller of one agency's outbox, beside the agency's own database."""

from __future__ import annotations

import signal
import ssl
import threading
from contextlib import ExitStack, closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import structlog
from prometheus_client import CollectorRegistry, start_http_server

from connectors import key_files
from connectors.outbox.database import Database
from connectors.outbox.delivery import TIMEOUT_SECS, Gateway
from connectors.outbox.poller import Edges, Pace, Poller
from connectors.outbox.table import OutboxTable
from ops.processes.rehearsal import Rehearsal
from ops.settings import Settings
from schemas.errors import MigexError, Misconfigured, Unavailable
from streams.telemetry import OutboxTelemetry

_log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Work until SIGTERM; a database that is away is waited for.

    Raises Misconfigured when a setting is wrong, the key is missing, or the database holds no outbox.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    own = settings.outbox
    registry = CollectorRegistry()
    telemetry = OutboxTelemetry(registry)
    reach = Rehearsal(settings, "outbox").reach
    with ExitStack() as stack:
        if own.metrics_port:
            server, _ = start_http_server(own.metrics_port, own.metrics_host, registry)
            stack.callback(server.shutdown)
        gateway = stack.enter_context(_gateway(settings))
        database = stack.enter_context(closing(Database(_address(settings))))
        while not stop.is_set():
            try:
                with database.alone(stop) as ours, database.bell() as bell:
                    if ours:
                        _log.info(
                            "The outbox is looked after.", dialect=database.dialect, gateway=str(gateway.base_url)
                        )
                        edges = Edges(OutboxTable(database, reach), Gateway(gateway, lambda: _key(settings)), telemetry)
                        Poller(edges, Pace(idle_secs=own.idle_secs)).run(bell, stop)
            except Unavailable as away:
                _log.warning("The outbox is not reached; it is tried again.", reason=str(away))
                stop.wait(own.idle_secs)


def status(settings: Settings) -> dict[str, Any]:
    """Return how the outbox is, as `Standing` says; raises Misconfigured, Unavailable as the database does."""
    with closing(Database(_address(settings))) as database:
        return asdict(OutboxTable(database).standing(datetime.now(UTC), totals=True))


def line(settings: Settings) -> str:
    """Return in one line how the outbox of the settings is, for those who look after the whole system."""
    try:
        found = status(settings)
    except MigexError as error:
        return f"outbox: {error}"
    said = [f"{found['waiting'] + found['claimed']} rows wait", f"{found['refused']} were refused"]
    if found["missing_open"]:
        said.append(f"{found['missing_open']} numbers are missing and may still come")
    if found["missing_void"]:
        said.append(f"{found['missing_void']} numbers are missing for good")
    return f"outbox: {'; '.join([*said, *filter(None, [found['error']])])}"


def _gateway(settings: Settings) -> httpx.Client:
    own = settings.outbox
    _key(settings)  # what is missing is said at once
    try:
        trust = ssl.create_default_context(cafile=own.ca or None)
    except OSError as error:
        rule = f"MIGEX_OUTBOX__CA is no file of certificates: {error.strerror or error}."
        raise Misconfigured("bad-certificate", rule) from error
    return httpx.Client(base_url=own.gateway or settings.gateway_url, timeout=TIMEOUT_SECS, verify=trust)


def _key(settings: Settings) -> str:
    if not settings.outbox.key_file:
        raise Misconfigured("no-key-file", "Set MIGEX_OUTBOX__KEY_FILE to the file with the agency's API key.")
    return key_files.read(Path(settings.outbox.key_file).expanduser().absolute()).strip()


def _address(settings: Settings) -> str:
    if not settings.outbox.database:
        raise Misconfigured(
            "outbox-database",
            "Set MIGEX_OUTBOX__DATABASE to sqlite:///<file> or postgresql://<user>@<host>/<database>.",
        )
    return settings.outbox.database
