"""When each tick left each stage: read from the topics afterwards, so that measuring costs nothing meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import frame as wire
from streams.kafka import Kafka
from streams.topics import Topics, TopicSpec


class Passage(NamedTuple):
    """Instants of one tick, in seconds since 1970: when its last frame was sent to each topic."""

    inbox: float
    log: float
    partials: float


async def passages(kafka: Kafka, topics: Topics) -> Mapping[int, Passage]:
    """Return the passage of every tick that went all the way."""
    found = [await _ticks(kafka, topics[role]) for role in ("inbox", "log", "partials")]
    common = found[0].keys() & found[1].keys() & found[2].keys()
    return {tick: Passage(*(each[tick] for each in found)) for tick in sorted(common)}


async def _ticks(kafka: Kafka, topic: TopicSpec) -> dict[int, float]:
    """Return for each tick in a topic when the last frame that carries it was sent."""
    last: dict[int, float] = {}
    partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
    async with AIOKafkaConsumer(**kafka.options(), auto_offset_reset="earliest") as consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        waiting = {partition for partition, end in ends.items() if end}
        while waiting:
            for partition, messages in (await consumer.getmany(*waiting, timeout_ms=1000)).items():
                for message in messages:
                    tick = wire.decode(message.value).tick
                    if tick:
                        last[tick] = max(last.get(tick, 0.0), message.timestamp / 1000)
                if messages[-1].offset + 1 >= ends[partition]:
                    waiting.discard(partition)
    return last
