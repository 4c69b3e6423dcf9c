"""When the clock ticks, over a Kafka in memory; what it writes, on a real one, is in `tests/broker/test_clock.py`."""

from __future__ import annotations

from typing import cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from streams.broker_time import BrokerTime
from streams.clock import Clock
from streams.telemetry import ClockTelemetry
from tests.laws.kafka import Consumer, Kafka, Producer

NOW = 1_800_000_000
HOURS = 3600


class Host:
    """Where clocks run one after the other, with a time of its own, beside a broker with another."""

    def __init__(self) -> None:
        self.now = NOW + 0.9
        self.broker_now = NOW + 0.9
        self.kafka = Kafka(lambda: self.broker_now)
        self.registry = CollectorRegistry()

    def clock(self) -> Clock:
        """Return a clock that has just started."""
        producer = cast("AIOKafkaProducer", Producer(self.kafka))
        consumer = cast("AIOKafkaConsumer", Consumer(self.kafka, "clock"))
        self.registry = CollectorRegistry()
        telemetry = ClockTelemetry(self.registry)
        allows = BrokerTime(producer, "time", telemetry, 60).allows
        return Clock(producer, consumer, "inbox", 2, telemetry, allows=allows, now=lambda: self.now)

    def goes_on(self, secs: float = 1) -> None:
        """Let time pass, the same for both."""
        self.now += secs
        self.broker_now += secs


async def test_started_again_within_a_second_it_ticks_in_the_next_one_for_what_came_between() -> None:
    host = Host()
    assert await host.clock().beat() == NOW
    host.kafka.append("inbox", 1, b"frame")
    again = host.clock()
    assert await again.beat() == NOW, "readers ignore it: it is not newer"
    host.goes_on()
    assert await again.beat() == NOW + 1
    host.goes_on()
    assert await again.beat() is None, "nothing has arrived since"


async def test_a_clock_that_starts_ahead_of_the_broker_writes_nothing_until_its_time_is_right() -> None:
    host = Host()
    host.now += 3 * HOURS
    clock = host.clock()
    with capture_logs() as logs:
        for _ in range(3):
            assert await clock.beat() is None
            host.goes_on()
        assert host.kafka.log("inbox", 0) == []
        assert host.registry.get_sample_value("migex_clock_ahead_seconds") == pytest.approx(3 * HOURS, abs=1)
        host.now -= 3 * HOURS
        assert await clock.beat() == NOW + 3
    assert [entry["log_level"] for entry in logs] == ["error", "info"], "said once, not each second"
    assert host.registry.get_sample_value("migex_clock_ahead_seconds") == pytest.approx(0, abs=1)


async def test_a_time_that_jumps_ahead_while_it_works_is_not_written() -> None:
    host = Host()
    clock = host.clock()
    assert await clock.beat() == NOW
    host.now += 3 * HOURS
    assert await clock.beat() is None
    host.now -= 3 * HOURS
    host.goes_on()
    assert await clock.beat() == NOW + 1


@pytest.mark.parametrize(("ahead", "ticks"), [(60, True), (61, False), (-3 * HOURS, True)])
async def test_what_it_may_be_ahead_of_the_broker_and_that_behind_is_no_harm(ahead: int, ticks: bool) -> None:
    host = Host()
    host.now += ahead
    assert (await host.clock().beat() is not None) is ticks


async def test_while_nothing_is_due_the_broker_is_not_asked() -> None:
    host = Host()
    clock = host.clock()
    for _ in range(5):
        await clock.beat()
        host.goes_on()
    assert len(host.kafka.log("time", 0)) == 2
