"""The three agents on a loaded inbox, beside Kafka Streams on as many records, on the same broker in the same run.

    python -m bench.agents [--originals 1000000] [--rounds 2] [--reconcilers 2] [--no-peer] [--takeover]
                           [--report FILE] [--home DIR]

Rounds alternate: ours, theirs, ours. Both are counted from their first record to their last cell, with start-up apart.
The reference in the same run is the same folds in memory, in one process.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench import ours, peer, rebuild, takeover
from bench.arena import Arena, arena, fill
from bench.peer import Peer, Warm
from bench.rounds import BROKER, Round, middle, ratio
from bench.sheet import Sheet, Table, Value, asked
from ops.access import access
from ops.processes import AGENTS


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--originals", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=1, help="of each engine; the medians are shown")
    options.add_argument("--reconcilers", type=int, default=2, help="workers of reconcile, the costliest agent")
    options.add_argument("--no-peer", action="store_true", help="ours alone")
    options.add_argument("--takeover", action="store_true", help="then kill workers, see bench.takeover")
    options.add_argument("--home", type=Path)
    asked(options)
    chosen = options.parse_args(argv)
    sheet = Sheet(chosen.report)
    with arena(chosen.home) as place:
        memory = rebuild.in_memory(place.settings.convention, max(10_000, chosen.originals // 10))
        loaded = asyncio.run(fill(access(place.settings), place.topics(), chosen.originals))
        print(f"inbox loaded: {loaded.records:,} records of {chosen.originals:,} originals", flush=True)
        other = None if chosen.no_peer else _peer(place, loaded.records)
        mine: list[Round] = []
        theirs: list[tuple[Round, Warm]] = []
        for number in range(1, chosen.rounds + 1):
            mine.append(ours.run(place, loaded, number, chosen.reconcilers))
            if other is not None:
                scratch = place.settings.home / f"peer-{number}"
                theirs.append(peer.run(other, place.settings.broker.bootstrap, place.java, scratch))
        sheet.add(engines(mine, theirs, memory))
        sheet.add(memory_over_time([mine[-1], *(round_ for round_, _ in theirs[-1:])]))
        if chosen.takeover:
            for table in takeover.measured(place, chosen.rounds, loaded):
                sheet.add(table)


def _peer(place: Arena, records: int) -> Peer:
    other = peer.load(access(place.settings), peer.built(place.settings.cache), records)
    print(f"{peer.ENGINE}' topic loaded: {other.records:,} records of {other.unique:,} events", flush=True)
    return other


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
