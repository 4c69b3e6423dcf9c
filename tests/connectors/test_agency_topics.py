"""The Kafka door: every message is answered once, whatever bytes it holds and however often the door dies."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client import CollectorRegistry

from connectors import confluent
from connectors.agency_topics import Edges, KafkaDoor, Routes
from connectors.inbox import MemoryInbox
from schemas.contracts import FAMILIES
from schemas.errors import Unavailable
from schemas.header import Kind
from streams.telemetry import DoorTelemetry
from tests.connectors.events import NOW, admission, event

pytestmark = pytest.mark.broker

CROSSING, PERMIT = "border.crossing", "permit.decision"
ADMISSION = admission()


def message(family: str = CROSSING, **changes: Any) -> bytes:
    return confluent.encode(FAMILIES[family], event(family, **changes))


class Town:
    """Topics of two agencies on the shared broker, and what the door under test put into its inbox."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        name = uuid.uuid4().hex[:8]
        self.crossings, self.permits = f"{name}.gpk.border.crossing", f"{name}.mvd.permit.decision"
        self.routes = Routes(
            {self.crossings: ("gpk", CROSSING), self.permits: ("mvd", PERMIT)},
            {"gpk": f"{name}.gpk.verdicts", "mvd": f"{name}.mvd.verdicts"},
        )
        self.group = name
        self.inbox = MemoryInbox()
        self.metrics = CollectorRegistry()
        self.telemetry = DoorTelemetry(self.metrics, "kafka", ["gpk", "mvd"])

    async def lay_out(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        topics = [NewTopic(name, 2, 1) for name in self.routes.events]
        await admin.create_topics(topics + [NewTopic(name, 1, 1) for name in self.routes.verdicts.values()])
        await admin.close()

    async def send(self, topic: str, *values: bytes | None) -> list[tuple[str, int, int]]:
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all") as producer:
            sent = [
                await producer.send_and_wait(topic, value, key=b"k", partition=n % 2) for n, value in enumerate(values)
            ]
        return [(each.topic, each.partition, each.offset) for each in sent]

    @asynccontextmanager
    async def door(self, **group: Any) -> AsyncIterator[KafkaDoor]:
        """Run a door until the block ends."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=self.group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=6000,
            **group,
        )
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all", enable_idempotence=True)
        async with producer, consumer:
            edges = Edges(consumer, producer, self.inbox, ADMISSION, self.telemetry, lambda: NOW / 1000)
            door, stopped = KafkaDoor(edges, self.routes), asyncio.Event()
            running = asyncio.create_task(door.run(stopped))
            yield door
            stopped.set()
            await running

    async def verdicts(self, agency: str, count: int) -> list[dict[str, Any]]:
        place = TopicPartition(self.routes.verdicts[agency], 0)
        found: list[dict[str, Any]] = []
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap) as consumer:
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            async with asyncio.timeout(40):
                while len(found) < count:
                    for messages in (await consumer.getmany(timeout_ms=200)).values():
                        found += [orjson.loads(each.value) for each in messages]
        return found


@pytest.fixture
async def town(broker: str) -> Town:
    town = Town(broker)
    await town.lay_out()
    return town


def sources(verdicts: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return sorted((v["source"]["topic"], v["source"]["partition"], v["source"]["offset"]) for v in verdicts)


async def test_hostile_messages_are_refused_and_the_others_go_on(town: Town) -> None:
    good = message()
    sent = await town.send(
        town.crossings,
        good,
        good[:-3],
        good + b"\0",
        b"\x93" + os.urandom(300),
        b"\0\0\0\x0f\xff" + good[5:],
        b"\0\0\0\0\2" + good[5:],
        b'{"header":{"record_no":"A-17"}}',
        None,
        b"",
        bytes(900_000),
        message(event__mode="ROCKET", header__record_no="A-18"),
        message(header__record_no="A-19"),
    )
    async with town.door():
        verdicts = await town.verdicts("gpk", len(sent))
    assert sources(verdicts) == sorted(sent)
    told = Counter(each["code"] for verdict in verdicts for each in verdict["errors"])
    assert told["malformed-avro"] == 5
    assert (told["trailing-bytes"], told["unknown-schema"], told["wrong-family"], told["too-large"]) == (1, 1, 1, 1)
    assert {v["record_no"] for v in verdicts if v["answer"] == "accepted"} == {"A-17", "A-19"}
    (off_code,) = [v for v in verdicts if v["record_no"] == "A-18"]
    assert [(each["code"], each["field"]) for each in off_code["errors"]] == [("not-in-codelist", "event.mode")]
    entries = town.inbox.entries
    assert Counter(each.header.kind for each in entries) == {Kind.EVENT: 2, Kind.REFUSED: 10}
    assert {each.header.delivery.hex() for each in entries} == {verdict["delivery"] for verdict in verdicts}
    accepted = {"door": "kafka", "agency": "gpk", "answer": "accepted"}
    assert town.metrics.get_sample_value("migex_receipts_total", accepted) == 2


async def test_agency_and_family_come_from_the_topic(town: Town) -> None:
    await town.send(town.crossings, message())
    await town.send(town.permits, message(PERMIT))
    async with town.door():
        await town.verdicts("gpk", 1)
        (verdict,) = await town.verdicts("mvd", 1)
    assert {(each.header.agency, each.header.family) for each in town.inbox.entries} == {(1, 1), (2, 2)}
    assert (verdict["answer"], verdict["source"]["topic"]) == ("accepted", town.permits)


async def test_what_was_answered_is_not_answered_again_after_a_restart(town: Town) -> None:
    await town.send(town.crossings, *(message(header__record_no=f"A-{n}") for n in range(300)))
    async with town.door():
        await town.verdicts("gpk", 300)
        await asyncio.sleep(0.5)  # the commit follows the verdicts
    await town.send(town.crossings, message(header__record_no="B"))
    async with town.door():
        await town.verdicts("gpk", 301)
    assert len(town.inbox.entries) == 301


async def test_an_absent_inbox_delays_verdicts_and_repeats_are_the_same_deliveries(town: Town) -> None:
    class Stumbling(MemoryInbox):
        """Keeps the entries, yet says the first time that it is not known."""

        stumbled = False

        async def put(self, entries: Any) -> None:
            await super().put(entries)
            if not self.stumbled:
                self.stumbled = True
                raise Unavailable("inbox-away", "again", retry_after_secs=1)

    town.inbox = Stumbling()
    await town.send(town.crossings, message(header__record_no="A"), message(header__record_no="B"))
    async with town.door():
        verdicts = await town.verdicts("gpk", 2)
    names = [each.header.delivery.hex() for each in town.inbox.entries]
    assert set(names) == {verdict["delivery"] for verdict in verdicts}
    assert len(names) > len(set(names))


async def test_a_door_that_loses_its_partitions_repeats_under_the_same_names(town: Town) -> None:
    await town.send(town.crossings, *(message(header__record_no=f"A-{n}") for n in range(50)))
    async with town.door():
        first = await town.verdicts("gpk", 50)
    town.group += "-anew"  # nothing of it was ever committed
    async with town.door():
        both = await town.verdicts("gpk", 100)
    assert {each["delivery"] for each in both} == {each["delivery"] for each in first}
    assert len({each.header.delivery for each in town.inbox.entries}) == 50
