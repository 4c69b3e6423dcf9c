"""The clock's process."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client import CollectorRegistry

from ops.processes.absence import kafka_needed
from ops.processes.rehearsal import Rehearsal
from ops.processes.stopping import until_stopped
from ops.settings import Settings
from ops.trespass import checked_access
from ops.worker_http import state_server
from schemas.conventions import load
from streams.broker_time import BrokerTime
from streams.clock import Clock
from streams.telemetry import ClockTelemetry
from streams.topics import Topics


def run(settings: Settings) -> None:
    """Write ticks until SIGTERM; raises Unavailable when no broker answers or says its time."""
    with kafka_needed(settings):
        asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    registry = CollectorRegistry()
    topics = Topics.of(settings.generation, load(settings.convention))
    inbox = topics["inbox"]
    kafka = await checked_access(settings, "clock", topics)
    producer = AIOKafkaProducer(**kafka.options(), acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(**kafka.options())
    async with producer, consumer, state_server(registry, lambda _path, _query: None, *settings.address("clock")):
        telemetry = ClockTelemetry(registry)
        reach = Rehearsal(settings, "clock").reach
        broker_time = BrokerTime(producer, topics.name("clock"), telemetry, settings.tick_ahead_secs)
        edges = producer, consumer, inbox.name, inbox.partitions, telemetry
        clock = Clock(*edges, allows=broker_time.allows, tick_secs=settings.tick_secs, reach=reach)
        await clock.run(until_stopped())
