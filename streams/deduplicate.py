"""Deduplicate: which version of each record speaks, and in which block.

Reads the inbox (partitioned by record), keeps per record every version seen, and writes to the log what changed:
ASSERT when a version now speaks in a block, RETRACT when the record left a block or was cancelled. The winner is the
greatest (revision, first recorded_at of that content, digest) of all versions seen, whatever came first (law L1).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from schemas import frame as wire
from schemas.errors import Broken
from schemas.frame import Frame
from schemas.header import (
    ACCEPTED_AT,
    BLOCK,
    DELIVERY,
    DIGEST,
    OP,
    OWNER,
    RECORD,
    RECORDED_AT,
    REVISION,
    Kind,
    Op,
    recorded,
    statement,
)
from streams import books
from streams.fold import Effect, Message, Noted, Send, View
from streams.topics import partition

NOWHERE = bytes(4)
"""In the place of a block: the record does not speak."""

_LAST_TICK = b"@t"
_CANCEL = bytes([Op.CANCEL])
DELIVERY_SIZE = 8


class Version(msgspec.Struct, array_like=True):
    """One content of a record under one revision, and the deliveries that brought it (8 bytes each)."""

    header: bytes  # packed, of the first delivery; with the first instant of recording of that content
    core: bytes  # empty once a greater revision is known: a lower one never wins again
    deliveries: bytes
    offset: int = -1  # the inbox message of the first delivery; -1: not noted
    tick: int = 0  # the last tick before it: every later cut holds it

    @property
    def revision(self) -> int:
        """The sender's number of the version."""
        return int.from_bytes(self.header[REVISION], "big")

    @property
    def recorded_at(self) -> int:
        """When the agency first recorded that content, ms."""
        return int.from_bytes(self.header[RECORDED_AT], "big", signed=True)

    @property
    def digest(self) -> bytes:
        """The content's digest."""
        return self.header[DIGEST]

    @property
    def op(self) -> int:
        """What it does with the record."""
        return self.header[OP][0]


class RecordState(msgspec.Struct, array_like=True):
    """What deduplicate knows of one record."""

    versions: list[Version] = []
    seq: int = 0  # statements made to the log
    block: bytes = NOWHERE  # where the record speaks
    stated: bytes = b""  # the version that speaks: revision, recorded_at, digest
    refusals: int = 0  # deliveries of this record that the door refused


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RecordState).decode


def state_key(record: bytes) -> bytes:
    """Return the key under which a record's state lies."""
    return b"r" + record


def refusals_key(record: bytes) -> bytes:
    """Return how the keys begin under which a record's refusals lie: the instant (8 bytes, ms), then the reasons."""
    return b"f" + record


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

    hot = b""

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
        self._pending: list[list[tuple[bytes, bytes]]] = [[] for _ in range(log_partitions)]  # header, core
        self._offset = -1
        self._last_tick = int.from_bytes(view.get(_LAST_TICK) or b"", "big")
        self._newest = b""
        self._broken: dict[int, int] = {}
        self._sends: list[Send] = []

    def take(self, message: Message) -> None:
        self._offset = message.offset
        try:
            frame = wire.decode(message.value)
            records = wire.entries(frame)
        except Broken as error:
            self._quarantine(message, error)
            return
        self._load([header[RECORD] for header, _ in records])
        self._newest = max([self._newest, *[header[ACCEPTED_AT] for header, _ in records]])
        for header, core in records:
            if header[0] == Kind.REFUSED:
                self._refused(header, core)
            else:
                self._deliver(header, core)
        if frame.tick:
            self._tick(frame.tick)
        # a frame ends where a message does, so that its position claims neither more nor less than it holds
        for where, statements in enumerate(self._pending):
            if len(statements) >= wire.MAX_RECORDS:
                self._flush(where)

    def _load(self, records: Sequence[bytes]) -> None:
        new = [record for record in dict.fromkeys(records) if record not in self._states]
        for record, stored in zip(new, self._view.get_many([b"r" + r for r in new]), strict=True):
            self._states[record] = RecordState() if stored is None else _decode(stored)

    def _refused(self, header: bytes, reasons: bytes) -> None:
        """Count a refusal once per delivery; keep its reasons for whoever asks about the record."""
        key = refusals_key(header[RECORD]) + header[DELIVERY]
        if self._view.get(key) is not None:
            return
        self._view.put(key, header[ACCEPTED_AT] + reasons)
        self._states[header[RECORD]].refusals += 1
        self._books.add(header[OWNER], "deliveries", "refused")

    def _deliver(self, header: bytes, core: bytes) -> None:
        """Add one delivery of a version and state what changes by it."""
        state = self._states[header[RECORD]]
        if not state.versions and header[OP] != _CANCEL:  # nearly every record: the first that is heard of it
            state.versions = [Version(header, core, header[DELIVERY], self._offset, self._last_tick)]
            self._books.add(header[OWNER], "deliveries", "new_version", "current")
            self._speak(state, state.versions[0])
            return
        digest, revision = header[DIGEST], header[REVISION]
        for known in state.versions:
            if known.header[DIGEST] == digest and known.header[REVISION] == revision:
                self._deliver_again(state, known, header)
                return
        self._new_version(state, header, core)

    def _deliver_again(self, state: RecordState, known: Version, header: bytes) -> None:
        """Note a delivery of a version that is known, and its earlier recording if it is one."""
        if _contains(known.deliveries, header[DELIVERY]):
            return
        known.deliveries += header[DELIVERY]
        self._books.add(header[OWNER], "deliveries", "duplicate")
        if Version(header, b"", b"").recorded_at < known.recorded_at:
            before = books.shares(state.versions)
            known.header = recorded(known.header, header[RECORDED_AT])
            self._books.move(header[OWNER], before, books.shares(state.versions))
            self._speak(state, winner(state.versions))

    def _new_version(self, state: RecordState, header: bytes, core: bytes) -> None:
        """Add a version; only contents of the greatest revision are kept, since a lower one never wins again."""
        version = Version(header, core, header[DELIVERY], self._offset, self._last_tick)
        before = books.shares(state.versions)
        rivals = any(v.revision == version.revision for v in state.versions)
        state.versions.append(version)
        greatest = max(v.revision for v in state.versions)
        for old in state.versions:
            if old.revision < greatest:
                old.core = b""
        self._books.add(header[OWNER], "deliveries", "new_version")
        self._books.move(header[OWNER], before, books.shares(state.versions))
        if rivals:
            self._conflict(version)
        self._speak(state, winner(state.versions))

    def _conflict(self, version: Version) -> None:
        """Tell the agency that it sent two contents under one revision (law L1)."""
        header = version.header
        self._books.add(header[OWNER], "conflict")
        if self._last_tick < self._speaks_from:
            return
        verdict = {"answer": "conflict", "record": header[RECORD].hex(), "revision": version.revision,
                   "digest": version.digest.hex(), "delivery": header[DELIVERY].hex()}  # fmt: skip
        agency = self._agencies.get(int.from_bytes(header[OWNER][:2], "big"))
        if agency is not None:  # an agency that the convention names no more has no topic to hear it on
            self._sends.append(Send(f"verdicts:{agency}", 0, json.dumps(verdict, sort_keys=True).encode()))

    def _speak(self, state: RecordState, best: Version) -> None:
        """State the winner, if it is another one than was stated."""
        header = best.header
        name = header[REVISION] + header[RECORDED_AT] + header[DIGEST]
        if name == state.stated:
            return
        block = header[BLOCK] if header[OP] != _CANCEL else NOWHERE
        state.seq += 1
        seq = state.seq.to_bytes(4, "big")
        if state.block not in {NOWHERE, block}:
            self._state(statement(header, Kind.RETRACT, seq, state.block), b"", state.block)
        if block != NOWHERE:
            self._state(statement(header, Kind.ASSERT, seq, block), best.core, block)
        state.block = block
        state.stated = name

    def _state(self, header: bytes, core: bytes, block: bytes) -> None:
        self._pending[partition(block, len(self._pending))].append((header, core))

    def _tick(self, tick: int) -> None:
        """Send a marker behind everything before it to every log partition, the books with one of them."""
        if tick <= self._last_tick:
            return
        self._last_tick = tick
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
        headers = b"".join([header for header, _ in statements])
        cores = [core for _, core in statements]
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
        newest = int.from_bytes(self._newest, "big")
        return [*self._sends, Noted(self._books.step, newest, 0, self._broken)]

    def _quarantine(self, message: Message, error: Broken) -> None:
        """Set a frame aside that cannot be read; only a defect of ours or a foreign writer makes one."""
        self._books.add(books.NOBODY, "broken_frames")
        self._broken[0] = self._broken.get(0, 0) + 1
        note = {"stage": "deduplicate", "source": self._source, "offset": message.offset, "error": error.code}
        self._sends.append(Send("quarantine", 0, json.dumps(note).encode() + b"\n" + message.value))


def _contains(deliveries: bytes, delivery: bytes) -> bool:
    return any(deliveries[i : i + DELIVERY_SIZE] == delivery for i in range(0, len(deliveries), DELIVERY_SIZE))
