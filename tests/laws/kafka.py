"""A Kafka in memory, as far as our code uses one; `test_kafka.py` holds it to what the real one does.

What a producer takes does not lie in Kafka yet: a process that dies may lose it, or not. Both are tried.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.structs import RecordMetadata


class Dead(BaseException):
    """A process wanted something of Kafka after its death."""


class Record(NamedTuple):
    """A message as a consumer gets it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes


class Kafka:
    """Topics, made by the first message, and the offsets that groups have committed."""

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        """`now` is its time, seconds since 1970, which it gives to all messages (LogAppendTime)."""
        self._now = now
        self._logs: defaultdict[TopicPartition, list[bytes]] = defaultdict(list)
        self.committed: dict[tuple[str, TopicPartition], int] = {}

    def append(self, topic: str, partition: int, value: bytes) -> RecordMetadata:
        """Add a message at the end of a partition."""
        place = TopicPartition(topic, partition)
        self._logs[place].append(value)
        return RecordMetadata(topic, partition, place, len(self._logs[place]) - 1, int(self._now() * 1000), 1, 0)

    def log(self, topic: str, partition: int) -> list[bytes]:
        """Return a partition's messages."""
        return self._logs[TopicPartition(topic, partition)]

    def places(self) -> list[TopicPartition]:
        """Return all partitions of all topics."""
        return sorted(self._logs)

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic that hold anything."""
        return sorted(place for place, log in self._logs.items() if place.topic == topic and log)


class Batch:
    """Messages that are sent together."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, key: bytes | None, value: bytes, timestamp: int | None) -> object | None:
        """Take a message; None when the batch is full."""
        del key, timestamp
        if len(self.values) == 3:
            return None
        self.values.append(value)
        return self.values


class Producer:
    """What one process sends. `late` says of a partition whether a message stays with the process for a moment."""

    def __init__(
        self, kafka: Kafka, *, alive: Callable[[], bool] = lambda: True, late: Callable[[int], bool] = lambda _: False
    ) -> None:
        """From a process that is not `alive` nothing is taken any more, and what it had not delivered is lost."""
        self._kafka = kafka
        self._alive = alive
        self._late = late

    async def send(
        self, topic: str, value: bytes, *, partition: int, headers: Sequence[tuple[str, bytes]] | None = None
    ) -> asyncio.Future[RecordMetadata]:
        """Take a message; the future ends when Kafka has it. Headers are forgotten: nobody here reads them."""
        del headers
        return self._take(topic, [value], partition)

    def create_batch(self) -> Batch:
        """Return an empty batch."""
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[RecordMetadata]:
        """Take a batch; the future ends when Kafka has all of it."""
        return self._take(topic, batch.values, partition)

    def _take(self, topic: str, values: Sequence[bytes], partition: int) -> asyncio.Future[RecordMetadata]:
        if not self._alive():
            raise Dead
        loop = asyncio.get_running_loop()
        acknowledged: asyncio.Future[RecordMetadata] = loop.create_future()
        if self._late(partition):
            loop.call_soon(self._deliver, acknowledged, topic, values, partition)
        else:
            self._deliver(acknowledged, topic, values, partition)
        return acknowledged

    def _deliver(
        self, acknowledged: asyncio.Future[RecordMetadata], topic: str, values: Sequence[bytes], partition: int
    ) -> None:
        if self._alive():
            where = [self._kafka.append(topic, partition, value) for value in values]
            acknowledged.set_result(where[-1])


class Consumer:
    """A member of a group, alone in it: it reads all partitions of its topics from where the group has committed."""

    def __init__(self, kafka: Kafka, group: str, topics: Iterable[str] = (), alive: Callable[[], bool] = lambda: True):
        self._kafka = kafka
        self._group = group
        self._topics = list(topics)
        self._alive = alive
        self._positions: dict[TopicPartition, int] = {}

    async def end_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset that each partition's next message gets."""
        return {place: len(self._kafka.log(*place)) for place in places}

    async def getmany(self, timeout_ms: int = 0, max_records: int = 1000) -> dict[TopicPartition, list[Record]]:
        """Return the next messages of each partition."""
        found = {}
        for place in (place for topic in self._topics for place in self._kafka.partitions(topic)):
            start = self._positions.get(place, self._kafka.committed.get((self._group, place), 0))
            values = self._kafka.log(*place)[start : start + max_records]
            if values:
                found[place] = [
                    Record(place.topic, place.partition, start + nth, 0, value) for nth, value in enumerate(values)
                ]
                self._positions[place] = start + len(values)
        return found

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Remember for the group how far it has read."""
        if not self._alive():
            raise Dead
        for place, offset in offsets.items():
            self._kafka.committed[self._group, place] = offset
