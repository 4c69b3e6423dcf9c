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


async def passages(kafka: Kafka, topics: Topics, since: float) -> Mapping[int, Passage]:
    """Return the passage of every tick that went all the way; `since` in seconds since 1970."""
    found = [await _ticks(kafka, topics[role], since) for role in ("inbox", "log", "partials")]
    common = found[0].keys() & found[1].keys() & found[2].keys()
    return {tick: Passage(*(each[tick] for each in found)) for tick in sorted(common)}


async def _ticks(kafka: Kafka, topic: TopicSpec, since: float) -> dict[int, float]:
    """Return for each tick in a topic when the last frame that carries it was sent."""
    last: dict[int, float] = {}
    partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
    async with AIOKafkaConsumer(**kafka.options(), auto_offset_reset="earliest") as consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.offsets_for_times(dict.fromkeys(partitions, int(since * 1000)))
        waiting = {partition for partition, begin in begins.items() if begin is not None}
        for partition in waiting:
            consumer.seek(partition, begins[partition].offset)
        while waiting:
            for partition, messages in (await consumer.getmany(*waiting, timeout_ms=1000)).items():
                for message in messages:
                    tick = wire.decode(message.value).tick
                    if tick:
                        last[tick] = max(last.get(tick, 0.0), message.timestamp / 1000)
                if messages[-1].offset + 1 >= ends[partition]:
                    waiting.discard(partition)
    return last
