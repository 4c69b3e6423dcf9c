"""The topic as a log: its messages by offset, for whoever reads it without a group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from connectors.archive import Archive, Archived
from schemas.errors import Broken, Unavailable
from streams.fold import Message
from streams.kafka import Kafka

_POLL_MS = 1000
_SILENT_POLLS = 30


class TopicLog:
    """One topic, read by offset."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        """`consumer` is started and stopped by the caller, and is in no group."""
        self._consumer = consumer
        self.topic = topic

    async def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset that the partition still holds, and the offset behind its last."""
        place = TopicPartition(self.topic, partition)
        first = await self._consumer.beginning_offsets([place])
        end = await self._consumer.end_offsets([place])
        return first[place], end[place]

    async def read(self, partition: int, start: int, end: int) -> AsyncIterator[list[Archived]]:
        """Yield the messages from `start` to before `end`, some at a time; both must lie within the bounds.

        Raises Broken("offset-gap") when one is missing, Unavailable("topic-silent") when Kafka gives no more of them.
        """
        place = TopicPartition(self.topic, partition)
        self._consumer.assign([place])
        self._consumer.seek(place, start)
        silent = 0
        while start < end:
            found = (await self._consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, [])
            messages = [Archived(each.offset, each.timestamp, each.value) for each in found if each.offset < end]
            silent = 0 if messages else silent + 1
            if silent > _SILENT_POLLS:
                raise Unavailable("topic-silent", f"Kafka gives nothing of {self.topic} behind offset {start}.")
            if [message.offset for message in messages] != list(range(start, start + len(messages))):
                raise Broken("offset-gap", f"Partition {partition} of {self.topic} does not hold offset {start}.")
            if messages:
                yield messages
            start += len(messages)


@asynccontextmanager
async def topic_log(kafka: Kafka, topic: str) -> AsyncIterator[TopicLog]:
    """Open a topic for reading; raises Unavailable("broker-refused") when Kafka does not do as asked."""
    consumer = AIOKafkaConsumer(
        **kafka.options(),
        enable_auto_commit=False,
        auto_offset_reset="none",  # an offset that is not there is an error, never another offset
        max_partition_fetch_bytes=8 << 20,
    )
    try:
        await consumer.start()
        yield TopicLog(consumer, topic)
    except KafkaError as error:
        raise Unavailable(
            "broker-refused", f"Kafka at {kafka.bootstrap} did not do as asked ({type(error).__name__}): {error}"
        ) from error
    finally:
        await consumer.stop()


def messages(archive: Archive, kafka: Kafka | None, topic: str, end: int, partition: int) -> Iterator[Message]:
    """Yield a partition from its first message to before `end`: from the archive, then from the topic.

    Without `kafka` the archive alone is read. Raises Broken("archive-missing") when neither holds a message.
    """
    offset, archived = 0, archive.end(partition)
    while offset < (end if kafka is None else min(end, archived)):
        for message in archive.read(partition, offset)[: end - offset]:
            yield message
            offset = message.offset + 1
    if kafka is not None and offset < end:
        yield from _from_topic(kafka, topic, partition, (offset, end))


def _from_topic(kafka: Kafka, topic: str, partition: int, span: tuple[int, int]) -> Iterator[Message]:
    """Yield messages of the topic to a reader that has no event loop."""

    async def read() -> AsyncIterator[list[Archived]]:
        async with topic_log(kafka, topic) as log:
            first, _ = await log.bounds(partition)
            if first > span[0]:
                raise Broken(
                    "archive-missing",
                    f"Partition {partition} of {topic} begins at offset {first}, the archive ends at {span[0]}: set "
                    "MIGEX_ARCHIVE__DIRECTORY to the archive that holds what is between.",
                )
            async for found in log.read(partition, *span):
                yield found

    async def following() -> list[Archived] | None:
        return await anext(reading, None)

    reading = read()
    with asyncio.Runner() as loop:
        while (found := loop.run(following())) is not None:
            yield from (Message(message.offset, message.value) for message in found)
