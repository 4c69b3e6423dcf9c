"""The three agents on a loaded inbox, beside Kafka Streams on as many records, on the same broker in the same run.

    python -m bench.agents [--originals 1000000] [--rounds 2] [--reconcilers 2] [--no-peer] [--report FILE] [--home DIR]

Rounds alternate: ours, theirs, ours. Both are counted from their first record to their last cell, with start-up apart.
The reference in the same run is the same folds in memory, in one process.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench import peer, rebuild
from bench.arena import Arena, Loaded, arena, fill
from bench.crew import crew
from bench.meter import Meter
from bench.peer import Peer, Warm
from bench.rounds import BROKER, Round, middle, ratio
from bench.sheet import Sheet, Table, Value, asked
from connectors.feed_store.store import FeedStore
from ops.processes import AGENTS
from ops.settings import Settings
from schemas.errors import Broken
from streams.books import TABLE as BOOKS
from streams.topics import Topics

ENGINE = "migex"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--originals", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=1, help="of each engine; the medians are shown")
    options.add_argument("--reconcilers", type=int, default=2, help="workers of reconcile, the costliest agent")
    options.add_argument("--no-peer", action="store_true", help="ours alone")
    options.add_argument("--home", type=Path)
    asked(options)
    chosen = options.parse_args(argv)
    sheet = Sheet(chosen.report)
    with arena(chosen.home) as place:
        memory = rebuild.in_memory(place.settings.convention, max(10_000, chosen.originals // 10))
        loaded = asyncio.run(fill(place.settings.broker.bootstrap, place.topics(), chosen.originals))
        print(f"inbox loaded: {loaded.records:,} records of {chosen.originals:,} originals", flush=True)
        other = None if chosen.no_peer else _peer(place, loaded.records)
        mine: list[Round] = []
        theirs: list[tuple[Round, Warm]] = []
        for number in range(1, chosen.rounds + 1):
            mine.append(ours(place, loaded, number, chosen.reconcilers))
            if other is not None:
                scratch = place.settings.home / f"peer-{number}"
                theirs.append(peer.run(other, place.settings.broker.bootstrap, place.java, scratch))
        sheet.add(engines(mine, theirs, memory))
        sheet.add(memory_over_time([mine[-1], *(round_ for round_, _ in theirs[-1:])]))


def _peer(place: Arena, records: int) -> Peer:
    other = peer.load(place.settings.broker.bootstrap, peer.built(place.settings.cache), records)
    print(f"{peer.ENGINE}' topic loaded: {other.records:,} records of {other.unique:,} events", flush=True)
    return other


def ours(place: Arena, loaded: Loaded, number: int, reconcilers: int) -> Round:
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
    async with AIOKafkaConsumer(bootstrap_servers=settings.broker.bootstrap) as consumer:
        while not any((await consumer.end_offsets(partitions)).values()):  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.02)


def engines(mine: Sequence[Round], theirs: Sequence[tuple[Round, Warm]], memory: float) -> Table:
    """Return the comparison: medians of the rounds, and ours as a multiple of theirs."""
    others = [round_ for round_, _ in theirs]
    columns = ("engine", "records/s", "a CPU-second", "with broker", *AGENTS, "JVM", "broker", "peak MB")
    rows = [_row(mine)]
    notes = [
        f"{mine[0].records:,} records each; medians of {len(mine)} rounds; start-up apart; µs CPU a record by process",
        f"records/s, round by round: {_each(mine)}",
        f"the same folds in memory, one process: {memory:,.0f} records/s; on Kafka {_rate(mine) / memory:.2f} of it",
        "ours: the books balance with what was sent, record by record",
    ]
    if theirs:
        rows += [_row(others), _ratios(mine, others)]
        notes[2:2] = _about(theirs)
    return Table("The three agents on Kafka", columns, rows, notes)


def _about(theirs: Sequence[tuple[Round, Warm]]) -> list[str]:
    warm = theirs[-1][1]
    return [
        f"{peer.ENGINE} ({peer.GUARANTEE}, heap {peer.HEAP}): {_each([r for r, _ in theirs])}; every cell right",
        f"its second half, with the JIT warm: {warm.rate:,.0f} records/s, {warm.cpu_rate:,.0f} a CPU-second",
    ]


def _rate(rounds: Sequence[Round]) -> float:
    return middle(rounds, lambda r: r.rate)


def _each(rounds: Sequence[Round]) -> str:
    return ", ".join(f"{r.rate:,.0f}" for r in rounds)


def _row(rounds: Sequence[Round]) -> list[Value]:
    costs = [middle(rounds, partial(Round.cost, process=process)) for process in (*AGENTS, peer.PROCESS, BROKER)]
    return [
        rounds[0].engine,
        _rate(rounds),
        middle(rounds, lambda r: r.cpu_rate),
        middle(rounds, lambda r: r.cpu_rate_with_broker),
        *(cost or None for cost in costs),
        middle(rounds, lambda r: r.peak_megabytes),
    ]


def _ratios(mine: Sequence[Round], others: Sequence[Round]) -> list[Value]:
    return [
        "ratio",
        ratio(mine, others, lambda r: r.rate),
        ratio(mine, others, lambda r: r.cpu_rate),
        ratio(mine, others, lambda r: r.cpu_rate_with_broker),
        *[None] * (len(AGENTS) + 1),
        ratio(mine, others, lambda r: r.cost(BROKER)),
        ratio(mine, others, lambda r: r.peak_megabytes),
    ]


def memory_over_time(rounds: Sequence[Round]) -> Table:
    """Return what each process held at each quarter of a round."""
    rows: list[list[Value]] = []
    for measured in rounds:
        for name, usage in sorted(measured.usage.items()):
            held = [size / 1e6 for size in usage.quarters]
            rows.append([f"{measured.engine} {name}", *held, usage.peak_bytes / 1e6])
    return Table("Memory over the run", ("process", "MB at 25 %", "50 %", "75 %", "100 %", "peak"), rows)


if __name__ == "__main__":
    main()
