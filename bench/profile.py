"""Where the time goes: deduplicate and reconcile offline on a loaded inbox, with their state on disk, by module.

    python -m bench.profile [--originals 50000] [--functions 15] [--report FILE]

Each fold runs twice: as it is, which gives the total, and under cProfile, which gives the shares; what built-in
functions take is their callers'. As many frames a step as a worker takes that is behind.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import streams
from bench.rebuild import loaded
from bench.sheet import Sheet, Table, asked
from ops.settings import Settings
from streams.engine import chunked
from streams.fold import Fold, Message
from streams.partition import Partition
from streams.replay import Log
from streams.rocks import Identity

ROOT = f"{Path(streams.__file__).resolve().parents[1]}/"
LEAST = 0.01
"""Share below which nothing is shown."""

Function = tuple[str, int, str]


class Profile(NamedTuple):
    """What one fold took."""

    total: float
    """CPU µs a record, without the profiler."""

    modules: Counter[str]
    """Share of the time by module."""

    functions: Counter[str]
    """Share of the time by function, without what it calls of ours."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--originals", type=int, default=50_000)
    options.add_argument("--functions", type=int, default=15, help="shown of each fold")
    asked(options)
    chosen = options.parse_args(argv)
    sheet = Sheet(chosen.report)
    replay, records = loaded(Settings().convention, chosen.originals)
    gc.disable()  # as the workers do
    first = measured([station.fold for station in replay.deduplicate], replay.inbox, records)
    for station in replay.deduplicate:
        while station.position < len(replay.inbox.partitions[station.partition]):
            replay.advance(station, replay.inbox)
    second = measured([station.fold for station in replay.reconcile], replay.log, records)
    for name, found in (("deduplicate", first), ("reconcile", second)):
        for table in _tables(name, found, records, chosen.functions):
            sheet.add(table)


def measured(folds: Sequence[Fold], source: Log, records: int) -> Profile:
    """Fold all partitions twice, from nothing each time."""
    with opened(folds) as partitions:
        began = time.process_time()
        _fold_all(partitions, source)
        total = (time.process_time() - began) / records * 1e6
    with opened(folds) as partitions:
        profiler = cProfile.Profile()
        profiler.runcall(_fold_all, partitions, source)
    return Profile(total, *shares(profiler))


@contextmanager
def opened(folds: Sequence[Fold]) -> Iterator[list[Partition]]:
    """Give each fold an empty state."""
    with tempfile.TemporaryDirectory(prefix="migex-bench-") as scratch, ExitStack() as open_:
        partitions = []
        for number, fold in enumerate(folds):
            identity = Identity("bench", "bench", number, 1, "bench")
            partitions.append(Partition(Path(scratch, str(number)), identity, fold))
            open_.callback(partitions[-1].close)
        yield partitions


def _fold_all(partitions: Sequence[Partition], source: Log) -> None:
    for partition, values in zip(partitions, source.partitions, strict=True):
        for messages in chunked(Message(offset, value) for offset, value in enumerate(values)):
            outputs, _ = partition.step(messages)
            for _ in outputs:
                partition.acknowledge()


def shares(profiler: cProfile.Profile) -> tuple[Counter[str], Counter[str]]:
    """Return the shares of all time by module and by function; built-in functions and libraries are their callers'."""
    stats: dict[Function, tuple[Any, ...]] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]  # typeshed lacks it
    modules: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for function, (_, _, own, _, callers) in stats.items():
        if function[0].startswith(ROOT):
            modules[_module(function)] += own
            functions[f"{_module(function)} {function[2]}"] += own
            continue
        for caller, (_, _, spent, _) in callers.items():
            modules[_module(caller)] += spent
            functions[f"{_module(caller)} > {_short(function)}"] += spent
    whole = sum(modules.values())
    return _parts(modules, whole), _parts(functions, whole)


def _parts(found: Counter[str], whole: float) -> Counter[str]:
    return Counter({name: secs / whole for name, secs in found.items()})


def _module(function: Function) -> str:
    path = function[0]
    return path.removeprefix(ROOT) if path.startswith(ROOT) else "libraries"


def _short(function: Function) -> str:
    """Return a built-in function's name without the words around it: `get of builtins.Rdict`."""
    return re.sub(r"<?(built-in )?method |['<>]| objects>?", "", function[2])


def _tables(name: str, found: Profile, records: int, functions: int) -> Iterator[Table]:
    notes = (f"{records:,} records of the inbox, state on disk; {found.total:.1f} CPU µs a record in all",)
    for what, shares, most in (("module", found.modules, None), ("function", found.functions, functions)):
        top = [(key, share) for key, share in shares.most_common(most) if share >= LEAST]
        rows = [(key, share * found.total, share * 100) for key, share in top]
        yield Table(f"Where the time of {name} goes, by {what}", (what, "µs a record", "%"), rows, notes)


if __name__ == "__main__":
    main()
