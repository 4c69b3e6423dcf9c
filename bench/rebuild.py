"""Rebuild: all figures from the inbox, by the same folds without Kafka; records a second of one core.

python -m bench.rebuild [--originals 200000] [--report FILE]
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Sequence
from pathlib import Path

from bench.load import frames
from bench.sheet import Sheet, Table, asked
from ops.settings import Settings
from schemas.codelists import CodeLists
from schemas.conventions import load
from schemas.frame import encode, tick_frame
from streams.dataflows.definition import Rules
from streams.replay import Replay


def loaded(convention: Path, originals: int) -> tuple[Replay, int]:
    """Return the folds in memory with a loaded inbox, and the number of its records."""
    agreed = load(convention)
    replay = Replay(Rules(agreed, CodeLists.load(*agreed.codelist_directories)))
    partitions = len(replay.inbox.partitions)
    records = 0
    for where, count, value in frames(originals, partitions):
        replay.inbox.append(where, value)
        records += count
    for partition in range(partitions):
        replay.inbox.append(partition, encode(tick_frame(1000)))
    return replay, records


def in_memory(convention: Path, originals: int) -> float:
    """Return records a CPU-second of the folds in memory."""
    replay, records = loaded(convention, originals)
    gc.collect()
    gc.disable()  # as the workers do
    began = time.process_time()
    replay.run()
    spent = time.process_time() - began
    gc.enable()
    return records / spent


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--originals", type=int, default=200_000)
    asked(options)
    chosen = options.parse_args(argv)
    rate = in_memory(Settings().convention, chosen.originals)
    rows = [("the folds in memory, one process", rate, 1e6 / rate)]
    Sheet(chosen.report).add(Table("Rebuild from the inbox", ("way", "records/s a core", "µs a record"), rows))


if __name__ == "__main__":
    main()
