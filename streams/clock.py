"""The clock: writes ticks into every partition of the inbox, so that time is a record (law L4).

A tick's id is its instant in whole seconds. At most one a second and only when the inbox has grown, else one a minute.
Two clocks may run and a partition may miss a tick: readers ignore what is not newer and pass over holes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from schemas import frame as wire
from streams.crash_points import CrashPoint, Reach, never
from streams.telemetry import ClockTelemetry

IDLE_SECS = 60.0
"""Between ticks while nothing arrives."""


class Clock:
    """Ticks for one inbox."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        consumer: AIOKafkaConsumer,
        topic: str,
        partitions: int,
        telemetry: ClockTelemetry,
        *,
        allows: Callable[[int], Awaitable[bool]],
        tick_secs: float = 1.0,
        now: Callable[[], float] = time.time,
        reach: Reach = never,
    ) -> None:
        """Producer and consumer are started by the caller; `tick_secs` is the least time between two ticks.

        `allows` says of a tick that is due whether it may be written: `BrokerTime` does.
        """
        self._producer = producer
        self._consumer = consumer
        self._topic = topic
        self._partitions = [TopicPartition(topic, p) for p in range(partitions)]
        self._telemetry = telemetry
        self._allows = allows
        self._tick_secs = tick_secs
        self._now = now
        self._reach = reach
        self._ends: dict[TopicPartition, int] = {}
        self._last = 0

    async def run(self, stopped: asyncio.Event) -> None:
        """Tick until `stopped`; a broker that is away for a while only delays ticks.

        Raises KafkaError when a tick could not be sent in the producer's time: start anew with another producer; and
        what `allows` raises.
        """
        while not stopped.is_set():
            await self.beat()
            try:
                await asyncio.wait_for(stopped.wait(), self._tick_secs)
            except TimeoutError:
                continue

    async def beat(self) -> int | None:
        """Write a tick if one is due, and return it; see `run` for what is raised."""
        tick = int(self._now())
        try:
            ends = await self._consumer.end_offsets(self._partitions)
        except KafkaError:
            return None
        grown = ends != self._ends
        if tick <= self._last or not (grown or tick - self._last >= IDLE_SECS):
            return None
        if not await self._allows(tick):
            return None
        value = wire.encode(wire.tick_frame(tick))
        sent = []
        for where in self._partitions:
            self._reach(CrashPoint.TICK_BEFORE_SEND)
            sent.append(await self._producer.send(self._topic, value, partition=where.partition))
        acknowledged = await asyncio.gather(*sent)
        self._reach(CrashPoint.TICK_AFTER_SEND)
        # What lies at or before our own tick is not growth. But readers ignore a life's first tick if the life before
        # ticked in the same second: so the next second ticks again.
        if self._last:
            self._ends = {p: meta.offset + 1 for p, meta in zip(self._partitions, acknowledged, strict=True)}
        self._last = tick
        self._telemetry.ticked(tick)
        return tick
