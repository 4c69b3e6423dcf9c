"""Memory of a worker whose state grows far beyond what it may keep in memory: reconcile on one partition, on disk.

    python -m bench.memory [--originals 400000] [--report FILE]

One partition takes the whole load, so that its state is many times the cache and the write buffers of RocksDB. Figures
are taken at each quarter: what the process holds for itself, which must stay flat, and what it has mapped of the
state's files, which the system takes back when it needs the memory.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import struct
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.load import frames
from bench.sheet import Sheet, Table, Value, asked
from ops.settings import Settings
from schemas.frame import decode, encode, tick_frame
from schemas.header import SIZE
from streams.deduplicate import Deduplicate
from streams.engine import chunked
from streams.fold import Message, Send
from streams.memory import Memory
from streams.partition import Partition
from streams.rebuild import rules_of
from streams.reconcile.fold import Reconcile
from streams.rocks import CACHE_BYTES, Identity

_LENGTH = struct.Struct(">I")
_COLLECT_STEPS = 50  # a worker collects garbage now and then, see `streams.worker`
_FRAMES_A_TICK = 20
_FETCHED = 32


class Sample(NamedTuple):
    """What was seen at one moment; sizes in bytes."""

    records: int
    state: int
    own: int
    mapped: int


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--originals", type=int, default=400_000)
    asked(options)
    chosen = options.parse_args(argv)
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="migex-bench-") as scratch:
        log = Path(scratch) / "log"
        with ProcessPoolExecutor(1, spawn) as loader:
            messages = loader.submit(write_log, chosen.originals, log).result()
        with ProcessPoolExecutor(1, spawn, initializer=gc.disable) as worker:  # as the workers do
            samples = worker.submit(grow, log, messages, Path(scratch) / "state").result()
    Sheet(chosen.report).add(table(samples))


def write_log(originals: int, file: Path) -> int:
    """Write what deduplicate says of a load, for one partition of the log; return the number of messages."""
    fold, view, messages = Deduplicate(0, 1, {}), Memory(), 0
    with file.open("wb") as out:
        for offset, value in enumerate(_inbox(originals)):
            for effect in fold.fold(view, [Message(offset, value)]):
                if isinstance(effect, Send) and effect.topic == "log":
                    out.write(_LENGTH.pack(len(effect.value)) + effect.value)
                    messages += 1
    return messages


def _inbox(originals: int) -> Iterator[bytes]:
    for number, (_, _, value) in enumerate(frames(originals, 1), start=1):
        yield value
        if number % _FRAMES_A_TICK == 0:
            yield encode(tick_frame(number))


def grow(log: Path, messages: int, directory: Path) -> list[Sample]:
    """Fold a log as a worker does, in this process, and return what is seen at its start and after each quarter."""
    fold = Reconcile(0, 1, rules_of(Settings().convention))
    place = Partition(directory, Identity("bench", "log", 0, 1, "reconcile"), fold)
    records, seen = 0, [_sample(0, place)]
    for number, step in enumerate(_steps(log), start=1):
        outputs, _ = place.step(step)
        for _ in outputs:
            place.acknowledge()
        records += sum(len(decode(message.value).headers) // SIZE for message in step)
        if number % _COLLECT_STEPS == 0:
            gc.collect()
        if step[-1].offset + 1 >= messages * len(seen) / 4:
            seen.append(_sample(records, place))
    place.close()
    return seen


def _steps(log: Path) -> Iterator[list[Message]]:
    """Yield what a worker folds in one step each, of so many messages as one answer of Kafka may hold."""
    messages = _read(log)
    while fetched := list(islice(messages, _FETCHED)):
        yield from chunked(fetched)


def _read(log: Path) -> Iterator[Message]:
    with log.open("rb") as file:
        offset = 0
        while length := file.read(_LENGTH.size):
            yield Message(offset, file.read(_LENGTH.unpack(length)[0]))
            offset += 1


def _sample(records: int, place: Partition) -> Sample:
    held = psutil.Process().memory_info()
    mapped = getattr(held, "shared", 0)  # Linux tells it apart: pages of files, which are not the process's own
    return Sample(records, place.size(), held.rss - mapped, mapped)


def table(samples: Sequence[Sample]) -> Table:
    """Return the samples as a table, with how much the process's own memory grew while the state did."""
    rows: list[Sequence[Value]] = []
    for quarter, seen in enumerate(samples):
        sizes = [size / 1e6 for size in (seen.state, seen.own, seen.mapped)]
        rows.append([f"{25 * quarter} %", seen.records, *sizes, seen.state / CACHE_BYTES])
    middle, last = samples[len(samples) // 2], samples[-1]
    notes = (
        f"from half-way on the state grew by {(last.state - middle.state) / 1e6:,.0f} MB, the process's own memory by "
        f"{(last.own - middle.own) / 1e6:,.0f} MB",
        f"the cache of a partition is {CACHE_BYTES / 1e6:,.0f} MB; its write buffers take up to 50 MB more",
    )
    return Table(
        "Memory of reconcile on a growing state",
        ("done", "records", "state MB", "own MB", "mapped MB", "of the cache"),
        rows,
        notes,
    )


if __name__ == "__main__":
    main()
