"""Deduplicate: which version of each record speaks, and in which block.

Reads the inbox (partitioned by record), keeps per record every version seen, and writes to the log what changed:
ASSERT when a version now speaks in a block, RETRACT when the record left a block or was cancelled. The winner is the
greatest (revision, first recorded_at of that content, digest) of all versions seen, whatever came first (law L1).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from schemas import frame as wire
from schemas.errors import Broken
from schemas.frame import Frame
from schemas.header import SIZE, Header, Kind, Op, pack, unpack
from streams import books
from streams.fold import Effect, Message, Noted, Send, View
from streams.topics import partition

_LAST_TICK = b"@t"
DELIVERY_SIZE = 8


class Version(msgspec.Struct, array_like=True):
    """One content of a record under one revision, and the deliveries that brought it (8 bytes each)."""

    revision: int
    recorded_at: int  # the first of that content, ms
    digest: bytes
    op: int
    deliveries: bytes


class RecordState(msgspec.Struct, array_like=True):
    """What deduplicate knows of one record."""

    versions: list[Version] = []
    seq: int = 0  # statements made to the log
    block: int = 0  # where the record speaks; 0: nowhere
    stated: tuple[int, int, bytes] = (0, 0, b"")  # the version that speaks
    refusals: int = 0  # deliveries of this record that the door refused


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RecordState).decode


class Statement(NamedTuple):
    """A header and a core on their way into the log."""

    header: Header
    core: bytes


def state_key(record: bytes) -> bytes:
    """Return the key under which a record's state lies."""
    return b"r" + record


def read_state(view: View, record: bytes) -> RecordState | None:
    """Return what is known of a record, or None."""
    stored = view.get(state_key(record))
    return None if stored is None else _decode(stored)


def winner(versions: Sequence[Version]) -> Version:
    """Return the version that speaks: the greatest (revision, first recorded_at, digest)."""
    if len(versions) == 1:  # nearly every record
        return versions[0]
    return max(versions, key=lambda v: (v.revision, v.recorded_at, v.digest))


class Deduplicate:
    """The first fold: inbox -> log."""

    def __init__(self, source: int, log_partitions: int, agencies: dict[int, str], speaks_from: int = 0) -> None:
        """`source` is the inbox partition; `agencies` maps permanent numbers to codes, for their verdict topics.

        Conflicts before the tick `speaks_from` are counted and told to nobody: another generation has told them.
        """
        self._source = source
        self._log_partitions = log_partitions
        self._agencies = agencies
        self._speaks_from = speaks_from

    def fold(self, view: View, messages: Sequence[Message]) -> Sequence[Effect]:
        """See `streams.fold.Fold`."""
        step = _Step(view, self._source, self._log_partitions, self._agencies, self._speaks_from)
        for message in messages:
            step.take(message)
        return step.finish()


class _Step:
    """One run over some messages: states are read once, statements are gathered per log partition."""

    def __init__(
        self, view: View, source: int, log_partitions: int, agencies: dict[int, str], speaks_from: int
    ) -> None:
        self._view = view
        self._source = source
        self._agencies = agencies
        self._speaks_from = speaks_from
        self._books = books.Tally(view)
        self._states: dict[bytes, RecordState] = {}
        self._pending: list[list[Statement]] = [[] for _ in range(log_partitions)]
        self._offset = -1
        self._newest = 0
        self._broken: dict[int, int] = {}
        self._sends: list[Send] = []

    def take(self, message: Message) -> None:
        self._offset = message.offset
        try:
            frame = wire.decode(message.value)
            records = wire.records(frame)
        except Broken as error:
            self._quarantine(message, error)
            return
        self._load(records)
        self._newest = max([self._newest, *(header.accepted_at for header, _ in records)])
        for header, core in records:
            if header.kind == Kind.REFUSED:
                self._refused(header, core)
            else:
                self._deliver(header, core)
        if frame.tick:
            self._tick(frame.tick)
        # a frame ends where a message does, so that its position claims neither more nor less than it holds
        for where, statements in enumerate(self._pending):
            if len(statements) >= wire.MAX_RECORDS:
                self._flush(where)

    def _load(self, records: Sequence[tuple[Header, bytes]]) -> None:
        new = list({h.record: None for h, _ in records if h.record not in self._states})
        for record, stored in zip(new, self._view.get_many([b"r" + r for r in new]), strict=True):
            self._states[record] = RecordState() if stored is None else _decode(stored)

    def _refused(self, header: Header, reasons: bytes) -> None:
        """Count a refusal once per delivery; keep its reasons for whoever asks about the record."""
        key = b"f" + header.record + header.delivery
        if self._view.get(key) is not None:
            return
        self._view.put(key, reasons)
        self._states[header.record].refusals += 1
        self._count(header, "refused")

    def _count(self, header: Header, answer: str) -> None:
        self._books.add(header.agency, header.family, "deliveries")
        self._books.add(header.agency, header.family, answer)

    def _deliver(self, header: Header, core: bytes) -> None:
        """Add one delivery of a version and state what changes by it."""
        state = self._states[header.record]
        known = next((v for v in state.versions if v.digest == header.digest and v.revision == header.revision), None)
        if known is None:
            self._new_version(state, header, core)
            self._speak(state, header.record, Statement(header, core))
            return
        if _contains(known.deliveries, header.delivery):
            return
        known.deliveries += header.delivery
        self._count(header, "duplicate")
        if header.recorded_at < known.recorded_at:
            before = books.shares(state.versions)
            known.recorded_at = header.recorded_at
            self._books.move(header.agency, header.family, before, books.shares(state.versions))
            self._speak(state, header.record, None)

    def _new_version(self, state: RecordState, header: Header, core: bytes) -> None:
        """Add a version; only contents of the greatest revision are kept, since a lower one never wins again."""
        version = Version(header.revision, header.recorded_at, header.digest, header.op, header.delivery)
        before = books.shares(state.versions)
        greatest = max((v.revision for v in state.versions), default=0)
        if header.revision > greatest:
            for old in state.versions:
                self._view.delete(_content_key(header.record, old))
        rivals = any(v.revision == header.revision for v in state.versions)
        state.versions.append(version)
        if header.revision >= greatest:
            self._view.put(_content_key(header.record, version), pack((header,)) + core)
        self._count(header, "new_version")
        self._books.move(header.agency, header.family, before, books.shares(state.versions))
        if rivals:
            self._conflict(header)

    def _conflict(self, header: Header) -> None:
        """Tell the agency that it sent two contents under one revision (law L1)."""
        self._books.add(header.agency, header.family, "conflict")
        if int.from_bytes(self._view.get(_LAST_TICK) or b"", "big") < self._speaks_from:
            return
        verdict = {"answer": "conflict", "record": header.record.hex(), "revision": header.revision,
                   "digest": header.digest.hex(), "delivery": header.delivery.hex()}  # fmt: skip
        agency = self._agencies.get(header.agency)
        if agency is not None:  # an agency that the convention names no more has no topic to hear it on
            self._sends.append(Send(f"verdicts:{agency}", 0, json.dumps(verdict, sort_keys=True).encode()))

    def _speak(self, state: RecordState, record: bytes, at_hand: Statement | None) -> None:
        """State the winner, if it is another one than was stated; `at_hand` is the version just delivered."""
        best = winner(state.versions)
        if (best.revision, best.recorded_at, best.digest) == state.stated:
            return
        if at_hand is None or at_hand.header.digest != best.digest or at_hand.header.revision != best.revision:
            at_hand = self._content(record, best)
        block = 0 if best.op == Op.CANCEL else at_hand.header.block
        state.seq += 1
        if state.block and state.block != block:
            self._state(Kind.RETRACT, state.block, state.seq, at_hand._replace(core=b""), best.recorded_at)
        if block:
            self._state(Kind.ASSERT, block, state.seq, at_hand, best.recorded_at)
        state.block = block
        state.stated = (best.revision, best.recorded_at, best.digest)

    def _content(self, record: bytes, version: Version) -> Statement:
        stored = self._view.get(_content_key(record, version))
        if stored is None:
            raise Broken("content-missing", "A winning version's content is not in the state.")
        return Statement(next(unpack(stored[:SIZE])), stored[SIZE:])

    def _state(self, kind: Kind, block: int, seq: int, content: Statement, recorded_at: int) -> None:
        header = content.header._replace(kind=kind, block=block, seq=seq, recorded_at=recorded_at)
        where = partition(block.to_bytes(4, "big"), len(self._pending))
        self._pending[where].append(Statement(header, content.core))

    def _tick(self, tick: int) -> None:
        """Send a marker behind everything before it to every log partition, the books with one of them."""
        stored = self._view.get(_LAST_TICK)
        if stored is not None and tick <= int.from_bytes(stored, "big"):
            return
        self._view.put(_LAST_TICK, tick.to_bytes(8, "big"))
        home = self._source % len(self._pending)
        for where in range(len(self._pending)):
            notes = self._books.notes(f"D{self._source}") if where == home else b""
            self._flush(where, tick, notes)

    def _flush(self, where: int, tick: int = 0, notes: bytes = b"") -> None:
        """Send what is pending for one log partition as one frame.

        Its position is the last message in it, whole: so a fold that begins elsewhere after a loss of its last writes
        makes other frames of the same messages, and a reader of both misses nothing (law L2).
        """
        statements, self._pending[where] = self._pending[where], []
        key = b"@p" + where.to_bytes(2, "big")
        stored = self._view.get(key)
        prev = int.from_bytes(stored, "big") if stored else -1
        headers = pack([s.header for s in statements])
        cores = [s.core for s in statements]
        frame = Frame(
            self._source, self._offset, prev, tick, headers, wire.sizes(cores), b"".join(cores), b"", b"", notes
        )
        self._view.put(key, self._offset.to_bytes(8, "big"))
        self._sends.append(Send("log", where, wire.encode(frame)))

    def finish(self) -> list[Effect]:
        for where, statements in enumerate(self._pending):
            if statements:
                self._flush(where)
        put = self._view.put
        for record, state in self._states.items():
            put(b"r" + record, _encode(state))
        self._books.save()
        return [*self._sends, Noted(self._books.step, self._newest, 0, self._broken)]

    def _quarantine(self, message: Message, error: Broken) -> None:
        """Set a frame aside that cannot be read; only a defect of ours or a foreign writer makes one."""
        self._books.add(0, 0, "broken_frames")
        self._broken[0] = self._broken.get(0, 0) + 1
        note = {"stage": "deduplicate", "source": self._source, "offset": message.offset, "error": error.code}
        self._sends.append(Send("quarantine", 0, json.dumps(note).encode() + b"\n" + message.value))


def _content_key(record: bytes, version: Version) -> bytes:
    return b"c" + record + version.revision.to_bytes(4, "big") + version.digest


def _contains(deliveries: bytes, delivery: bytes) -> bool:
    return any(deliveries[i : i + DELIVERY_SIZE] == delivery for i in range(0, len(deliveries), DELIVERY_SIZE))
