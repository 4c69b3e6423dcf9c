"""The doors' own count: what lies in the inbox, read header by header, with none of the folds' code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.demo.oracle import Account
from schemas import frame as wire
from schemas.contracts import FAMILIES
from schemas.conventions import Convention
from schemas.header import unpack
from streams.kafka import Kafka
from streams.topics import TopicSpec

_READ_MS = 1000


async def deliveries(kafka: Kafka, inbox: TopicSpec, convention: Convention) -> dict[Account, int]:
    """Return how many deliveries, refused ones too, the doors have written into the inbox for each account.

    What a door wrote twice, since it did not know whether the first time had been acknowledged, counts once.
    """
    agencies = {agency.id: code for code, agency in convention.agencies.items()}
    families = {family.id: name for name, family in FAMILIES.items()}
    counted: Counter[Account] = Counter()
    for agency, family, _ in await _distinct(kafka, inbox):
        counted[agencies.get(agency, "unknown"), families.get(family, "unknown")] += 1
    return dict(counted)


async def _distinct(kafka: Kafka, inbox: TopicSpec) -> set[tuple[int, int, bytes]]:
    """Return agency, family and delivery id of everything in the inbox as it is now."""
    found: set[tuple[int, int, bytes]] = set()
    consumer = AIOKafkaConsumer(**kafka.options(), enable_auto_commit=False, check_crcs=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(inbox.name, number) for number in range(inbox.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        while not await _read_up_to(consumer, ends):
            batches = await consumer.getmany(timeout_ms=_READ_MS)
            for messages in batches.values():
                for message in messages:
                    headers = unpack(wire.decode(message.value).headers)
                    found.update((header.agency, header.family, header.delivery) for header in headers)
    finally:
        await consumer.stop()
    return found


async def _read_up_to(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
    for partition, end in ends.items():
        if await consumer.position(partition) < end:
            return False
    return True
