"""The inbox: the same promises in memory and on Kafka."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from connectors.entry import NOBODY, Entry
from connectors.inbox import MAX_FRAME_BYTES, Inbox, InboxWriter, MemoryInbox, frame
from ops.broker import Broker
from schemas import frame as wire
from schemas.errors import Unavailable
from schemas.frame import MAX_RECORDS
from schemas.header import Header, Kind, unpack
from streams.topics import partition

PARTITIONS = 4
Kept = Callable[[], Awaitable[list[Entry]]]


def entry(number: int, kind: Kind = Kind.EVENT, core: bytes = b"core", body: bytes = b"body") -> Entry:
    record = NOBODY if kind == Kind.REFUSED else number.to_bytes(16, "big")
    header = Header(kind, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, record, bytes(16), number.to_bytes(8, "big"))
    return Entry(header, core, body)


def entries_in(value: bytes) -> list[Entry]:
    read = wire.decode(value)
    columns = (unpack(read.headers), wire.split(read.core_sizes, read.cores), wire.split(read.body_sizes, read.bodies))
    return [Entry(*row) for row in zip(*columns, strict=True)]


async def topic(bootstrap: str) -> str:
    name = f"inbox-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    await admin.close()
    return name


async def values_in(bootstrap: str, name: str) -> dict[int, list[bytes]]:
    places = [TopicPartition(name, p) for p in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: dict[int, list[bytes]] = {p: [] for p in range(PARTITIONS)}
        while sum(map(len, found.values())) < sum(ends.values()):
            for place, messages in (await consumer.getmany(timeout_ms=500)).items():
                found[place.partition] += [message.value for message in messages]
        return found
    finally:
        await consumer.stop()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
async def inbox(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Inbox, Kept]]:
    if request.param == "memory":
        memory = MemoryInbox()

        async def remembered() -> list[Entry]:
            return memory.entries

        yield memory, remembered
        return
    bootstrap = request.getfixturevalue("broker")
    name = await topic(bootstrap)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        writer = InboxWriter(producer, name, PARTITIONS, linger_ms=5)

        async def stored() -> list[Entry]:
            values = await values_in(bootstrap, name)
            return [each for column in values.values() for value in column for each in entries_in(value)]

        yield writer, stored
        await writer.close()


async def test_what_put_returned_for_is_kept(inbox: tuple[Inbox, Kept]) -> None:
    door, kept = inbox
    sent = [entry(n) for n in range(700)] + [entry(n, Kind.REFUSED, body=b"") for n in range(700, 720)]
    await asyncio.gather(door.put(sent[:1]), door.put(sent[1:600]), door.put(sent[600:]), door.put([]))
    assert sorted(await kept()) == sorted(sent)
    assert await door.reachable()


def test_a_frame_holds_its_entries() -> None:
    sent = [entry(1), entry(2, body=b""), entry(3, Kind.REFUSED)]
    value = frame(sent)
    assert entries_in(value) == sent
    assert wire.decode(value)[:4] == (-1, 0, -1, 0)


async def test_an_absent_inbox_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await MemoryInbox(away=True).put([entry(1)])
    assert not await MemoryInbox(away=True).reachable()


@pytest.mark.broker
async def test_frames_are_small_and_where_the_record_belongs(broker: str) -> None:
    name = await topic(broker)
    sent = [entry(n) for n in range(4000)] + [entry(n, body=bytes(60_000)) for n in range(4000, 4030)]
    sent += [entry(n, Kind.REFUSED, body=b"") for n in range(5000, 5100)]
    async with AIOKafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True) as producer:
        writer = InboxWriter(producer, name, PARTITIONS)
        await writer.put(sent)
    for number, values in (await values_in(broker, name)).items():
        for value in values:
            held = entries_in(value)
            assert len(held) <= MAX_RECORDS
            assert len(value) <= MAX_FRAME_BYTES + 1024
            for each in held:
                key = each.header.delivery if each.header.kind == Kind.REFUSED else each.header.record
                assert partition(key, PARTITIONS) == number


@pytest.mark.broker
async def test_a_broker_that_dies_makes_the_inbox_unavailable_until_it_is_back(tmp_path: Path) -> None:
    with Broker(tmp_path) as cluster:
        name = await topic(cluster.bootstrap)
        producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, acks="all", enable_idempotence=True)
        async with producer:
            writer = InboxWriter(producer, name, PARTITIONS, linger_ms=1, timeout_secs=2)
            await writer.put([entry(1)])
            cluster.kill(1)
            with pytest.raises(Unavailable):
                await writer.put([entry(2)])
            assert not await writer.reachable()
            cluster.start(1)
            deadline = asyncio.get_running_loop().time() + 30
            while not await writer.reachable():
                assert asyncio.get_running_loop().time() < deadline
            await writer.put([entry(2), entry(3)])
            assert not writer.lost.is_set()
        values = await values_in(cluster.bootstrap, name)
    kept = {each for column in values.values() for value in column for each in entries_in(value)}
    assert kept == {entry(1), entry(2), entry(3)}
