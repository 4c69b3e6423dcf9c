"""Our engine on a loaded inbox: one round of the three agents, from the first record folded to the last cell."""

from __future__ import annotations

import asyncio
import time

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.arena import Arena, Loaded
from bench.crew import crew
from bench.meter import Meter
from bench.rounds import BROKER, Round
from connectors.feed_store.store import FeedStore
from ops.access import access
from ops.settings import Settings
from schemas.errors import Broken
from streams.books import TABLE as BOOKS
from streams.topics import Topics

ENGINE = "migex"


def run(place: Arena, loaded: Loaded, number: int, reconcilers: int) -> Round:
    """Fold the whole inbox once, from nothing, into a feed store; raises Broken when records are lost or double."""
    settings = place.round(number)
    topics = place.topics(number)
    with crew(settings) as workers:
        workers.start("reconcile", reconcilers)
        workers.start("aggregate")
        workers.until_idle({"reconcile": reconcilers, "aggregate": 1})
        workers.start("deduplicate")
        meter = Meter({**workers.workers, BROKER: place.java})
        asyncio.run(_until_folding(settings, topics))
        meter.begin()
        store = FeedStore(settings.feed_url, settings.generation)
        while (cut := store.latest_cut()) is None or cut.tick < loaded.last_tick:
            workers.check()
            time.sleep(0.1)
        wall, usage = meter.end()
    current = sum(cell.measures[0] for cell in store.cells(BOOKS) if "current" in cell.codes)
    store.close()
    if current != loaded.current:
        raise Broken("bench-differs", f"{current:,} records are current, not {loaded.current:,}.")
    return Round(ENGINE, loaded.records, wall, usage)


async def _until_folding(settings: Settings, topics: Topics) -> None:
    """Return when the first frame is in the log: from here on records are counted, as for the peers."""
    log = topics["log"]
    partitions = [TopicPartition(log.name, number) for number in range(log.partitions)]
    async with AIOKafkaConsumer(**access(settings).options()) as consumer:
        while not any((await consumer.end_offsets(partitions)).values()):  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.02)
