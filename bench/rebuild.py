"""Rebuild: all figures from the inbox, by the same folds without Kafka; records a second, of one core and of all.

    python -m bench.rebuild [--originals 200000] [--cores N] [--on-disk] [--report FILE]

First in one process, everything in memory, every cut closed; then as `migex rebuild` does, each stage's partitions in
processes of their own, and only the last cut closed. Both must come to the same cells. The inbox has a tick behind each
frame, which stands for 500 records in one second.
"""

from __future__ import annotations

import argparse
import gc
import os
import struct
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.load import frames
from bench.sheet import Sheet, Table, Value, asked
from ops.settings import Settings
from schemas.errors import Broken
from schemas.frame import encode, tick_frame
from streams.fold import CellChange, Message
from streams.rebuild import Job, Rebuilt, rebuild, rules_of
from streams.replay import Replay

PARTITIONS = 8
GOAL = 30_000
"""Records a second of one core."""

_LENGTH = struct.Struct(">I")


def inbox(originals: int, busy_clock: bool) -> Iterator[tuple[int, int, bytes]]:
    """Yield (partition, records, frame) of a loaded inbox, with a tick behind each frame, or with one at the end."""
    tick = 1_700_000_000
    for frame in frames(originals, PARTITIONS):
        yield frame
        if busy_clock:
            yield from _ticks(tick)
            tick += 1
    yield from _ticks(tick)


def _ticks(tick: int) -> Iterator[tuple[int, int, bytes]]:
    return ((partition, 0, encode(tick_frame(tick))) for partition in range(PARTITIONS))


def loaded(convention: Path, originals: int, busy_clock: bool = False) -> tuple[Replay, int]:
    """Return the folds in memory with a loaded inbox, see `inbox`, and the number of its records."""
    replay = Replay(rules_of(convention), PARTITIONS)
    records = 0
    for where, count, value in inbox(originals, busy_clock):
        replay.inbox.append(where, value)
        records += count
    return replay, records


def in_memory(convention: Path, originals: int) -> float:
    """Return records a CPU-second of the folds in memory, in one process."""
    replay, records = loaded(convention, originals)
    return records / _spent(replay)


def _spent(replay: Replay) -> float:
    gc.collect()
    gc.disable()  # as the workers do
    began = time.process_time()
    replay.run()
    spent = time.process_time() - began
    gc.enable()
    return spent


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--originals", type=int, default=200_000)
    options.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    options.add_argument("--on-disk", action="store_true", help="with the state in RocksDB")
    asked(options)
    chosen = options.parse_args(argv)
    convention = Settings().convention
    replay, records = loaded(convention, chosen.originals, busy_clock=True)
    alone = _spent(replay)
    with tempfile.TemporaryDirectory(prefix="migex-bench-") as scratch:
        place = Path(scratch)
        _spool(replay, place)
        inboxes = [partial(_read, place, number) for number in range(PARTITIONS)]
        job = Job(inboxes, convention, PARTITIONS, place, chosen.on_disk)
        began = time.perf_counter()
        rebuilt = rebuild(job, chosen.cores)
        wall = time.perf_counter() - began
    if _figures(rebuilt.cells) != _figures(replay.cells):
        raise Broken("bench-differs", "The rebuild and the replay count differently.")
    Sheet(chosen.report).add(_table(records, alone, rebuilt, wall, chosen.cores))


def _spool(replay: Replay, place: Path) -> None:
    """Write the inbox into a file a partition, for other processes to read."""
    with ExitStack() as stack:
        for number, values in enumerate(replay.inbox.partitions):
            file = stack.enter_context(place.joinpath(f"inbox-{number}").open("wb"))
            for value in values:
                file.write(_LENGTH.pack(len(value)) + value)


def _read(place: Path, partition: int) -> Iterator[Message]:
    with place.joinpath(f"inbox-{partition}").open("rb") as file:
        offset = 0
        while length := file.read(_LENGTH.size):
            yield Message(offset, file.read(_LENGTH.unpack(length)[0]))
            offset += 1


def _figures(cells: Mapping[str, CellChange]) -> dict[str, tuple[int, ...]]:
    return {key: (cell.facts, *cell.measures) for key, cell in cells.items()}


def _table(records: int, alone: float, rebuilt: Rebuilt, wall: float, cores: int) -> Table:
    rows: list[Sequence[Value]] = [("in memory, one process, every cut", None, records / alone, 1e6 * alone / records)]
    spent = sum(stage.cpu_secs for stage in rebuilt.stages)
    rows.append((f"{cores} processes, all stages", records / wall, records / spent, 1e6 * spent / records))
    for stage in rebuilt.stages:
        cost = 1e6 * stage.cpu_secs / records
        rows.append((f"  {stage.agent}", records / stage.wall_secs, records / stage.cpu_secs, cost))
    rows.append(("goal", None, GOAL, 1e6 / GOAL))
    notes = (
        f"{records:,} records of the inbox, which all rates are of; the same {len(rebuilt.cells):,} cells both ways",
    )
    return Table("Rebuild from the inbox", ("way", "records/s", "a core-second", "core-µs a record"), rows, notes)


if __name__ == "__main__":
    main()
