"""What both doors' processes share: admission from the settings, and the inbox on Kafka."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from connectors.admission import Admission
from connectors.body_keys import BodyKeys
from connectors.inbox import InboxWriter
from connectors.sealing import Sealer
from ops import secrets
from ops.settings import Settings
from schemas.codelists import CodeLists
from schemas.conventions import Convention
from schemas.errors import Misconfigured, Unavailable
from streams.crash_points import Reach, never
from streams.kafka import Kafka
from streams.topics import Topics

_log = structlog.get_logger(__name__)

BATCH_BYTES = 768 * 1024
"""Verdicts sent at once, before compression; the topics take 1 MiB."""

LEVEL_SECS = 2.0
"""Seconds between two looks at the level of link keys; events made before it are lifted, so there is no hurry."""

STOP_SECS = 10
"""An idempotent producer tries for ever; while no broker answers it is left behind after this time."""


def admission(settings: Settings, convention: Convention) -> Admission:
    """Return what admits events and seals them; raises Misconfigured when secrets or a code list are missing."""
    body_keys = BodyKeys(settings.secrets)
    body_keys.check()
    lists = CodeLists.load(*convention.codelist_directories)
    return Admission(convention, lists, secrets.load(settings.secrets), Sealer(body_keys.obtain))


@asynccontextmanager
async def following(settings: Settings, admission: Admission, secs: float = LEVEL_SECS) -> AsyncIterator[None]:
    """Let admission go on at the level of link keys that the secrets name, meanwhile."""

    async def follow() -> None:
        known = secrets.level(settings.secrets)
        while True:
            await asyncio.sleep(secs)
            try:
                if (level := secrets.level(settings.secrets)) == known:
                    continue
                admission.renew(secrets.load(settings.secrets))
            except Misconfigured as error:  # what is made at the old level stays right
                _log.error("Link keys stay at their level.", level=known, reason=str(error))
            else:
                known = level
                _log.info("Link keys are made at another level.", level=level)

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        task.cancel()


def spare_the_collector() -> None:
    """Leave what was loaded at start out of garbage collection, and run it seldom: events leave no cycles behind."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@asynccontextmanager
async def open_inbox(
    kafka: Kafka, topics: Topics, linger_ms: int = 20, reach: Reach = never
) -> AsyncIterator[tuple[AIOKafkaProducer, InboxWriter]]:
    """Connect to Kafka and give its producer and the writer of the inbox; raises Unavailable when no broker answers."""
    producer = AIOKafkaProducer(
        **kafka.options(),
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        max_batch_size=BATCH_BYTES,
    )
    try:
        await producer.start()
    except KafkaConnectionError as error:
        await producer.stop()
        detail = f"No broker answers at {kafka.bootstrap}: `migex broker up`, or set MIGEX_BROKER__BOOTSTRAP."
        raise Unavailable("kafka-away", detail) from error
    inbox = topics["inbox"]
    writer = InboxWriter(producer, inbox.name, inbox.partitions, linger_ms=linger_ms, reach=reach)
    try:
        yield producer, writer
    finally:
        await writer.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(producer.stop(), STOP_SECS)
