"""The Kafka door's process: events over the agencies' own topics."""

from __future__ import annotations

from socket import gethostname

import uvloop
from aiokafka import AIOKafkaConsumer
from prometheus_client import CollectorRegistry

from connectors.agency_topics import GROUP, Edges, KafkaDoor, Routes
from ops.processes.doors import admission, following, open_inbox, spare_the_collector
from ops.processes.rehearsal import Rehearsal
from ops.processes.stopping import until_stopped
from ops.settings import Settings
from ops.trespass import checked_access
from ops.wire_ids import wire_ids
from ops.worker_http import state_server
from schemas.conventions import load
from streams.kafka import Kafka
from streams.telemetry import DoorTelemetry
from streams.topics import Topics

PARTITION_BYTES = 1024 * 1024
"""Bytes fetched from one partition at once; a larger batch still comes, alone, up to the topic's max.message.bytes."""


def run(settings: Settings) -> None:
    """Answer the agencies' messages until SIGTERM.

    Raises Misconfigured when secrets are missing, Unavailable when Kafka does not answer at start or when the producer
    can no longer be used.
    """
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    stopped = until_stopped()
    convention = load(settings.convention)
    topics = Topics.of(settings.generation, convention)
    registry = CollectorRegistry()
    known = admission(settings, convention)
    routes = Routes(
        topics.agency_topics(), {agency: topics.name(f"verdicts:{agency}") for agency in convention.agencies}
    )
    kafka = await checked_access(settings, "kafka-door", topics)
    reach = Rehearsal(settings, "kafka-door").reach
    contracts = await wire_ids(settings, convention)
    async with (
        following(settings, known),
        # a step's entries come all at once, so they need not wait long for others
        open_inbox(kafka, topics, linger_ms=2, reach=reach) as (producer, inbox),
        _consumer(kafka, settings.address("kafka-door")[1]) as consumer,
        state_server(registry, lambda _path, _query: None, *settings.address("kafka-door")),
    ):
        telemetry = DoorTelemetry(registry, "kafka", tuple(convention.agencies))
        spare_the_collector()
        edges = Edges(consumer, producer, inbox, known, telemetry, reach=reach, contracts=contracts)
        await KafkaDoor(edges, routes).run(stopped)


def _consumer(kafka: Kafka, port: int) -> AIOKafkaConsumer:
    """Return the consumer; by its lasting name a door that was killed gets its partitions back at once (KIP-345)."""
    return AIOKafkaConsumer(
        **kafka.options(),
        group_id=GROUP,
        group_instance_id=f"kafka-door.{gethostname()}.{port}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=PARTITION_BYTES,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=3_000,
    )
