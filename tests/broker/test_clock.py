"""The clock on a real broker: when it ticks, and what it writes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client import CollectorRegistry

from ops.broker import Broker
from schemas.errors import Unavailable
from schemas.frame import decode, tick_frame
from streams.broker_time import BrokerTime
from streams.clock import IDLE_SECS, Clock
from streams.telemetry import ClockTelemetry
from streams.topics import Topics

pytestmark = pytest.mark.broker

PARTITIONS = 3


class Bench:
    """A clock over an inbox of its own, whose time stands still until it is set."""

    def __init__(self, topic: str, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self.now = 1_700_000_000.9
        self.registry = CollectorRegistry()
        self.topic, self.producer, self.consumer = topic, producer, consumer
        self.timed = f"{topic}.timed"
        self.clock = self.another()

    def another(self, registry: CollectorRegistry | None = None) -> Clock:
        telemetry = ClockTelemetry(registry or self.registry)
        allows = BrokerTime(self.producer, self.timed, telemetry).allows
        edges = self.producer, self.consumer, self.topic, PARTITIONS, telemetry
        return Clock(*edges, allows=allows, tick_secs=0.05, now=lambda: self.now)

    async def settle(self) -> None:
        """Tick twice: what a life's first tick stood for, its second one stands for once more."""
        await self.clock.beat()
        self.now += 1
        await self.clock.beat()

    async def arrive(self, partition: int = 0) -> None:
        await self.producer.send_and_wait(self.topic, b"frame", partition=partition)

    async def written(self) -> list[list[bytes]]:
        """Return what each partition holds."""
        found: list[list[bytes]] = []
        for number in range(PARTITIONS):
            where = TopicPartition(self.topic, number)
            end = (await self.consumer.end_offsets([where]))[where]
            self.consumer.assign([where])
            await self.consumer.seek_to_beginning(where)
            found.append([(await self.consumer.getone(where)).value for _ in range(end)])
        return found


@asynccontextmanager
async def bench_on(bootstrap: str) -> AsyncIterator[Bench]:
    topic = f"test.{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    config = Topics(1, (), ())["clock"].config(1)
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1), NewTopic(f"{topic}.timed", 1, 1, topic_configs=config)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, request_timeout_ms=2000)
    async with producer, consumer:
        yield Bench(topic, producer, consumer)


@pytest.fixture
async def bench(broker: str) -> AsyncIterator[Bench]:
    async with bench_on(broker) as made:
        yield made


async def test_a_tick_is_the_whole_second_in_every_partition(bench: Bench) -> None:
    assert await bench.clock.beat() == 1_700_000_000
    assert [[decode(v) for v in values] for values in await bench.written()] == [[tick_frame(1_700_000_000)]] * 3
    assert bench.registry.get_sample_value("migex_ticks_total") == 1
    assert bench.registry.get_sample_value("migex_tick_timestamp_seconds") == 1_700_000_000


async def test_while_nothing_arrives_it_ticks_once_a_minute(bench: Bench) -> None:
    await bench.settle()
    bench.now += IDLE_SECS - 2
    assert await bench.clock.beat() is None, "its own ticks are no growth"
    bench.now += 2
    assert await bench.clock.beat() == 1_700_000_061


async def test_when_something_arrives_it_ticks_at_once_and_not_twice_in_one_second(bench: Bench) -> None:
    await bench.settle()
    await bench.arrive(2)
    assert await bench.clock.beat() is None, "the same second again"
    bench.now += 1
    assert await bench.clock.beat() == 1_700_000_002
    bench.now += 1
    assert await bench.clock.beat() is None, "nothing has arrived since"


async def test_a_time_that_goes_back_makes_no_tick_until_it_has_caught_up(bench: Bench) -> None:
    await bench.clock.beat()
    await bench.arrive()
    bench.now -= 100
    assert await bench.clock.beat() is None
    bench.now += 101
    assert await bench.clock.beat() == 1_700_000_001


async def test_what_arrived_before_a_restart_is_ticked_after_it(bench: Bench) -> None:
    await bench.clock.beat()
    await bench.arrive()
    bench.now += 1
    assert await bench.another(CollectorRegistry()).beat() == 1_700_000_001


async def test_ahead_of_the_broker_it_writes_no_tick_and_goes_on_by_itself(bench: Bench) -> None:
    bench.now = time.time() + 3 * 3600
    assert await bench.clock.beat() is None
    assert await bench.written() == [[], [], []]
    assert bench.registry.get_sample_value("migex_clock_ahead_seconds") == pytest.approx(3 * 3600, abs=60)
    bench.now = time.time()
    assert await bench.clock.beat() == int(bench.now)


async def test_a_topic_without_the_brokers_time_is_named(bench: Bench) -> None:
    bench.timed = bench.topic
    with pytest.raises(Unavailable, match="migex topics apply"):
        await bench.another(CollectorRegistry()).beat()


async def test_it_runs_until_it_is_stopped(bench: Bench) -> None:
    stopped = asyncio.Event()
    running = asyncio.create_task(bench.clock.run(stopped))
    for _ in range(3):
        await asyncio.sleep(0.2)
        bench.now += 1
        await bench.arrive()
    await asyncio.sleep(0.2)
    stopped.set()
    await asyncio.wait_for(running, 5)
    ticks = [decode(value).tick for value in (await bench.written())[1]]
    assert ticks == sorted(set(ticks))
    assert len(ticks) >= 3


async def test_a_broker_that_is_away_delays_the_tick(broker: str, tmp_path: Path) -> None:
    """A cluster of its own, because it is killed (`broker` is asked for its check of Java and Maven)."""
    with Broker(tmp_path) as cluster:
        async with bench_on(cluster.bootstrap) as bench:
            await bench.clock.beat()
            cluster.kill(1)
            bench.now += IDLE_SECS
            assert await bench.clock.beat() is None
            cluster.start(1)
            end = time.monotonic() + 30
            while (tick := await bench.clock.beat()) is None:
                assert time.monotonic() < end
            assert tick == 1_700_000_060
