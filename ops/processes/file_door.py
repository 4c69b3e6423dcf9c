"""The file door's process: events in files that agencies drop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from connectors.file_door.door import Edges, FileDoor, Terms, state
from connectors.file_door.expiry import Expiry
from ops.processes.doors import admission, following, open_inbox, spare_the_collector
from ops.processes.rehearsal import Rehearsal
from ops.processes.stopping import until_stopped
from ops.settings import Settings
from ops.trespass import checked_access
from ops.worker_http import state_server
from schemas.conventions import Convention, load
from schemas.errors import Misconfigured
from streams.telemetry import DoorTelemetry, FileTelemetry
from streams.topics import Topics


def run(settings: Settings) -> None:
    """Answer the agencies' files until SIGTERM.

    Raises Misconfigured when secrets are missing or the folders cannot be made, Unavailable when Kafka does not answer
    at start or when the producer can no longer be used.
    """
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    stopped = until_stopped()
    convention = load(settings.convention)
    topics = Topics.of(settings.generation, convention)
    registry = CollectorRegistry()
    known = admission(settings, convention)
    kafka = await checked_access(settings, "file-door", topics)
    telemetry = DoorTelemetry(registry, "file", tuple(convention.agencies))
    reach = Rehearsal(settings, "file-door").reach
    async with following(settings, known), open_inbox(kafka, topics, linger_ms=2, reach=reach) as (_, inbox):
        files = FileTelemetry(registry, tuple(convention.agencies))
        door = FileDoor(Edges(known, inbox, telemetry, files, reach=reach), terms(settings, convention))
        try:
            door.prepare()
        except OSError as error:
            detail = f"{settings.files_directory}: {error.strerror}. Set MIGEX_FILES__DIRECTORY."
            raise Misconfigured("no-folders", detail) from None

        def answer(path: str, _query: dict[str, str]) -> dict[str, Any] | None:
            return state(door) if path.endswith("/files") else None

        kept = Expiry(settings.files_directory, tuple(convention.agencies), settings.files.keep_days, time.time, reach)
        async with state_server(registry, answer, *settings.address("file-door")), expiring(kept):
            spare_the_collector()
            await door.run(stopped)


@asynccontextmanager
async def expiring(kept: Expiry) -> AsyncIterator[None]:
    """Delete what has expired, meanwhile."""
    task = asyncio.create_task(kept.run())
    try:
        yield
    finally:
        task.cancel()


def terms(settings: Settings, convention: Convention) -> Terms:
    """Return how files are taken, by the settings."""
    own = settings.files
    families = {code: tuple(agency.families) for code, agency in convention.agencies.items()}
    return Terms(settings.files_directory, families, own.settle_secs, own.look_secs, own.megabytes << 20, own.lang)
