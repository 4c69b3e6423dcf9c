"""Reconcile: who is who in each block, what happened to them, and what that states in the tables.

Reads the log (partitioned by block), keeps records, persons and their histories, and at each cut writes the cells
that changed, by absolute value. When a history changes, the facts last stated are withdrawn and the new ones stated
(law L7); what changed and why is counted per cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import TypeVar
from zlib import crc32

import msgspec

from schemas import frame as wire
from schemas.errors import Broken
from schemas.frame import Frame
from schemas.header import ACCEPTED_AT, BLOCK, LINK_KEY_ID, OP, OWNER, RECORD, Kind, Op, spoken
from schemas.lifting import UNLIFTED, Lift
from streams import books
from streams.barrier import Barrier, Close
from streams.dataflows import facts_of, reading
from streams.dataflows.definition import Dataflow, Fact, Rules
from streams.fold import Effect, Message, Noted, Send, View
from streams.reconcile.cells import Cells, differences
from streams.reconcile.component import BROKEN, SILENT, Component, Kept
from streams.reconcile.components import Components, Heard
from streams.reconcile.happenings import Happening, Report, happenings, happenings_of, read_report
from streams.reconcile.people import persons

CELLS_PER_FRAME = 2000
"""Cells of one frame of partials, or a few more: cells of one bucket stay together."""

_BUCKET_BITS = 20
_SENT = b"@e"
_ASSERT = int(Kind.ASSERT)  # a plain int: looking up a member of an enum costs as much as decoding a number
_read_counts = msgspec.msgpack.Decoder(list[tuple[str, int]]).decode


class _Change(msgspec.Struct, frozen=True, gc=False):
    """How a record changed in this step: for the cause of the facts that come and go by it."""

    withdrawn: str  # cause of facts withdrawn
    stated: str | None  # cause of facts stated; None: on time or late, by when it was recorded
    recorded_at: int  # ms


class Reconcile:
    """The second fold: log -> partials."""

    hot = b"v"  # the cells

    def __init__(self, source: int, inbox_partitions: int, rules: Rules, lift: Lift = UNLIFTED) -> None:
        """`source` is the log partition; `inbox_partitions` the number of deduplicate's partitions.

        `lift` brings the cores of earlier link keys to the generation's level (law L8).
        """
        self._source = source
        self._sources = inbox_partitions
        self._rules = rules
        self.lift = lift
        self._due_of = lru_cache(maxsize=4096)(self._due_at)
        self.due = lru_cache(maxsize=1 << 16)(self._due_in)
        """Cell -> the instant (ms) from which a first statement in it is late."""

    def fold(self, view: View, messages: Sequence[Message]) -> Sequence[Effect]:
        """See `streams.fold.Fold`."""
        step = _Step(view, self)
        for message in messages:
            step.take(message)
        return step.finish()

    def facts(self, component: Component) -> list[Fact]:
        """Return all that the persons of a component state now."""
        stated: list[Fact] = []
        for person in persons(component.read()):
            stated.extend(facts_of(happenings(person, self.rank), self._rules))
        return stated

    def restate(self, component: Component) -> None:
        """Set what a component states to what its persons state now."""
        component.state(self.facts(component), component.reports.values())

    def grow(self, component: Component) -> list[Fact] | None:
        """State what reports state that came each as a happening of its own, and return it: the short way of `renew`.

        None where the long way is needed: something else changed, a table asks what else happened to the person, or
        what came may tell persons apart. Nearly every record goes this way; earlier reports are not even read.
        """
        came, read = component.came, reading(frozenset(component.changed.values()))
        if came is None or read.by_person or component.several():
            return None
        stated = [self._alone(kept.report, read.by_happening) for kept in came]
        for kept, facts in zip(came, stated, strict=True):
            kept.tell(facts)
        return [fact for facts in stated for fact in facts]

    def _alone(self, report: Report, flows: Iterable[Dataflow]) -> list[Fact]:
        history = (Happening((report,)),)
        return [fact for flow in flows for fact in flow.stated(history, self._rules)]

    def renew(self, component: Component) -> tuple[list[Fact], list[Fact]]:
        """Bring what one person states up to date after single reports came or went; return what goes and what comes.

        A table that counts by happening is asked for the happenings that changed alone, the others for all of theirs:
        so a frequent traveller's new crossing costs no more than the first one. The same as `facts`, which a law says.
        """
        changed, near = component.changed, component.near()
        by_happening, by_person = reading(frozenset(changed.values()))
        history = self._history(near)
        new = [fact for flow in by_happening for fact in flow.stated(history, self._rules)]
        tellers = component.reports.values() if by_person else near
        for flow in by_person:
            new.extend(
                flow.stated(self._history([k for k in tellers if k.report.family in flow.families]), self._rules)
            )
        tables = {flow.id for flow in by_person}
        gone, stays = component.gone, list[Fact]()
        for kept in tellers:
            if kept.told:
                for fact in kept.facts:
                    (gone if kept.natural in changed or fact.table in tables else stays).append(fact)
        component.state([*stays, *new], tellers)
        return gone, new

    def _history(self, kept: Collection[Kept]) -> list[Happening]:
        if len(kept) == 1:  # nearly always
            return [Happening((each.report,)) for each in kept]
        groups: dict[bytes, list[Report]] = {}
        for each in kept:
            groups.setdefault(each.natural, []).append(each.report)
        return happenings_of(groups.values(), self.rank)

    def rank(self, report: Report) -> int:
        """Return the precedence of a report's agency; less is better (design decision 10)."""
        return self._rules.rank(report.family, report.agency)

    def _due_in(self, cell: str) -> int:
        table, period, _ = cell.split("|", 2)
        return self._due_of(table, period)

    def _due_at(self, table: str, period: str) -> int:
        """Return the instant (ms) at which the due day of a table's period is over."""
        convention = self._rules.convention
        return convention.midnight(convention.due_on(table, period) + timedelta(days=1)) * 1000

    @property
    def rules(self) -> Rules:
        """The convention and the code lists by which it counts."""
        return self._rules

    @property
    def source(self) -> int:
        """The log partition."""
        return self._source

    @property
    def sources(self) -> int:
        """The number of deduplicate's partitions."""
        return self._sources


class _Step:
    """One run over some messages; histories are reckoned once per step and component, not once per record."""

    def __init__(self, view: View, stage: Reconcile) -> None:
        self._view = view
        self._stage = stage
        self._level = stage.lift.level
        self._barrier = Barrier(view, stage.sources)
        self._books = books.Tally(view)
        self._cells = Cells(view, self._barrier.closed)
        self._components = Components(view)
        self._changes: dict[bytes, _Change] = {}
        self._sends: list[Send] = []
        self._newest = b""
        self._broken: dict[int, int] = {}

    def take(self, message: Message) -> None:
        try:
            frame = wire.decode(message.value)
            effects = self._barrier.arrive(frame, message.value)
        except Broken as error:
            self._set_frame_aside(message.offset, message.value, error)
            return
        for effect in effects:
            if isinstance(effect, Close):
                self._settle()
                self._emit(effect.tick)
            else:
                self._apply(effect)

    def finish(self) -> list[Effect]:
        self._settle()
        self._components.finish()
        self._books.save()
        newest = int.from_bytes(self._newest, "big")
        return [*self._sends, Noted(self._books.step, newest, self._barrier.parked, self._broken)]

    def _apply(self, frame: Frame) -> None:
        try:
            entries = wire.entries(frame)
            counts = _read_counts(frame.notes) if frame.notes else []
        except (Broken, msgspec.MsgspecError) as error:
            self._set_frame_aside(frame.offset, wire.encode(frame), error)
            return
        if entries:
            self._newest = max([self._newest, *[header[ACCEPTED_AT] for header, _ in entries]])
            heard = [self._read(header, raw) for header, raw in entries]
            self._components.expect(heard)
            for statement in heard:
                self._hear(statement)
        for cell, count in counts:
            self._cells.set_count(cell, count)

    def _read(self, header: bytes, raw: bytes) -> Heard:
        """Read a statement; a core that cannot be read stands in it as the error."""
        agency, family, seq, block, recorded_at, record = spoken(header)
        report: Report | Broken | None = None
        if header[0] == _ASSERT:
            try:
                if header[LINK_KEY_ID] < self._level:
                    raw = self._stage.lift(header, raw)
                report = read_report(record, (agency, family, seq, recorded_at), raw)
            except Broken as error:
                report = error
        return Heard(header, block, record, seq, raw, report, seq == 1 and not self._barrier.overlapping)

    def _hear(self, heard: Heard) -> None:
        """Take one statement about a record in a block; one that is not newer than what was heard is a repeat."""
        header, block, record, seq, report = heard.header, heard.block, heard.record, heard.seq, heard.report
        if not heard.first:
            before, number = self._components.place(block, record)
            if seq <= before:
                return
            if number != SILENT:
                self._forget(header, number)
        if report is None:
            cause = "cancellation" if header[OP][0] == Op.CANCEL else "correction"
            self._changes[record] = _Change(cause, cause, 0)
            self._components.settle(block, record, seq, SILENT)
        elif isinstance(report, Broken):
            self._components.settle(block, record, seq, BROKEN)
            self._quarantine(record, header[OWNER], heard.raw, report)
        else:
            self._changes[record] = _Change("correction", None if seq == 1 else "correction", report.recorded_at)
            self._components.add(block, report)
            self._books.add(header[OWNER], "speaking")

    def _forget(self, header: bytes, number: bytes) -> None:
        """Take out what the record said in this block before."""
        if number == BROKEN:
            self._books.add(header[OWNER], "quarantined", by=-1)
        else:
            self._components.remove(self._components.touch(header[BLOCK], number), header[RECORD])
            self._books.add(header[OWNER], "speaking", by=-1)

    def _settle(self) -> None:
        """Reckon the facts of every component touched, count what differs from what was stated, write all back."""
        before: list[Fact] = []
        after: list[Fact] = []
        for component in list(self._components.touched.values()):
            new = _tried(self._stage.grow, component)
            if new is not None:
                after += new
                component.save(self._view)
                continue
            gone, new, pieces = self._reckon(component)
            before += gone
            after += new
            for piece in pieces:
                piece.save(self._view)
        for fact, sign in differences(before, after):
            self._cells.state(fact, self._cause(fact, sign), sign)
        self._components.touched.clear()
        self._changes.clear()
        self._cells.flush()

    def _cause(self, fact: Fact, sign: int) -> str:
        change = self._changes.get(fact.record)
        if change is None:
            return "link"
        if sign < 0:
            return change.withdrawn
        return change.stated or ("late" if change.recorded_at >= self._stage.due(fact.cell) else "on-time")

    def _reckon(self, component: Component) -> tuple[list[Fact], list[Fact], list[Component]]:
        """Split a component if need be and renew what the pieces state; return what goes, what comes, and them."""
        pieces = self._components.split(component)
        if not component.whole and not component.several():
            renewed = _tried(self._stage.renew, component)
            if renewed is not None:
                return *renewed, pieces
        before = [*component.gone, *[fact for piece in pieces for fact in piece.stated]]
        if not all(_tried(self._restated, piece) for piece in pieces):
            pieces = [part for piece in pieces for part in self._without_broken(piece)]
        return before, [fact for piece in pieces for fact in piece.stated], pieces

    def _restated(self, component: Component) -> bool:
        self._stage.restate(component)
        return True

    def _without_broken(self, component: Component) -> list[Component]:
        """Set aside the reports that a table fails on by themselves; where it fails on them together, all of them."""
        for record, kept in list(component.reports.items()):
            alone = Component(component.key)
            alone.put(kept)
            try:
                self._stage.facts(alone)
            except _NOBODYS_FAULT:
                raise
            except Exception as error:
                self._expel(component, record, error)
        pieces = self._components.split(component)
        for piece in pieces:
            try:
                self._stage.restate(piece)
            except _NOBODYS_FAULT:
                raise
            except Exception as error:
                for record in list(piece.reports):
                    self._expel(piece, record, error)
        return pieces

    def _expel(self, component: Component, record: bytes, error: Exception) -> None:
        report = component.reports[record].report
        owner = books.of(report.agency, report.family)
        self._components.remove(component, record)
        self._components.settle(component.block, record, report.seq, BROKEN)
        self._books.add(owner, "speaking", by=-1)
        self._quarantine(record, owner, report.raw, error)

    def _quarantine(self, record: bytes, owner: bytes, raw: bytes, error: Exception) -> None:
        self._books.add(owner, "quarantined")
        agency = int.from_bytes(owner[:2], "big")
        self._broken[agency] = self._broken.get(agency, 0) + 1
        self._set_aside({"record": record.hex(), "error": type(error).__name__}, raw)

    def _set_frame_aside(self, offset: int, raw: bytes, error: Exception) -> None:
        """Set a frame aside that cannot be read; only a defect of ours or a foreign writer makes one."""
        self._books.add(books.NOBODY, "broken_frames")
        self._broken[0] = self._broken.get(0, 0) + 1
        self._set_aside({"offset": offset, "error": type(error).__name__}, raw)

    def _set_aside(self, note: dict[str, object], raw: bytes) -> None:
        note |= {"stage": "reconcile", "source": self._stage.source}
        self._sends.append(Send("quarantine", 0, json.dumps(note, sort_keys=True).encode() + b"\n" + raw))

    def _emit(self, tick: int) -> None:
        """Send the cells that changed since the last cut, with the end of this one."""
        for cell, count in self._books.counts(f"R{self._stage.source}").items():
            self._cells.set_count(cell, count)
        stored = self._view.get(_SENT)
        prev = int.from_bytes(stored, "big") if stored else -1
        for last, cells in _frames(self._cells.take_changed(tick)):
            position = (tick << _BUCKET_BITS) + last
            end = last == _LAST_BUCKET
            self._sends.append(Send("partials", 0, self._partials(cells, position, prev, tick if end else 0)))
            prev = position
        self._view.put(_SENT, prev.to_bytes(8, "big"))

    def _partials(self, cells: Sequence[tuple[str, msgspec.Raw]], position: int, prev: int, tick: int) -> bytes:
        notes = msgspec.msgpack.encode(cells)
        return wire.encode(Frame(self._stage.source, position, prev, tick, b"", b"", b"", b"", b"", notes))


_NOBODYS_FAULT = (MemoryError, OSError)
"""What may strike anywhere: the records are folded again (law L3). Any other error of a table is the record's."""

_T = TypeVar("_T")


def _tried(way: Callable[[Component], _T | None], component: Component) -> _T | None:
    """Return what comes of a way to reckon a component's facts, or None where it fails: a longer way finds out why."""
    try:
        return way(component)
    except _NOBODYS_FAULT:
        raise
    except Exception:
        return None


_LAST_BUCKET = (1 << _BUCKET_BITS) - 1


def _frames(cells: Iterable[tuple[str, bytes]]) -> Iterator[tuple[int, list[tuple[str, msgspec.Raw]]]]:
    """Yield the cells of a cut, frame by frame, with the last bucket of each; the last frame ends with the last one.

    A bucket is a share of a cell's checksum. So a frame's position says which cells it speaks of, whatever else changed
    at the cut: a fold that repeats a cut after a loss of its last writes may find other cells beside them (law L2).
    """
    rest = sorted([(crc32(cell.encode()) >> (32 - _BUCKET_BITS), cell, value) for cell, value in cells])
    frame: list[tuple[str, msgspec.Raw]] = []
    last = 0
    for bucket, cell, value in rest:
        if len(frame) >= CELLS_PER_FRAME and bucket != last:
            yield last, frame
            frame = []
        frame.append((cell, msgspec.Raw(value)))
        last = bucket
    yield _LAST_BUCKET, frame
