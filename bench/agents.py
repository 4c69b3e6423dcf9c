"""The three agents together on a loaded inbox: records a second, and the time and memory of each process.

    python -m bench.agents [--originals 1000000] [--reconcilers 2] [--home DIR]

Starts a broker on free loopback ports, loads the inbox, then starts a worker of each agent (of reconcile as many as
asked for) and waits until every cell is in the feed store. The reference in the same run is the same folds in memory,
in one process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.load import frames
from connectors.feed_store.store import FeedStore
from ops.broker import Broker
from ops.settings import Settings, with_free_ports
from ops.topics import apply
from schemas.codelists import CodeLists
from schemas.conventions import load
from schemas.frame import encode, tick_frame
from streams.books import TABLE as BOOKS
from streams.dataflows.definition import Rules
from streams.replay import Replay
from streams.topics import Topics

TICKS = 10
"""Cuts in the loaded inbox: one each tenth of it."""


async def fill(settings: Settings, topics: Topics, originals: int) -> tuple[int, int]:
    """Write the inbox and return the number of records and the last tick."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.broker.bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=10,
        max_request_size=4 << 20,
        max_batch_size=1 << 20,
    )
    partitions, name = topics.partitions("inbox"), topics.name("inbox")
    start, records, tick = int(time.time()) - 1000, 0, 0
    async with producer:
        for where, count, value in frames(originals, partitions):
            await producer.send(name, value, partition=where)
            records += count
            if records > (tick + 1) * originals * 1.13 / TICKS:
                tick += 1
                for partition in range(partitions):
                    await producer.send(name, encode(tick_frame(start + tick)), partition=partition)
        for partition in range(partitions):
            await producer.send(name, encode(tick_frame(start + tick + 1)), partition=partition)
        await producer.flush()
    return records, start + tick + 1


def in_memory(settings: Settings, originals: int) -> float:
    """Return records a second of the same folds in memory, over a tenth of the input."""
    convention = load(settings.convention)
    replay = Replay(Rules(convention, CodeLists.load(*convention.codelist_directories)))
    records = 0
    for where, count, value in frames(originals, 8):
        replay.inbox.append(where, value)
        records += count
    for partition in range(8):
        replay.inbox.append(partition, encode(tick_frame(1000)))
    began = time.perf_counter()
    replay.run()
    return records / (time.perf_counter() - began)


def main() -> None:
    """Run the benchmark and print its table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--originals", type=int, default=1_000_000)
    options.add_argument("--reconcilers", type=int, default=2, help="workers of reconcile, the costliest agent")
    options.add_argument("--home", type=Path)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        settings = with_free_ports(chosen.home or Path(scratch))
        topics = Topics.of(settings.generation, load(settings.convention))
        reference = in_memory(settings, max(10_000, chosen.originals // 10))
        broker = Broker(settings.home, 1, settings.broker.port)
        broker.up()
        try:
            asyncio.run(apply(settings.broker.bootstrap, topics))
            records, last = asyncio.run(fill(settings, topics, chosen.originals))
            print(f"inbox loaded: {records:,} records of {chosen.originals:,} originals")
            _measure(settings, (records, last), reference, broker, chosen.reconcilers)
        finally:
            broker.down()


def _measure(settings: Settings, loaded: tuple[int, int], reference: float, broker: Broker, reconcilers: int) -> None:
    records, last = loaded
    environment = {**os.environ, **settings.environment()}
    java = psutil.Process(next(node.pid for node in broker.status() if node.pid))
    before = sum(java.cpu_times()[:2])
    started = time.perf_counter()
    program = [sys.executable, "-m", "ops.cli", "worker"]
    crew = [("deduplicate", 0), *(("reconcile", member) for member in range(reconcilers)), ("aggregate", 0)]
    workers = {
        f"{agent} {member}": psutil.Popen([*program, agent, "--member", str(member)], env=environment)
        for agent, member in crew
    }
    peaks = dict.fromkeys(workers, 0)
    try:
        store = FeedStore(settings.feed_url, settings.generation)
        asyncio.run(_until_folding(settings))
        began = time.perf_counter()
        while (cut := store.latest_cut()) is None or cut.tick < last:
            for agent, worker in workers.items():
                if worker.poll() is not None:
                    sys.exit(f"{agent} ended with {worker.returncode}")
                peaks[agent] = max(peaks[agent], worker.memory_info().rss)
            time.sleep(0.2)
        wall = time.perf_counter() - began
        spent = {agent: sum(worker.cpu_times()[:2]) for agent, worker in workers.items()}
        broker_cpu = sum(java.cpu_times()[:2]) - before
        rate = records / wall
        print(
            f"{'all agents on Kafka':24} {rate:10,.0f} records/s   {wall:.1f} s, after {began - started:.1f} s of start"
        )
        print(f"{'same folds in memory':24} {reference:10,.0f} records/s   one process; ratio {rate / reference:.2f}")
        for agent, seconds in spent.items():
            cost = seconds / records * 1e6
            print(f"{agent:24} {cost:10.1f} µs CPU/record, start included; peak {peaks[agent] / 1e6:,.0f} MB")
        print(f"{'broker':24} {broker_cpu / records * 1e6:10.1f} µs CPU/record")
        print(f"{'sum':24} {(sum(spent.values()) + broker_cpu) / records * 1e6:10.1f} µs CPU/record")
        current = sum(cell.measures[0] for cell in store.cells(BOOKS) if "current" in cell.codes)
        counted = sum(cell.measures[0] for cell in store.cells("F06"))
        print(f"current records {current:,}, crossings counted {counted:,} (a chance pair within ten minutes is one)")
    finally:
        for worker in workers.values():
            if worker.poll() is None:
                worker.kill()


async def _until_folding(settings: Settings) -> None:
    """Return when the first frame is in the log: from here on records are counted, as for the peers."""
    log = Topics.of(settings.generation, load(settings.convention))["log"]
    partitions = [TopicPartition(log.name, number) for number in range(log.partitions)]
    async with AIOKafkaConsumer(bootstrap_servers=settings.broker.bootstrap) as consumer:
        while not any((await consumer.end_offsets(partitions)).values()):  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    main()
