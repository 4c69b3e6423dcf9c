"""A component: the reports of one block that hang together by link keys, and the facts that they last stated.

It is stored as a head and one value for each report. Most persons only get one report more: then the head says enough,
and what else they reported is neither read nor written (half of the fold's time went there).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from zlib import crc32

import msgspec

from schemas.core import DECIDED, KEY_SIZE, PERSONAL_NO
from streams.dataflows.definition import Fact
from streams.fold import View
from streams.memory import Memory
from streams.reconcile.happenings import Report, natural_key, read_report

SILENT = bytes(8)
"""In the place of a component's number: the record speaks in the block no more."""

BROKEN = b"\xff" * 8
"""In the place of a component's number: a table failed on the record; it waits in quarantine for its next version."""

_NOWHERE = Memory()  # stays empty
_DECIDED, _PERSONAL = bytes([DECIDED]), bytes([PERSONAL_NO])
_RECORD_SIZE = 16
_SEQ_SIZE, _PLACE_SIZE = 4, 12  # a place: the number of the statement, then of the component


class Kept(msgspec.Struct):
    """A report as a component keeps it."""

    report: Report
    natural: bytes  # see `natural_key`
    told: bytes = b""  # the facts that it states: msgpack list of [cell, measures]; empty: none

    @property
    def facts(self) -> list[Fact]:
        """The facts that it states."""
        if not self.told:
            return []
        return [Fact(cell, self.report.record, measures) for cell, measures in _read_told(self.told)]

    def tell(self, facts: Sequence[Fact]) -> bool:
        """Set the facts that it states; return whether they changed."""
        before = self.told
        self.told = _encode([(fact.cell, fact.measures) for fact in facts]) if facts else b""
        return self.told != before


class _Head(msgspec.Struct, array_like=True):
    """What is known of a component before its reports are read."""

    records: bytes = b""  # one after another
    naturals: list[int] = []  # a checksum of each report's natural key: an equal one may be of the same happening
    linked: list[bytes] = []  # the link keys of its reports, each set of them once

    def add(self, kept: Kept) -> None:
        linked = kept.report.core.keys
        self.records += kept.report.record
        self.naturals.append(crc32(kept.natural))
        if linked not in self.linked:
            self.linked.append(linked)


_encode = msgspec.msgpack.Encoder().encode
_read_stored = msgspec.msgpack.Decoder(tuple[int, int, int, bytes, bytes]).decode
_read_head = msgspec.msgpack.Decoder(_Head).decode
_read_told = msgspec.msgpack.Decoder(list[tuple[str, tuple[int, ...]]]).decode


class Component:
    """Reports of one block that share link keys, directly or through others; read when somebody asks for them."""

    __slots__ = (
        "_head",
        "_reports",
        "_unsaved",
        "_view",
        "block",
        "changed",
        "gone",
        "key",
        "loose",
        "number",
        "whole",
    )

    def __init__(self, key: bytes, view: View = _NOWHERE) -> None:
        """As it was last written under the key (`component_key`); without a view it is a new one, and empty."""
        self.key = key
        self.block = key[1:5]  # the birth date
        self.number = key[5:]
        self.changed: dict[bytes, int] = {}  # natural key -> family of the reports that came or went in this step
        self.gone: list[Fact] = []  # what the reports that went in this step had stated
        self.loose = False  # a report left or changed its keys: it may have to be split
        self.whole = False  # more changed than single reports: all its facts are reckoned anew
        self._view = view
        self._unsaved: dict[bytes, Kept] = {}  # reports that the view does not have, or not as they are now
        stored = view.get(key)
        self._head = _Head() if stored is None else _read_head(stored)  # counts only until the reports are read
        self._reports: dict[bytes, Kept] | None = None

    @property
    def reports(self) -> Mapping[bytes, Kept]:
        """All its reports by their records."""
        return self._read()

    def read(self) -> list[Report]:
        """Return all its reports, as tables read them."""
        return [kept.report for kept in self._read().values()]

    def has(self, linked: bytes) -> bool:
        """Whether one of its reports has just these link keys."""
        return linked in self.linked

    def put(self, kept: Kept) -> None:
        """Take a report in."""
        if self._reports is None and crc32(kept.natural) in self._head.naturals:
            self._read()
        record = kept.report.record
        self._unsaved[record] = kept
        if self._reports is None:
            self._head.add(kept)
        else:
            self._reports[record] = kept

    def pop(self, record: bytes) -> Kept:
        """Take a report out and return it."""
        kept = self._read().pop(record)
        self._unsaved.pop(record, None)
        return kept

    @property
    def came(self) -> Collection[Kept] | None:
        """The reports that came in this step, each with a natural key of its own; None if more than that happened."""
        return self._unsaved.values() if self._reports is None and not self.whole else None

    def near(self) -> Collection[Kept]:
        """Return the reports that share a natural key with one that came or went in this step."""
        if self._reports is None:
            return self._unsaved.values()
        return [kept for kept in self._reports.values() if kept.natural in self.changed]

    @property
    def linked(self) -> Collection[bytes]:
        """The link keys of its reports, each set of them once."""
        return self._head.linked if self._reports is None else {k.report.core.keys for k in self._reports.values()}

    def several(self) -> bool:
        """Whether it may be more than one person: its reports name several personal numbers, or an operator decided."""
        numbers = set()
        for linked in self.linked:  # ascending: personal numbers come first
            if linked[:1] == _PERSONAL:
                numbers.add(linked[:KEY_SIZE])
                if linked[KEY_SIZE : KEY_SIZE + 1] == _PERSONAL:
                    return True
            elif linked[:1] == _DECIDED:
                return True
        return len(numbers) > 1

    @property
    def stated(self) -> list[Fact]:
        """The facts that its reports state."""
        return [fact for kept in self._read().values() for fact in kept.facts]

    def state(self, facts: Iterable[Fact], tellers: Iterable[Kept]) -> None:
        """Set the facts of some of its reports: each is told by the report that it names."""
        by_teller: dict[bytes, list[Fact]] = {}
        for fact in facts:
            by_teller.setdefault(fact.record, []).append(fact)
        for kept in tellers:
            if kept.tell(by_teller.get(kept.report.record, ())):
                self._unsaved[kept.report.record] = kept

    def save(self, view: View) -> None:
        """Write back what changed, or forget the component when it is empty."""
        if self._reports is not None:
            if not self._reports:
                view.delete(self.key)
                return
            self._head = _Head()
            for kept in self._reports.values():
                self._head.add(kept)
        view.put(self.key, _encode(self._head))
        for record, kept in self._unsaved.items():
            report = kept.report
            stored = _encode((report.agency, report.family, report.recorded_at, report.raw, kept.told))
            view.put(report_key(self.block, record), place(report.seq, self.number) + stored)

    def _read(self) -> dict[bytes, Kept]:
        if self._reports is None:
            records, own = self._head.records, self._unsaved
            named = [records[i : i + _RECORD_SIZE] for i in range(0, len(records), _RECORD_SIZE)]
            stored = self._view.get_many([report_key(self.block, record) for record in named if record not in own])
            values = iter(stored)
            self._reports = {record: own.get(record) or _kept(record, next(values) or b"") for record in named}
        return self._reports


def _kept(record: bytes, stored: bytes) -> Kept:
    agency, family, recorded_at, raw, told = _read_stored(memoryview(stored)[_PLACE_SIZE:])
    seq = int.from_bytes(stored[:_SEQ_SIZE], "big")
    report = read_report(record, (agency, family, seq, recorded_at), raw)
    return Kept(report, natural_key(report), told)


def report_key(block: bytes, record: bytes) -> bytes:
    """Return the key of a report's place: block and record, for a record may leave one block and enter another."""
    return b"r" + block + record


def component_key(block: bytes, number: bytes) -> bytes:
    """Return the key of a component's head; `block` and the number are four and eight bytes."""
    return b"c" + block + number


def place(seq: int, number: bytes) -> bytes:
    """Return the place of a record that speaks nowhere: what else a report's value begins with."""
    return seq.to_bytes(_SEQ_SIZE, "big") + number


def read_place(view: View, block: bytes, record: bytes) -> tuple[int, bytes]:
    """Return the statement number last heard of a record in a block and its component, or `SILENT`, or `BROKEN`."""
    stored = view.get(report_key(block, record))
    if stored is None:
        return 0, SILENT
    return int.from_bytes(stored[:_SEQ_SIZE], "big"), stored[_SEQ_SIZE:_PLACE_SIZE]
