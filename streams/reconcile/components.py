"""Components: the reports of one block that hang together by link keys, kept as one value with what they state.

Which reports belong together is a pure function of the set of reports; retracting a report that joined others
splits them again. The number of a component is local to its partition and never published.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streams.dataflows.definition import Fact
from streams.fold import View
from streams.reconcile.happenings import Report, read_report
from streams.reconcile.people import connected

SILENT = 0
"""In the place of a component's number: the record speaks in the block no more."""

BROKEN = (1 << 64) - 1
"""In the place of a component's number: a table failed on the record; it waits in quarantine for its next version."""

_NEXT = b"@n"
_Stored = tuple[list[tuple[bytes, int, int, int, int, bytes]], list[tuple[str, bytes, tuple[int, ...]]]]
_decode = msgspec.msgpack.Decoder(_Stored).decode
_encode = msgspec.msgpack.Encoder().encode


class Component:
    """Reports of one block that share link keys, directly or through others, and the facts they last stated."""

    __slots__ = ("block", "loose", "number", "reports", "stated")

    def __init__(self, block: bytes, number: int) -> None:
        """An empty component; `block` is the birth date's four bytes."""
        self.block = block
        self.number = number
        self.reports: dict[bytes, tuple[Report, bytes]] = {}  # record -> report and its core as bytes
        self.stated: list[Fact] = []
        self.loose = False  # a report left or changed its keys: it may have to be split


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
        reports, stated = _decode(stored)
        for *spoken, raw in reports:
            component.reports[spoken[0]] = (read_report(spoken, raw), raw)
        component.stated = [Fact(*fact) for fact in stated]
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

    def add(self, block: bytes, report: Report, raw: bytes) -> Component:
        """Put a report to those it shares a key with, joining components where it connects them."""
        owners, unowned = self._owners(block, report)
        if owners:
            several = [self.touch(block, number) for number in sorted(owners)]
            home = max(several, key=lambda c: (len(c.reports), -c.number))
            for other in several:
                if other is not home:
                    self._absorb(home, other)
        else:
            home = self._new(block)
        home.reports[report.record] = (report, raw)
        self._own(home, unowned)
        self.settle(block, report.record, report.seq, home.number)
        return home

    def remove(self, component: Component, record: bytes) -> None:
        """Take a report out; its keys stay with those that share them."""
        report, _ = component.reports.pop(record)
        kept = {key for other, _ in component.reports.values() for key in other.keys}
        for key in report.keys:
            if key not in kept:
                self._view.delete(_owner_key(component.block, key))
        component.loose = True

    def split(self, component: Component) -> list[Component]:
        """Return the component and, where its reports no longer hang together, the new ones cut from it."""
        if not component.loose or len(component.reports) < 2:
            return [component]
        component.loose = False
        kept = list(component.reports.values())
        groups = connected(kept, [report.keys for report, _ in kept])
        groups.sort(key=len, reverse=True)
        pieces = [component]
        for group in groups[1:]:
            piece = self._new(component.block)
            for report, raw in group:
                del component.reports[report.record]
                self._move(piece, report, raw)
            pieces.append(piece)
        return pieces

    def save(self, component: Component) -> None:
        """Write a component back, or forget it when it is empty."""
        key = _component_key(component.block, component.number)
        if not component.reports:
            self._view.delete(key)
            return
        reports = [(*report[:5], raw) for report, raw in component.reports.values()]
        self._view.put(key, _encode((reports, component.stated)))

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
            if any(other.core.keys == same for other, _ in self.touch(block, number).reports.values()):
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
        for report, raw in other.reports.values():
            self._move(home, report, raw)
        home.stated.extend(other.stated)
        home.loose = home.loose or other.loose
        other.reports.clear()
        other.stated = []

    def _move(self, home: Component, report: Report, raw: bytes) -> None:
        home.reports[report.record] = (report, raw)
        self._own(home, report.keys)
        self.settle(home.block, report.record, report.seq, home.number)

    def _new(self, block: bytes) -> Component:
        component = Component(block, self._next)
        self._next += 1
        self.touched[block, component.number] = component
        return component


def _component_key(block: bytes, number: int) -> bytes:
    return b"c" + block + number.to_bytes(8, "big")


def _owner_key(block: bytes, key: bytes) -> bytes:
    return b"k" + block + key
