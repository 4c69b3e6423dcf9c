"""Where engines are compared: one broker on free ports, a loaded inbox, everything in one directory."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
from aiokafka import AIOKafkaProducer

from bench.load import frames
from ops.access import access
from ops.broker import Broker
from ops.settings import Settings, with_free_ports
from ops.topics import apply
from schemas.conventions import load
from schemas.frame import encode, tick_frame
from schemas.header import Op
from streams.kafka import Kafka
from streams.topics import Topics

TICKS = 10
"""Cuts in the loaded inbox: one each tenth of it."""


class Loaded(NamedTuple):
    """What lies in the inbox."""

    records: int
    current: int
    """Records that speak when all has been folded."""
    last_tick: int


@dataclass(frozen=True)
class Arena:
    """A running broker and the settings of the system that works on it."""

    settings: Settings
    broker: Broker

    @property
    def java(self) -> psutil.Process:
        """The broker's process."""
        return psutil.Process(next(node.pid for node in self.broker.status() if node.pid))

    def round(self, number: int) -> Settings:
        """Return the settings of one round: a generation and a home of its own, the same broker and inbox."""
        home = self.settings.home / f"round-{number}"
        home.mkdir(exist_ok=True)
        return self.settings.model_copy(update={"generation": number, "home": home})

    def topics(self, generation: int = 1) -> Topics:
        """Create what topics of a generation are missing and return all."""
        topics = Topics.of(generation, load(self.settings.convention))
        asyncio.run(apply(access(self.settings), topics))
        return topics


@contextmanager
def arena(home: Path | None = None) -> Iterator[Arena]:
    """Start a broker under `home`, or under a directory that is forgotten at the end, and stop it again."""
    with tempfile.TemporaryDirectory(prefix="migex-bench-") as scratch:
        settings = with_free_ports(home or Path(scratch))
        broker = Broker(settings.home, 1, settings.broker.port)
        broker.up()
        try:
            yield Arena(settings, broker)
        finally:
            broker.down()


async def fill(kafka: Kafka, topics: Topics, originals: int) -> Loaded:
    """Write the inbox, with a tick behind each tenth of it."""
    producer = AIOKafkaProducer(
        **kafka.options(),
        acks="all",
        enable_idempotence=True,
        linger_ms=10,
        max_request_size=4 << 20,
        max_batch_size=1 << 20,
    )
    partitions, name = topics.partitions("inbox"), topics.name("inbox")
    start, records, tick = int(time.time()) - 1000, 0, 0
    ops: Counter[Op] = Counter()
    async with producer:
        for where, count, value in frames(originals, partitions, ops=ops):
            await producer.send(name, value, partition=where)
            records += count
            if records > (tick + 1) * originals * 1.13 / TICKS:
                tick += 1
                await _tick(producer, name, partitions, start + tick)
        await _tick(producer, name, partitions, start + tick + 1)
        await producer.flush()
    return Loaded(records, originals - ops[Op.CANCEL], start + tick + 1)


async def _tick(producer: AIOKafkaProducer, name: str, partitions: int, tick: int) -> None:
    for partition in range(partitions):
        await producer.send(name, encode(tick_frame(tick)), partition=partition)
