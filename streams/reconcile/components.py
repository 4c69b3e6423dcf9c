"""The components that a step touches: reports join them, leave them, connect two of them, fall apart.

Which reports belong together is a pure function of the set of reports; retracting a report that joined others
splits them again. The number of a component is local to its partition and never published.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from schemas.core import link_keys
from schemas.errors import Broken
from streams.fold import View
from streams.reconcile.component import (
    BROKEN,
    SILENT,
    Component,
    Kept,
    component_key,
    place,
    read_place,
    report_key,
)
from streams.reconcile.happenings import DECISION, Report, decided_key, natural_key, subjects
from streams.reconcile.people import connected

_NEXT = b"@n"
_DECIDED = b"@l"


class Heard(msgspec.Struct, frozen=True, gc=False):
    """A statement of the log: what a record says in a block."""

    header: bytes  # packed
    block: bytes
    record: bytes
    seq: int
    raw: bytes  # the core
    report: Report | Broken | None  # of an ASSERT, or why it cannot be read; None: a RETRACT
    first: bool  # nothing was heard of the record before: that need not be looked up


class Components:
    """The components that one step touches."""

    def __init__(self, view: View) -> None:
        """Reads through the view, and writes into it who owns a key: later reports look that up."""
        self._view = view
        self.touched: dict[bytes, Component] = {}
        self._places: dict[bytes, tuple[int, bytes]] = {}  # of the reports that came or moved, until they are saved
        self._decided = view.get(_DECIDED) is not None  # an operator decided on some record here
        stored = view.get(_NEXT)
        self._next = int.from_bytes(stored, "big") if stored else 1

    def place(self, block: bytes, record: bytes) -> tuple[int, bytes]:
        """See `read_place`."""
        return self._places.get(report_key(block, record)) or read_place(self._view, block, record)

    def settle(self, block: bytes, record: bytes, seq: int, number: bytes) -> None:
        """Remember the newest statement about a record that does not speak: `SILENT` or `BROKEN`."""
        self._view.put(report_key(block, record), place(seq, number))
        self._places.pop(report_key(block, record), None)

    def touch(self, block: bytes, number: bytes) -> Component:
        """Return a component for changing."""
        key = component_key(block, number)
        found = self.touched.get(key)
        if found is None:
            found = self.touched[key] = Component(key, self._view)
        return found

    def expect(self, statements: Sequence[Heard]) -> None:
        """Read at once what the next statements will ask for, where one by one costs more."""
        if not self._view.remote:
            return
        places = [report_key(each.block, each.record) for each in statements if not each.first]
        asked = [
            (each.block, _owner_key(each.block, each.report.keys[0]))
            for each in statements
            if isinstance(each.report, Report) and each.report.keys
        ]
        owners = self._view.get_many([*places, *[key for _, key in asked]])[len(places) :]
        known = [component_key(block, owner) for (block, _), owner in zip(asked, owners, strict=True) if owner]
        self._view.get_many(known)

    def add(self, block: bytes, report: Report) -> Component:
        """Put a report to those it shares a key with, joining components where it connects them."""
        home = self._known(block, report) or self._joined(block, report)
        natural = natural_key(report)
        home.put(Kept(report, natural))
        home.changed[natural] = report.family
        self._places[report_key(block, report.record)] = (report.seq, home.number)
        return home

    def remove(self, component: Component, record: bytes) -> None:
        """Take a report out; its keys stay with those that share them."""
        # with one number or decision less, persons that were kept apart may become one
        component.whole = component.whole or component.several()
        gone = component.pop(record)
        kept = {key for linked in component.linked for key in link_keys(linked)}
        for key in gone.report.keys:
            if key not in kept:
                self._view.delete(_owner_key(component.block, key))
        component.changed[gone.natural] = gone.report.family
        component.gone.extend(gone.facts)
        component.loose = True

    def split(self, component: Component) -> list[Component]:
        """Return the component and, where its reports no longer hang together, the new ones cut from it."""
        if not component.loose or len(component.reports) < 2:
            return [component]
        component.loose = False
        kept = list(component.reports.values())
        groups = connected(kept, [self._ties(each.report) for each in kept])
        groups.sort(key=len, reverse=True)
        pieces = [component]
        for group in groups[1:]:
            piece = self._new(component.block)
            piece.whole = component.whole = True
            for each in group:
                self._move(component, piece, each)
            pieces.append(piece)
        return pieces

    def finish(self) -> None:
        """Forget the step's components and remember the next number."""
        self.touched.clear()
        self._view.put(_NEXT, self._next.to_bytes(8, "big"))

    def _known(self, block: bytes, report: Report) -> Component | None:
        """Return the component of a person who brings the same keys as before, for which one look-up is enough."""
        keys = report.keys
        if not keys or (self._decided and self._view.get(_owner_key(block, decided_key(report.record)))):
            return None
        owner = self._view.get(_owner_key(block, keys[0]))
        home = self.touch(block, owner) if owner else None
        return home if home and home.has(report.core.keys) else None

    def _joined(self, block: bytes, report: Report) -> Component:
        """Return the one component to which the report's keys lead, after joining them if they are several."""
        keys = [_owner_key(block, key) for key in self._ties(report)]
        owners = self._view.get_many(keys)
        numbers = {owner for owner in owners if owner}
        if report.family == DECISION:
            self._decided = True
            self._view.put(_DECIDED, b"")
            numbers.update(self.place(block, record)[1] for record in subjects(report))
            numbers -= {SILENT, BROKEN}
        several = [self.touch(block, number) for number in sorted(numbers)]
        home = max(several, key=lambda c: len(c.reports)) if several else self._new(block)
        for other in several:
            if other is not home:
                self._absorb(home, other)
        self._own(home, [key for key, owner in zip(report.keys, owners, strict=False) if owner is None])
        return home

    def _ties(self, report: Report) -> tuple[bytes, ...]:
        """Return by which keys a report hangs together with others; decisions about it stand under its own record."""
        return (*report.keys, decided_key(report.record)) if self._decided else report.keys

    def _own(self, component: Component, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._view.put(_owner_key(component.block, key), component.number)

    def _absorb(self, home: Component, other: Component) -> None:
        for kept in list(other.reports.values()):
            self._move(other, home, kept)
        home.gone.extend(other.gone)
        home.loose = home.loose or other.loose
        other.gone = []
        home.whole = other.whole = True

    def _move(self, source: Component, home: Component, kept: Kept) -> None:
        report = kept.report
        source.pop(report.record)
        home.put(kept)
        self._own(home, report.keys)
        self._places[report_key(home.block, report.record)] = (report.seq, home.number)

    def _new(self, block: bytes) -> Component:
        component = Component(component_key(block, self._next.to_bytes(8, "big")))
        self._next += 1
        self.touched[component.key] = component
        return component


def _owner_key(block: bytes, key: bytes) -> bytes:
    return b"k" + block + key
