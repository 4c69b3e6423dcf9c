"""What the Kafka in memory promises, the real one keeps."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.laws.kafka import Consumer, Dead, Kafka, Producer


class Cluster:
    """One topic of two partitions, and who writes and reads there."""

    def __init__(self, bootstrap: str | None) -> None:
        self.topic = f"test.{uuid.uuid4().hex}"
        self.places = [TopicPartition(self.topic, number) for number in range(2)]
        self._bootstrap = bootstrap
        self._memory = Kafka()

    async def lay_out(self) -> None:
        if self._bootstrap is not None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
            await admin.start()
            await admin.create_topics([NewTopic(self.topic, 2, 1)])
            await admin.close()

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[AIOKafkaProducer]:
        if self._bootstrap is None:
            yield cast("AIOKafkaProducer", Producer(self._memory, late=lambda partition: partition == 1))
            return
        async with AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True) as real:
            yield real

    @asynccontextmanager
    async def consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        if self._bootstrap is None:
            yield cast("AIOKafkaConsumer", Consumer(self._memory, "group", [self.topic]))
            return
        group: dict[str, Any] = {"group_id": self.topic, "auto_offset_reset": "earliest", "enable_auto_commit": False}
        async with AIOKafkaConsumer(self.topic, bootstrap_servers=self._bootstrap, **group) as real:
            yield real


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
async def cluster(request: pytest.FixtureRequest) -> Cluster:
    made = Cluster(None if request.param == "memory" else request.getfixturevalue("broker"))
    await made.lay_out()
    return made


async def read(consumer: AIOKafkaConsumer, messages: int) -> dict[int, list[tuple[int, bytes]]]:
    """Return so many messages by partition, each with its offset."""
    found: dict[int, list[tuple[int, bytes]]] = {0: [], 1: []}
    async with asyncio.timeout(40):
        while sum(map(len, found.values())) < messages:
            for place, records in (await consumer.getmany(timeout_ms=200, max_records=3)).items():
                found[place.partition] += [(record.offset, record.value) for record in records]
    return found


async def test_each_partition_keeps_its_messages_in_order(cluster: Cluster) -> None:
    async with cluster.producer() as producer, cluster.consumer() as consumer:
        sent = [await producer.send(cluster.topic, b"%d" % n, partition=n % 2) for n in range(10)]
        acknowledged = await asyncio.gather(*sent)
        assert [(each.partition, each.offset) for each in acknowledged] == [(n % 2, n // 2) for n in range(10)]
        ends = await consumer.end_offsets(cluster.places)
        found = await read(consumer, 10)
    assert ends == dict.fromkeys(cluster.places, 5)
    assert found == {p: [(n, b"%d" % (2 * n + p)) for n in range(5)] for p in range(2)}


async def test_a_batch_is_full_at_some_time_and_keeps_its_order(cluster: Cluster) -> None:
    values = [b"%d" % n + bytes(6000) for n in range(5)]
    async with cluster.producer() as producer, cluster.consumer() as consumer:
        waits, batch = [], producer.create_batch()
        for value in values:
            if batch.append(key=None, value=value, timestamp=None) is None:
                waits.append(await producer.send_batch(batch, cluster.topic, partition=1))
                batch = producer.create_batch()
                assert batch.append(key=None, value=value, timestamp=None) is not None
        waits.append(await producer.send_batch(batch, cluster.topic, partition=1))
        await asyncio.gather(*waits)
        assert len(waits) > 1
        assert [value for _, value in (await read(consumer, 5))[1]] == values


async def test_a_group_goes_on_behind_what_it_has_committed(cluster: Cluster) -> None:
    async with cluster.producer() as producer:
        await asyncio.gather(*[await producer.send(cluster.topic, b"%d" % n, partition=0) for n in range(4)])
    async with cluster.consumer() as consumer:
        await read(consumer, 4)
    async with cluster.consumer() as consumer:
        assert len((await read(consumer, 4))[0]) == 4
        await consumer.commit({cluster.places[0]: 3})
    async with cluster.consumer() as consumer:
        assert (await read(consumer, 1))[0] == [(3, b"3")]


@pytest.mark.parametrize("late", [lambda _: False, lambda _: True])
async def test_what_a_dead_process_had_not_delivered_is_lost(late: Callable[[int], bool]) -> None:
    kafka, alive = Kafka(), [True]
    producer = Producer(kafka, alive=lambda: alive[0], late=late)
    await producer.send("t", b"x", partition=0)
    alive[0] = False
    await asyncio.sleep(0)
    assert kafka.log("t", 0) == ([] if late(0) else [b"x"])
    with pytest.raises(Dead):
        await producer.send("t", b"y", partition=0)
