"""Rebuild: the three folds over a whole inbox without Kafka, with all cores.

Within a stage no partition needs another one, so each is folded in a process of its own, from files into files: first
deduplicate, then reconcile, and aggregate at the end. The figures are those of the workers (law L3: the folds are the
same; law L1: it makes no difference in which order the frames of several partitions come).

Of the cuts only the last is closed, unless somebody asks for all. A tick costs 64 markers and a cut of all partitions,
and in an inbox of years there are about as many ticks as records. All values are absolute, so a cut that was not closed
changes no later one.
"""

from __future__ import annotations

import gc
import multiprocessing
import struct
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from heapq import heapify, heapreplace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from schemas import frame as wire
from schemas.codelists import CodeLists
from schemas.conventions import load
from schemas.errors import Broken
from schemas.header import SIZE
from schemas.lifting import UNLIFTED, Lift
from streams.aggregate import Aggregate
from streams.dataflows.definition import Rules
from streams.deduplicate import Deduplicate
from streams.fold import CellChange, CutClosed, Fold, Message, Noted, Send
from streams.memory import Memory
from streams.reconcile.fold import Reconcile
from streams.scratch import Scratch

STEP_BYTES = 8 << 20
"""Of one step, some tens of thousands of records: more than a worker takes, for nobody waits for the first of them."""

LAST_TICKS = 100_000
"""Of each partition, among which the last cut is looked for: with one every second, those of more than a day."""

_ENTRY = struct.Struct(">qII")  # of a spool file, before the frame: its tick, its records, its length
_BUFFER = 1 << 18


@dataclass(frozen=True)
class Job:
    """What is rebuilt from what; it travels to other processes, and so do its functions."""

    inbox: Sequence[Callable[[], Iterable[Message]]]  # read each partition, twice: for its ticks, then for its records
    convention: Path
    log_partitions: int
    scratch: Path  # an empty directory, for what the stages hand on and for state
    on_disk: bool = False  # keep the state in RocksDB: slower, for more than memory holds
    until: int | None = None  # the newest cut not after it is the last, seconds since 1970; None: all cuts
    lift: Lift = UNLIFTED  # to the level of link keys that the doors are at
    step_bytes: int = STEP_BYTES

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
    wall_secs: float  # from the end of the stage before
    cpu_secs: float  # of all its processes together, without their start
    set_aside: int  # what went into quarantine


@dataclass
class Rebuilt:
    """What came of it."""

    cells: dict[str, CellChange]
    tick: int  # the last complete cut; 0: there is none
    stages: list[Stage]

    def add(self, agent: str, began: float, ended: float, done: Sequence[_Done]) -> float:
        """Add what a stage did between two moments of `time.perf_counter`; return the later one."""
        records, set_aside, cpu_secs = map(sum, zip(*done, strict=True))
        self.stages.append(Stage(agent, int(records), ended - began, cpu_secs, int(set_aside)))
        return ended


class Entry(NamedTuple):
    """A frame, with what the rebuild has to know of it."""

    tick: int  # 0: none, or it cannot be read
    records: int
    value: bytes


class _Done(NamedTuple):
    records: int
    set_aside: int
    cpu_secs: float


def rebuild(job: Job, cores: int, on_cut: Callable[[CutClosed], None] | None = None) -> Rebuilt:
    """Fold the inbox with so many processes; `on_cut` is told every cut, without it the last one alone is closed.

    Raises whatever a fold or the reading raises.
    """
    rebuilt, every = Rebuilt({}, 0, []), on_cut is not None
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), initializer=gc.disable) as pool:
        began = time.perf_counter()
        found = list(pool.map(partial(_ticks, job, every), range(len(job.inbox))))
        common = set.intersection(*[set(ticks) for ticks, _ in found])
        if not common:
            return rebuilt
        cuts = frozenset(common if every else {max(common)})
        began = rebuilt.add("ticks", began, time.perf_counter(), [done for _, done in found])
        done = list(pool.map(partial(_deduplicate, job, cuts), range(len(job.inbox))))
        began = rebuilt.add("deduplicate", began, time.perf_counter(), done)
        ends: list[float] = []
        running = [pool.submit(_reconcile, job, number) for number in range(job.log_partitions)]
        for each in running:
            each.add_done_callback(lambda _: ends.append(time.perf_counter()))
        with _uncollected():  # meanwhile: it takes a partition as soon as that is done
            summed = _aggregate(job, running, rebuilt, on_cut)
        began = rebuilt.add("reconcile", began, max(ends), [each.result() for each in running])
        rebuilt.add("aggregate", began, time.perf_counter(), [summed])
    return rebuilt


def in_step(sources: Sequence[Iterator[Entry]]) -> Iterator[Entry]:
    """Yield the frames of several sources so that none runs ahead of another by a tick: then none need be parked.

    Ends with the source that is least far: what the others hold behind it belongs to no complete cut.
    """
    reached = [(0, number) for number in range(len(sources))]
    heapify(reached)
    while reached:
        _, number = reached[0]
        for entry in sources[number]:
            yield entry
            if entry.tick:
                heapreplace(reached, (entry.tick, number))
                break
        else:
            return


@contextmanager
def _uncollected() -> Iterator[None]:
    """Do without garbage collections, here as in the other processes: folds make many small objects and no cycles."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _ticks(job: Job, every: bool, partition: int) -> tuple[Sequence[int], _Done]:
    """Return the ticks of a partition that may be cuts, ascending; a tick that is not greater than all before is none.

    Doors write records, the clock writes ticks, never both into one frame: so a frame that is shorter than a header is
    a tick, and nothing else need be read.
    """
    began, newest, messages = time.process_time(), 0, 0
    ticks: deque[int] = deque(maxlen=None if every else LAST_TICKS)
    for message in job.inbox[partition]():
        messages += 1
        if len(message.value) < SIZE and (tick := _entry(message.value).tick) > newest:
            if job.until is not None and tick > job.until:
                break
            newest = tick
            ticks.append(tick)
    return tuple(ticks), _Done(messages, 0, time.process_time() - began)


def _deduplicate(job: Job, cuts: Collection[int], partition: int) -> _Done:
    agencies = {agency.id: code for code, agency in rules_of(job.convention).convention.agencies.items()}
    fold = Deduplicate(partition, job.log_partitions, agencies)
    inbox = _of_cuts(cuts, map(_entry, (message.value for message in job.inbox[partition]())))
    return _fold(job, fold, inbox, [job.log(partition, where) for where in range(job.log_partitions)])


def _of_cuts(cuts: Collection[int], inbox: Iterable[Entry]) -> Iterator[Entry]:
    """Yield an inbox partition up to the last cut, without the ticks of others."""
    last = max(cuts)
    for entry in inbox:
        if entry.records or not entry.tick or entry.tick in cuts:
            yield entry
        if entry.tick == last:
            return


def _reconcile(job: Job, partition: int) -> _Done:
    files = [job.log(source, partition) for source in range(len(job.inbox))]
    fold = Reconcile(partition, len(job.inbox), rules_of(job.convention), job.lift)
    done = _fold(job, fold, in_step([spooled(file) for file in files]), [job.partials(partition)])
    for file in files:
        file.unlink()
    return done


def _fold(job: Job, fold: Fold, entries: Iterable[Entry], files: Sequence[Path]) -> _Done:
    """Fold all entries; what goes to partition n of the next stage goes into the nth file."""
    began, records, set_aside = time.process_time(), 0, 0
    with ExitStack() as stack:
        spools = [stack.enter_context(file.open("xb", _BUFFER)) for file in files]
        view: Memory | Scratch = Memory()
        if job.on_disk:
            view = stack.enter_context(Scratch(files[0].with_suffix(".state")))
        for step, count in _steps(entries, job.step_bytes):
            records += count
            for effect in fold.fold(view, step):
                if isinstance(effect, Send) and effect.topic in ("log", "partials"):
                    _write(spools[effect.partition], _entry(effect.value))
                elif isinstance(effect, Noted):
                    set_aside += sum(effect.quarantined.values())
            if isinstance(view, Scratch):
                view.commit()
    return _Done(records, set_aside, time.process_time() - began)


def _aggregate(
    job: Job, running: Sequence[Future[_Done]], rebuilt: Rebuilt, on_cut: Callable[[CutClosed], None] | None
) -> _Done:
    began, fold, view = time.process_time(), Aggregate(job.log_partitions), Memory()
    sources = [_read_when(future, job.partials(number)) for number, future in enumerate(running)]
    changed = 0
    for step, _ in _steps(in_step(sources), job.step_bytes):
        for effect in fold.fold(view, step):
            if isinstance(effect, CutClosed):
                rebuilt.tick = effect.tick
                rebuilt.cells.update((change.key, change) for change in effect.cells)
                changed += len(effect.cells)
                if on_cut is not None:
                    on_cut(effect)
    rebuilt.cells = {key: cell for key, cell in rebuilt.cells.items() if cell.facts}
    return _Done(changed, 0, time.process_time() - began)


def _steps(entries: Iterable[Entry], size: int) -> Iterator[tuple[list[Message], int]]:
    """Yield the messages of each step, of about so many bytes, and how many records they hold."""
    step: list[Message] = []
    records = held = 0
    for offset, entry in enumerate(entries):
        step.append(Message(offset, entry.value))
        records += entry.records
        held += len(entry.value)
        if held >= size:
            yield step, records
            step, records, held = [], 0, 0
    if step:
        yield step, records


def _entry(value: bytes) -> Entry:
    try:
        frame = wire.decode(value)
    except Broken:  # it is for the fold to set it aside
        return Entry(0, 0, value)
    return Entry(frame.tick, len(frame.headers) // SIZE, value)


def _write(spool: BinaryIO, entry: Entry) -> None:
    spool.write(_ENTRY.pack(entry.tick, entry.records, len(entry.value)))
    spool.write(entry.value)


def spooled(path: Path) -> Iterator[Entry]:
    """Yield what a stage handed on in a file."""
    with path.open("rb", _BUFFER) as spool:
        while head := spool.read(_ENTRY.size):
            tick, records, length = _ENTRY.unpack(head)
            yield Entry(tick, records, spool.read(length))


def _read_when(written: Future[_Done], path: Path) -> Iterator[Entry]:
    """Read a file when it has been written; raises what its writer raised."""
    written.result()
    yield from spooled(path)


@cache  # once for each process, which folds several partitions
def rules_of(convention: Path) -> Rules:
    """Return by what a convention's file and its code lists count."""
    agreed = load(convention)
    return Rules(agreed, CodeLists.load(*agreed.codelist_directories))
