"""When the clock ticks, over a Kafka in memory; what it writes, on a real one, is in `tests/broker/test_clock.py`."""

from __future__ import annotations

from typing import cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client import CollectorRegistry

from streams.clock import Clock
from streams.telemetry import ClockTelemetry
from tests.laws.kafka import Consumer, Kafka, Producer

NOW = 1_800_000_000


class Host:
    """Where clocks run one after the other, with a time of its own."""

    def __init__(self) -> None:
        self.kafka = Kafka()
        self.now = NOW + 0.9

    def clock(self) -> Clock:
        producer = cast("AIOKafkaProducer", Producer(self.kafka))
        consumer = cast("AIOKafkaConsumer", Consumer(self.kafka, "clock"))
        return Clock(producer, consumer, "inbox", 2, ClockTelemetry(CollectorRegistry()), now=lambda: self.now)


async def test_started_again_within_a_second_it_ticks_in_the_next_one_for_what_came_between() -> None:
    host = Host()
    assert await host.clock().beat() == NOW
    host.kafka.append("inbox", 1, b"frame")
    again = host.clock()
    assert await again.beat() == NOW, "readers ignore it: it is not newer"
    host.now += 1
    assert await again.beat() == NOW + 1
    host.now += 1
    assert await again.beat() is None, "nothing has arrived since"
