"""What the agencies find on their own topics afterwards: each message that arrived, and the verdict on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ops.chaos.ledger import Told
from ops.chaos.over_http import Event
from ops.chaos.senders import digest
from streams.kafka import Kafka
from streams.topics import Topics, TopicSpec

Place = tuple[str, int, int]
"""Topic, partition, offset."""


class Heard(NamedTuple):
    """What came of the messages on the agencies' topics."""

    told: list[Told]
    unanswered: int  # messages without a verdict
    contradicted: int  # verdicts that say something else than another one on the same message
    vanished: int  # messages that Kafka acknowledged and does not have


async def hear(kafka: Kafka, topics: Topics, sent: Mapping[bytes, Event], acknowledged: Mapping[bytes, int]) -> Heard:
    """Read all messages of the agencies' topics and all verdicts."""
    own = topics.agency_topics()
    answers: dict[Place, Mapping[str, Any]] = {}
    contradicted = 0
    agencies = sorted({agency for agency, _ in own.values()})
    for record in await _all(kafka, [topics[f"verdicts:{agency}"] for agency in agencies]):
        verdict = orjson.loads(record.value)
        if verdict.get("source") is not None:  # a conflict, found later, names none
            place = tuple(verdict["source"][part] for part in ("topic", "partition", "offset"))
            first = answers.setdefault(place, verdict)
            contradicted += (first["answer"], first["receipt"]) != (verdict["answer"], verdict["receipt"])
    told: list[Told] = []
    found: Counter[bytes] = Counter()
    for record in await _all(kafka, [topics[f"agency:{agency}:{family}"] for agency, family in own.values()]):
        name = digest(record.value)
        found[name] += 1
        meant = sent[name]
        answer = answers.get((record.topic, record.partition, record.offset), {"answer": "none", "record_no": None})
        told.append(Told(*own[record.topic], meant.line, meant.wanted, answer["answer"], answer["record_no"]))
    unanswered = sum(each.answer == "none" for each in told)
    return Heard(told, unanswered, contradicted, (Counter(acknowledged) - found).total())


async def _all(kafka: Kafka, topics: Sequence[TopicSpec]) -> list[ConsumerRecord[Any, bytes]]:
    """Return everything in the topics as they are now."""
    records: list[ConsumerRecord[Any, bytes]] = []
    consumer = AIOKafkaConsumer(**kafka.options(), enable_auto_commit=False)
    async with consumer:
        places = [TopicPartition(topic.name, number) for topic in topics for number in range(topic.partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        for place in places:
            while await consumer.position(place) < ends[place]:
                for batch in (await consumer.getmany(timeout_ms=1000)).values():
                    records.extend(batch)
    return records
