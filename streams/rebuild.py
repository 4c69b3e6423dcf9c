"""Rebuild: the three folds over a whole inbox without Kafka, with all cores.

Within a stage no partition needs another one, so each is folded in a process of its own, from files into files: first
deduplicate, then reconcile, and aggregate at the end. The figures are those of the workers (law L3: the folds are the
same; law L1: it makes no difference in which order the frames of several partitions come).
"""

from __future__ import annotations

import gc
import multiprocessing
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heapreplace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from schemas import frame as wire
from schemas.errors import Broken
from schemas.header import SIZE
from streams.aggregate import Aggregate
from streams.dataflows.definition import Rules
from streams.deduplicate import Deduplicate
from streams.fold import CellChange, CutClosed, Fold, Message, Noted, Send
from streams.memory import Memory
from streams.reconcile.fold import Reconcile
from streams.scratch import Scratch

STEP = 64
"""Messages of one step: more than a worker takes, since nobody waits for the first of them."""

_ENTRY = struct.Struct(">qI")  # of a spool file: the frame's tick and length, before the frame
_BUFFER = 1 << 18


@dataclass(frozen=True)
class Job:
    """What is rebuilt from what; it travels to other processes, and so do its functions."""

    read: Callable[[int], Iterable[Message]]  # the messages of an inbox partition
    rules: Callable[[], Rules]
    inbox_partitions: int
    log_partitions: int
    scratch: Path  # an empty directory, for what the stages hand on and for state
    on_disk: bool = False  # keep the state in RocksDB: slower, for more than memory holds
    until: int | None = None  # the newest cut not after it is the last, seconds since 1970; None: all cuts

    def log(self, source: int, where: int) -> Path:
        """Return the file from a partition of the inbox to one of the log."""
        return self.scratch / f"log-{source}-{where}"

    def partials(self, source: int) -> Path:
        """Return the file with the partials of a log partition."""
        return self.scratch / f"partials-{source}"


class Stage(NamedTuple):
    """What one stage did, over all its partitions."""

    agent: str
    records: int  # that it read; of aggregate: cells that changed
    wall_secs: float
    cpu_secs: float  # of all its processes together, without their start
    set_aside: int  # what went into quarantine


@dataclass
class Rebuilt:
    """What came of it."""

    cells: dict[str, CellChange]
    tick: int  # the last complete cut; 0: there is none
    stages: list[Stage]


class _Done(NamedTuple):
    records: int
    set_aside: int
    cpu_secs: float


def rebuild(job: Job, cores: int, on_cut: Callable[[CutClosed], None] | None = None) -> Rebuilt:
    """Fold the inbox with so many processes; raises whatever a fold or the reading raises."""
    rebuilt = Rebuilt({}, 0, [])
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, spawn, initializer=_settle_in) as pool:
        for agent, work, partitions in (
            ("deduplicate", _deduplicate, job.inbox_partitions),
            ("reconcile", _reconcile, job.log_partitions),
        ):
            began = time.perf_counter()
            done = list(pool.map(partial(work, job), range(partitions)))
            rebuilt.stages.append(_stage(agent, began, done))
    began = time.perf_counter()
    rebuilt.stages.append(_stage("aggregate", began, [_aggregate(job, rebuilt, on_cut)]))
    return rebuilt


def in_step(sources: Sequence[Iterator[tuple[int, bytes]]]) -> Iterator[bytes]:
    """Yield the frames of several sources so that none runs ahead of another by a tick: then none need be parked.

    Each source yields (tick, frame), tick 0 for none. Ends with the source that is least far: what the others hold
    behind it belongs to no complete cut.
    """
    reached = [(0, number) for number in range(len(sources))]
    heapify(reached)
    while reached:
        _, number = reached[0]
        for tick, value in sources[number]:
            yield value
            if tick:
                heapreplace(reached, (tick, number))
                break
        else:
            return


def _settle_in() -> None:
    gc.disable()  # the folds make many short-lived tuples and no cycles


def _deduplicate(job: Job, partition: int) -> _Done:
    agencies = {agency.id: code for code, agency in job.rules().convention.agencies.items()}
    fold = Deduplicate(partition, job.log_partitions, agencies)
    inbox = iter(job.read(partition))
    messages = inbox if job.until is None else _up_to(job.until, inbox)
    return _fold(job, fold, messages, [job.log(partition, where) for where in range(job.log_partitions)])


def _reconcile(job: Job, partition: int) -> _Done:
    files = [job.log(source, partition) for source in range(job.inbox_partitions)]
    fold = Reconcile(partition, job.inbox_partitions, job.rules())
    done = _fold(job, fold, _numbered(in_step([_read(file) for file in files])), [job.partials(partition)])
    for file in files:
        file.unlink()
    return done


def _fold(job: Job, fold: Fold, messages: Iterator[Message], files: Sequence[Path]) -> _Done:
    """Fold all messages; what goes to partition n of the next stage goes into the nth file."""
    began, records, set_aside = time.process_time(), 0, 0
    with ExitStack() as stack:
        spools = [stack.enter_context(file.open("xb", _BUFFER)) for file in files]
        view: Memory | Scratch = Memory()
        if job.on_disk:
            view = stack.enter_context(Scratch(files[0].with_suffix(".state")))
        while step := list(islice(messages, STEP)):
            records += sum(_size(message.value) for message in step)
            for effect in fold.fold(view, step):
                if isinstance(effect, Send) and effect.topic in ("log", "partials"):
                    _write(spools[effect.partition], effect.value)
                elif isinstance(effect, Noted):
                    set_aside += sum(effect.quarantined.values())
            if isinstance(view, Scratch):
                view.commit()
    return _Done(records, set_aside, time.process_time() - began)


def _aggregate(job: Job, rebuilt: Rebuilt, on_cut: Callable[[CutClosed], None] | None) -> _Done:
    began, fold, view = time.process_time(), Aggregate(job.log_partitions), Memory()
    frames = _numbered(in_step([_read(job.partials(source)) for source in range(job.log_partitions)]))
    changed = 0
    while step := list(islice(frames, STEP)):
        for effect in fold.fold(view, step):
            if isinstance(effect, CutClosed):
                rebuilt.tick = effect.tick
                rebuilt.cells.update((change.key, change) for change in effect.cells)
                changed += len(effect.cells)
                if on_cut is not None:
                    on_cut(effect)
    rebuilt.cells = {key: cell for key, cell in rebuilt.cells.items() if cell.facts}
    return _Done(changed, 0, time.process_time() - began)


def _stage(agent: str, began: float, done: Sequence[_Done]) -> Stage:
    records, set_aside, cpu_secs = map(sum, zip(*done, strict=True))
    return Stage(agent, int(records), time.perf_counter() - began, cpu_secs, int(set_aside))


def _up_to(tick: int, inbox: Iterator[Message]) -> Iterator[Message]:
    """Yield the messages before the first later tick."""
    for message in inbox:
        if _tick(message.value) > tick:
            return
        yield message


def _numbered(values: Iterator[bytes]) -> Iterator[Message]:
    return (Message(offset, value) for offset, value in enumerate(values))


def _tick(value: bytes) -> int:
    try:
        return wire.decode(value).tick
    except Broken:  # it is for the fold to set it aside
        return 0


def _size(value: bytes) -> int:
    """Return how many records a frame holds."""
    try:
        return len(wire.decode(value).headers) // SIZE
    except Broken:
        return 0


def _write(spool: BinaryIO, value: bytes) -> None:
    spool.write(_ENTRY.pack(_tick(value), len(value)))
    spool.write(value)


def _read(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb", _BUFFER) as spool:
        while entry := spool.read(_ENTRY.size):
            tick, length = _ENTRY.unpack(entry)
            yield tick, spool.read(length)
