"""Components: the reports of one block that hang together by link keys, kept as one value with what they state.

Which reports belong together is a pure function of the set of reports; retracting a report that joined others
splits them again. The number of a component is local to its partition and never published.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec

from schemas.core import KEY_SIZE, PERSONAL_NO, link_keys
from schemas.errors import Broken
from schemas.header import read_said
from streams.dataflows.definition import Fact
from streams.fold import View
from streams.reconcile.happenings import Report, natural_key, read_report
from streams.reconcile.people import connected

SILENT = 0
"""In the place of a component's number: the record speaks in the block no more."""

BROKEN = (1 << 64) - 1
"""In the place of a component's number: a table failed on the record; it waits in quarantine for its next version."""

_NEXT = b"@n"
_PERSONAL = bytes([PERSONAL_NO])


class Kept(msgspec.Struct, array_like=True, dict=True):
    """A report as a component keeps it: link keys and natural key at hand, the rest unread until it is asked for.

    Most reports of a person are only carried along when a new one comes, so all is bytes.
    """

    record: bytes
    said: bytes  # see `schemas.header.said`
    linked: bytes  # the core's link keys
    natural: bytes  # see `natural_key`
    raw: bytes  # the core
    told: bytes = b""  # the facts that it states: msgpack list of [cell, measures]; empty: none

    @classmethod
    def of(cls, report: Report, said: bytes, raw: bytes) -> Kept:
        """Return a report that was just read from these bytes."""
        kept = cls(report.record, said, report.core.keys, natural_key(report), raw)
        kept.__dict__["report"] = report  # what `report` would read again
        return kept

    @cached_property
    def report(self) -> Report:
        """The report."""
        return read_report(self.record, self.said, self.raw)

    @property
    def facts(self) -> list[Fact]:
        """The facts that it states."""
        return [Fact(cell, self.record, measures) for cell, measures in _read_told(self.told)] if self.told else []

    def tell(self, facts: Iterable[Fact]) -> None:
        """Set the facts that it states."""
        self.told = _encode([(fact.cell, fact.measures) for fact in facts])

    @property
    def family(self) -> int:
        """The permanent number of the report's family."""
        return read_said(self.said)[1]

    @property
    def seq(self) -> int:
        """The number of the statement that it is."""
        return read_said(self.said)[2]


class Heard(NamedTuple):
    """A statement of the log: what a record says in a block."""

    block: bytes
    record: bytes
    header: bytes  # packed
    said: bytes  # see `schemas.header.said`
    raw: bytes  # the core
    report: Report | Broken | None  # of an ASSERT, or why it cannot be read; None: a RETRACT


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Kept]).decode
_read_told = msgspec.msgpack.Decoder(list[tuple[str, tuple[int, ...]]]).decode


class Component:
    """Reports of one block that share link keys, directly or through others, and the facts they last stated."""

    __slots__ = ("block", "changed", "gone", "loose", "number", "reports", "whole")

    def __init__(self, block: bytes, number: int) -> None:
        """An empty component; `block` is the birth date's four bytes."""
        self.block = block
        self.number = number
        self.reports: dict[bytes, Kept] = {}
        self.changed: dict[bytes, int] = {}  # natural key -> family of the reports that came or went in this step
        self.gone: list[Fact] = []  # what the reports that went in this step had stated
        self.loose = False  # a report left or changed its keys: it may have to be split
        self.whole = False  # more changed than single reports: all its facts are reckoned anew

    def read(self) -> list[Report]:
        """Return all reports."""
        return [kept.report for kept in self.reports.values()]

    @property
    def stated(self) -> list[Fact]:
        """The facts that its reports state."""
        return [fact for kept in self.reports.values() for fact in kept.facts]

    def state(self, facts: Iterable[Fact], tellers: Iterable[Kept]) -> None:
        """Set the facts of some of its reports: each is told by the report that it names."""
        by_teller: dict[bytes, list[Fact]] = {}
        for fact in facts:
            by_teller.setdefault(fact.record, []).append(fact)
        for kept in tellers:
            own = by_teller.get(kept.record)
            if own is not None:
                kept.tell(own)
            elif kept.told:
                kept.told = b""

    def several_numbers(self) -> bool:
        """Whether its reports name more than one personal number, so that it may be more than one person."""
        numbers = set()
        for linked in {kept.linked for kept in self.reports.values()}:  # ascending: personal numbers come first
            if linked[:1] == _PERSONAL:
                numbers.add(linked[:KEY_SIZE])
                if linked[KEY_SIZE : KEY_SIZE + 1] == _PERSONAL:
                    return True
        return len(numbers) > 1


def report_key(block: bytes, record: bytes) -> bytes:
    """Return the key of a report's place: block and record, for a record may leave one block and enter another."""
    return b"r" + block + record


def read_place(view: View, block: bytes, record: bytes) -> tuple[int, int]:
    """Return the statement number last heard of a record in a block and its component, or `SILENT`, or `BROKEN`."""
    stored = view.get(report_key(block, record))
    return (0, SILENT) if stored is None else (int.from_bytes(stored[:4], "big"), int.from_bytes(stored[4:], "big"))


def read_component(view: View, block: bytes, number: int) -> Component:
    """Return a component as it was last written."""
    component = Component(block, number)
    stored = view.get(_component_key(block, number))
    if stored is not None:
        component.reports = {kept.record: kept for kept in _decode(stored)}
    return component


class Components:
    """The components that one step touches."""

    def __init__(self, view: View) -> None:
        """Reads through the view; writes only in `save`, except the keys' owners, which later reports look up."""
        self._view = view
        self.touched: dict[tuple[bytes, int], Component] = {}
        stored = view.get(_NEXT)
        self._next = int.from_bytes(stored, "big") if stored else 1

    def place(self, block: bytes, record: bytes) -> tuple[int, int]:
        """See `read_place`."""
        return read_place(self._view, block, record)

    def settle(self, block: bytes, record: bytes, seq: int, number: int) -> None:
        """Remember the newest statement about a record in a block, and where it speaks (or `SILENT`, `BROKEN`)."""
        self._view.put(report_key(block, record), seq.to_bytes(4, "big") + number.to_bytes(8, "big"))

    def touch(self, block: bytes, number: int) -> Component:
        """Return a component for changing."""
        found = self.touched.get((block, number))
        if found is None:
            found = self.touched[block, number] = read_component(self._view, block, number)
        return found

    def expect(self, statements: Sequence[Heard]) -> None:
        """Read at once what the next statements will ask for; one by one costs more."""
        places = [report_key(heard.block, heard.record) for heard in statements]
        asked = [
            (heard.block, _owner_key(heard.block, heard.report.keys[0]))
            for heard in statements
            if isinstance(heard.report, Report) and heard.report.keys
        ]
        owners = self._view.get_many([*places, *[key for _, key in asked]])[len(places) :]
        self._view.get_many(
            [
                _component_key(block, int.from_bytes(owner, "big"))
                for (block, _), owner in zip(asked, owners, strict=True)
                if owner is not None
            ]
        )

    def add(self, block: bytes, report: Report, said: bytes, raw: bytes) -> Component:
        """Put a report to those it shares a key with, joining components where it connects them."""
        owners, unowned = self._owners(block, report)
        if len(owners) == 1:
            home = self.touch(block, *owners)
        elif owners:
            several = [self.touch(block, number) for number in sorted(owners)]
            home = max(several, key=lambda c: (len(c.reports), -c.number))
            for other in several:
                if other is not home:
                    self._absorb(home, other)
        else:
            home = self._new(block)
        kept = home.reports[report.record] = Kept.of(report, said, raw)
        home.changed[kept.natural] = report.family
        self._own(home, unowned)
        self.settle(block, report.record, report.seq, home.number)
        return home

    def remove(self, component: Component, record: bytes) -> None:
        """Take a report out; its keys stay with those that share them."""
        # with one number less, persons that were kept apart may become one
        component.whole = component.whole or component.several_numbers()
        gone = component.reports.pop(record)
        kept = {key for other in component.reports.values() for key in link_keys(other.linked)}
        for key in link_keys(gone.linked):
            if key not in kept:
                self._view.delete(_owner_key(component.block, key))
        component.changed[gone.natural] = gone.family
        component.gone.extend(gone.facts)
        component.loose = True

    def split(self, component: Component) -> list[Component]:
        """Return the component and, where its reports no longer hang together, the new ones cut from it."""
        if not component.loose or len(component.reports) < 2:
            return [component]
        component.loose = False
        kept = list(component.reports.values())
        groups = connected(kept, [link_keys(each.linked) for each in kept])
        groups.sort(key=len, reverse=True)
        pieces = [component]
        for group in groups[1:]:
            piece = self._new(component.block)
            piece.whole = component.whole = True
            for kept_one in group:
                del component.reports[kept_one.record]
                self._move(piece, kept_one)
            pieces.append(piece)
        return pieces

    def save(self, component: Component) -> None:
        """Write a component back, or forget it when it is empty."""
        key = _component_key(component.block, component.number)
        if not component.reports:
            self._view.delete(key)
            return
        self._view.put(key, _encode(list(component.reports.values())))

    def finish(self) -> None:
        """Forget the step's components and remember the next number."""
        self.touched.clear()
        self._view.put(_NEXT, self._next.to_bytes(8, "big"))

    def _owners(self, block: bytes, report: Report) -> tuple[set[int], Iterable[bytes]]:
        """Return the components that own a key of the report, and its keys that nobody owns."""
        keys = report.keys
        if not keys:
            return set(), ()
        first = self._view.get(_owner_key(block, keys[0]))
        if first is not None and len(keys) > 1:
            # a known person mostly brings the same keys again: then one look-up is enough
            number = int.from_bytes(first, "big")
            same = report.core.keys
            if any(other.linked == same for other in self.touch(block, number).reports.values()):
                return {number}, ()
        rest = self._view.get_many([_owner_key(block, key) for key in keys[1:]])
        owners = dict(zip(keys, (first, *rest), strict=True))
        known = {int.from_bytes(owner, "big") for owner in owners.values() if owner is not None}
        return known, [key for key, owner in owners.items() if owner is None]

    def _own(self, component: Component, keys: Iterable[bytes]) -> None:
        number = component.number.to_bytes(8, "big")
        for key in keys:
            self._view.put(_owner_key(component.block, key), number)

    def _absorb(self, home: Component, other: Component) -> None:
        for kept in other.reports.values():
            self._move(home, kept)
        home.gone.extend(other.gone)
        home.loose = home.loose or other.loose
        home.whole = True
        other.reports.clear()
        other.gone = []
        other.whole = True

    def _move(self, home: Component, kept: Kept) -> None:
        record = kept.record
        home.reports[record] = kept
        self._own(home, link_keys(kept.linked))
        self.settle(home.block, record, kept.seq, home.number)

    def _new(self, block: bytes) -> Component:
        component = Component(block, self._next)
        self._next += 1
        self.touched[block, component.number] = component
        return component


def _component_key(block: bytes, number: int) -> bytes:
    return b"c" + block + number.to_bytes(8, "big")


def _owner_key(block: bytes, key: bytes) -> bytes:
    return b"k" + block + key
