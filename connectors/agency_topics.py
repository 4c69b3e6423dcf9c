"""Agency topics: the door for events over Kafka, a process of its own so that hostile bytes harm nothing else.

Each agency writes Confluent Avro, one event a message, to `migex.agency.<agency>.<family>.v1`, and reads its verdicts
from `migex.agency.<agency>.verdicts.v1`. Who the agency is, is told by the topic alone: where Kafka asks who speaks,
each agency may write to its own topics only (`streams/principals.yaml`); on a plaintext broker whoever reaches it can
speak for every agency.

What hostile bytes can cost: a message is decoded only up to the size of one event, and Kafka takes no batch above the
topic's max.message.bytes (1 MiB). A compressed batch is unpacked by aiokafka without a limit of its own, so one of
1 MiB may take some thousand times that in memory for a moment: give this process a memory limit in production.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from connectors import confluent
from connectors.admission import Admission
from connectors.inbox import Inbox, keep
from connectors.verdicts import Answer, Arrival, Source, answer, delivery_id, observe
from schemas.contracts import CONTRACTS, Family
from schemas.errors import Refused, Unavailable
from schemas.header import Door
from streams.crash_points import CrashPoint, Reach, never
from streams.telemetry import DoorTelemetry

GROUP = "migex.kafka-door"
"""Consumer group of the door; its committed offsets tell what was answered."""

MOST = 2000
"""Messages answered in one step at most."""

TURN = 50
"""Messages that are admitted before heartbeats and the metrics page get their turn."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Routes:
    """Which topic is whose."""

    events: Mapping[str, tuple[str, str]]  # topic -> agency, family
    verdicts: Mapping[str, str]  # agency -> topic


@dataclass(frozen=True, slots=True)
class Edges:
    """What the door needs from outside; consumer and producer are started and stopped by the caller.

    The consumer belongs to `GROUP`, does not commit by itself, and begins with the earliest message.
    """

    consumer: AIOKafkaConsumer
    producer: AIOKafkaProducer
    inbox: Inbox
    admission: Admission
    telemetry: DoorTelemetry
    now: Callable[[], float] = time.time  # seconds since 1970
    reach: Reach = never
    contracts: Mapping[int, Family] = field(default_factory=lambda: CONTRACTS)  # by the id that messages name them by


class KafkaDoor:
    """Answers every message of the agency topics; after a restart some again, under the same delivery id."""

    def __init__(self, edges: Edges, routes: Routes) -> None:
        self._edges = edges
        self._routes = routes

    async def run(self, stopped: asyncio.Event) -> None:
        """Answer until `stopped`; raises Unavailable when the process must start anew."""
        self._edges.consumer.subscribe(topics=list(self._routes.events))
        while not stopped.is_set():
            batches = await self._edges.consumer.getmany(timeout_ms=200, max_records=MOST)
            if batches:
                await self.answer(batches)

    async def answer(self, batches: Mapping[TopicPartition, Sequence[ConsumerRecord[Any, bytes]]]) -> None:
        """Answer the messages: first the inbox, then the verdicts, then the offsets; each only after the one before."""
        began = time.perf_counter()
        answers = await self._admit(batches)
        entries = [each.entry for of_agency in answers.values() for each in of_agency]
        await keep(self._edges.inbox, entries, self._edges.telemetry)
        reach = self._edges.reach
        for agency, of_agency in answers.items():
            reach(CrashPoint.VERDICTS_BEFORE_SEND)
            await self._tell(self._routes.verdicts[agency], [each.verdict.encode() for each in of_agency])
            reach(CrashPoint.VERDICTS_AFTER_SEND)
            observe(self._edges.telemetry, agency, of_agency)
        await self._commit({place: messages[-1].offset + 1 for place, messages in batches.items()})
        reach(CrashPoint.OFFSETS_AFTER_COMMIT)
        self._edges.telemetry.batch_took(time.perf_counter() - began)

    async def _admit(
        self, batches: Mapping[TopicPartition, Sequence[ConsumerRecord[Any, bytes]]]
    ) -> dict[str, list[Answer]]:
        """Return the answers by agency."""
        answers: defaultdict[str, list[Answer]] = defaultdict(list)
        accepted_at = int(self._edges.now() * 1000)
        for place, messages in batches.items():
            agency, family = self._routes.events[place.topic]
            for number, message in enumerate(messages, start=1):
                answers[agency].append(self._answer(agency, family, message, accepted_at))
                if number % TURN == 0:
                    await asyncio.sleep(0)
        return answers

    def _answer(self, agency: str, family: str, message: ConsumerRecord[Any, bytes], accepted_at: int) -> Answer:
        value = message.value or b""
        source = Source(message.topic, message.partition, message.offset)
        # time and value too, for a topic that was deleted and made anew counts its offsets from 0 again
        place = f"{message.topic} {message.partition} {message.offset} {message.timestamp}"
        name = delivery_id(place.encode(), value)
        try:
            event: dict[str, Any] | Refused = confluent.decode(value, family, contracts=self._edges.contracts)
        except Refused as refusal:
            event = refusal
        return answer(self._edges.admission, Arrival(agency, family, name, accepted_at, source, Door.KAFKA), event)

    async def _tell(self, topic: str, verdicts: Sequence[bytes]) -> None:
        """Send the verdicts and wait until Kafka has them."""
        producer = self._edges.producer
        waits = []
        batch = producer.create_batch()
        for verdict in verdicts:
            if batch.append(key=None, value=verdict, timestamp=None) is None:  # full
                waits.append(await producer.send_batch(batch, topic, partition=0))
                batch = producer.create_batch()
                batch.append(key=None, value=verdict, timestamp=None)
        waits.append(await producer.send_batch(batch, topic, partition=0))
        try:
            await asyncio.gather(*waits)
        except KafkaError as error:
            detail = f"Kafka refused verdicts: {type(error).__name__}; the door must start anew."
            raise Unavailable("verdicts-away", detail) from error

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            await self._edges.consumer.commit(dict(offsets))
        except (CommitFailedError, IllegalStateError):
            _log.warning("Another door took the partitions over; what it repeats is counted once.")
