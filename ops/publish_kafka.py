"""Publish over Kafka: events to the agency's own topic, and the verdicts that come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from connectors import confluent
from connectors.verdicts import Source
from ops.tally import Tally
from schemas.contracts import Family
from schemas.errors import Unavailable
from streams.kafka import Kafka

CHUNK = 500
"""Messages sent as one Kafka batch at most."""

MAX_BYTES = 1_000_000
"""Bytes of a Kafka batch at most; the topic takes 1 MiB."""


class Road(NamedTuple):
    """Where to publish, and where the answers come."""

    kafka: Kafka
    topic: str  # of the agency and the family
    verdicts: str  # topic of the agency
    family: Family


async def publish_kafka(
    lines: Iterable[bytes],
    road: Road,
    *,
    patience_secs: float = 120,
    advance: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Send every line as one event, wait for all their verdicts, and return what they say; blank lines are passed over.

    A line that is no event of the family is sent as it is, so that the door refuses and counts it. Raises Unavailable
    when Kafka does not answer, or when no verdict comes for `patience_secs` though some are missing. `advance` is told
    the number of verdicts each time.
    """
    producer = AIOKafkaProducer(**road.kafka.options(), acks="all", enable_idempotence=True, max_batch_size=MAX_BYTES)
    consumer = AIOKafkaConsumer(**road.kafka.options())
    try:
        async with producer, consumer:
            ledger = _Ledger(road.topic, advance)
            await _from_now_on(consumer, road.verdicts)
            listening = asyncio.create_task(_listen(consumer, ledger))
            try:
                await _send(producer, road, lines, ledger)
                await _wait(ledger, listening, patience_secs)
            finally:
                listening.cancel()
    except KafkaConnectionError as error:
        detail = f"No broker answers at {road.kafka.bootstrap}: `migex broker up`, or set MIGEX_BROKER__BOOTSTRAP."
        raise Unavailable("kafka-away", detail) from error
    except KafkaError as error:
        raise Unavailable("kafka-away", f"Kafka did not take the events: {type(error).__name__}.") from error
    return ledger.tally


class _Ledger:
    """Which messages were sent and which verdicts came; a verdict may come before Kafka's own acknowledgement."""

    def __init__(self, topic: str, advance: Callable[[int], None]) -> None:
        self.tally = Tally()
        self.progress_at = time.monotonic()
        self._topic = topic
        self._advance = advance
        self._unanswered: set[Source] = set()
        self._early: dict[Source, dict[str, Any]] = {}

    @property
    def missing(self) -> int:
        """Messages without a verdict."""
        return len(self._unanswered)

    def sent(self, source: Source) -> None:
        verdict = self._early.pop(source, None)
        if verdict is None:
            self._unanswered.add(source)
        else:
            self._count(verdict)

    def came(self, verdict: dict[str, Any]) -> None:
        named = verdict.get("source")  # a conflict, found later, names none
        if named is None or named["topic"] != self._topic:
            return
        source = Source(**named)
        if source in self._unanswered:
            self._unanswered.remove(source)
            self._count(verdict)
        else:
            self._early[source] = verdict  # ours, if its acknowledgement is still to come

    def _count(self, verdict: dict[str, Any]) -> None:
        self.tally.told(verdict)
        self.progress_at = time.monotonic()
        self._advance(1)


async def _from_now_on(consumer: AIOKafkaConsumer, topic: str) -> None:
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    consumer.seek(place, (await consumer.end_offsets([place]))[place])


async def _listen(consumer: AIOKafkaConsumer, ledger: _Ledger) -> None:
    while True:
        for messages in (await consumer.getmany(timeout_ms=500)).values():
            for message in messages:
                ledger.came(orjson.loads(message.value))


async def _send(producer: AIOKafkaProducer, road: Road, lines: Iterable[bytes], ledger: _Ledger) -> None:
    partitions = sorted(await producer.partitions_for(road.topic))
    for number, chunk in enumerate(_chunks(lines, road.family, ledger.tally)):
        partition = partitions[number % len(partitions)]
        batch = producer.create_batch()
        for value in chunk:
            batch.append(key=None, value=value, timestamp=None)
        first = await (await producer.send_batch(batch, road.topic, partition=partition))
        for n in range(len(chunk)):
            ledger.sent(Source(road.topic, partition, first.offset + n))


def _chunks(lines: Iterable[bytes], family: Family, tally: Tally) -> Iterator[list[bytes]]:
    """Yield the messages in lists that fit into one Kafka batch; what fits into none is counted as unsendable."""
    chunk: list[bytes] = []
    size = 0
    for value in filter(None, (encoded(line.strip(), family) for line in lines)):
        needed = len(value) + 32
        if needed > MAX_BYTES - 1000:
            tally.unsendable += 1
            continue
        if len(chunk) >= CHUNK or size + needed > MAX_BYTES - 1000:
            yield chunk
            chunk, size = [], 0
        chunk.append(value)
        size += needed
    if chunk:
        yield chunk


def encoded(line: bytes, family: Family) -> bytes:
    """Return the message for a line: Confluent Avro, or the line itself where it is no event of the family."""
    try:
        return confluent.encode(family, orjson.loads(line))
    except ValueError:
        return line


async def _wait(ledger: _Ledger, listening: asyncio.Task[None], patience_secs: float) -> None:
    ledger.progress_at = time.monotonic()
    while ledger.missing:
        await asyncio.wait({listening}, timeout=0.1)
        if listening.done():
            listening.result()
        if time.monotonic() - ledger.progress_at > patience_secs:
            detail = f"{ledger.missing} events have no verdict yet: does `migex status` show kafka-door up?"
            raise Unavailable("verdicts-missing", detail)
