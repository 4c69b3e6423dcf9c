"""Reports of every event family on their whole way in memory: door, all folds, and books that balance."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from connectors.admission import Admission, Entry
from connectors.feed_store.books import balance, books
from connectors.feed_store.cells import of_change
from connectors.inbox import frame
from schemas import conventions
from schemas import frame as wire
from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES, Family
from schemas.errors import Refused
from streams.dataflows.definition import Rules
from streams.questions import standing, versions
from streams.replay import Replay
from streams.topics import partition
from tests.connectors.events import NOW, REPORTER, SECRETS, cancellation, event

PARTITIONS = 2
CONVENTION = conventions.load()
LISTS = CodeLists.load(*CONVENTION.codelist_directories)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)


class Way:
    """The folds in memory behind a door: what agencies send, in order, and what became of it."""

    def __init__(self, door: Admission, family: Family) -> None:
        """Of reports of one family."""
        self._door = door
        self._family = family
        self._replay = Replay(Rules(CONVENTION, LISTS), PARTITIONS, PARTITIONS)
        self._sent = 0

    def send(self, sent: dict[str, Any], agency: str | None = None) -> Entry:
        """Send one event, accepted or refused, in a delivery of its own."""
        self._sent += 1
        who, delivery = agency or REPORTER[self._family.name], self._sent.to_bytes(8, "big")
        try:
            entry = self._door.admit(who, self._family.name, sent, delivery, NOW + self._sent)
        except Refused as refused:
            no = sent["header"]["record_no"]
            entry = self._door.refusal(
                who, self._family.name, refused.reasons, delivery, NOW + self._sent, record_no=no
            )
        self._replay.inbox.append(partition(entry.partition_key, PARTITIONS), frame([entry]))
        return entry

    def cut(self) -> dict[str, int]:
        """Close a cut and return the family's counts, added up over its agencies; the books balance."""
        for number in range(PARTITIONS):
            tick = wire.tick_frame(NOW // 1000 + self._sent + 60)
            self._replay.inbox.append(number, wire.encode(tick))
        assert len(self._replay.run()) == 1
        cells = [of_change(change, NOW // 1000) for change in self._replay.cells.values()]
        rows = books(cell for cell in cells if cell.table == "BOOKS")
        assert all(equation.difference == 0 for row in rows for equation in balance(row))
        assert {row.family for row in rows} == {self._family.id}
        return {name: total for name in COUNTED if (total := sum(row[name] for row in rows))}

    def fate(self, entry: Entry) -> dict[str, Any]:
        """Return where a record is, as its partitions tell."""
        record = entry.header.record
        found = versions(self._replay.deduplicate[partition(entry.partition_key, PARTITIONS)].state, record)
        assert found is not None
        station = self._replay.reconcile[partition(found["block"].to_bytes(4, "big"), PARTITIONS)]
        return standing(station.state, station.fold, found["block"], record)  # type: ignore[arg-type]


COUNTED = ("deliveries", "refused", "duplicate", "new_version", "current", "superseded", "cancelled", "quarantined")


@pytest.fixture(scope="module")
def door() -> Admission:
    return Admission(CONVENTION, LISTS, SECRETS)


def report(family: Family, number: str, revision: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a version of the record of this number."""
    op = "CREATE" if revision == 1 else "CORRECT"
    header = {"header__record_no": number, "header__revision": revision, "header__op": op}
    return event(family.name, **header, **changes)


@each_family
def test_the_books_balance_and_each_delivery_has_its_answer(door: Admission, family: Family) -> None:
    """A report, its re-send, a refused one, its correction; another one, and its cancellation before its original."""
    way = Way(door, family)
    first = way.send(report(family, "A-1"))
    again = way.send(report(family, "A-1", header__recorded_at="2019-01-01T00:00:00Z"))
    assert (again.header.record, again.header.digest) == (first.header.record, first.header.digest)
    way.send(report(family, "A-1", 2, header__source_system=7))
    assert way.cut() == {"deliveries": 3, "refused": 1, "duplicate": 1, "new_version": 1, "current": 1}
    way.send(report(family, "A-1", 2, header__source_system="MENDED"))
    way.send(cancellation("A-2", 2))
    second = way.send(report(family, "A-2"))
    assert way.cut() == {
        "deliveries": 6, "refused": 1, "duplicate": 1, "new_version": 4, "current": 1, "superseded": 2, "cancelled": 1
    }  # fmt: skip
    assert way.fate(first)["standing"] in {"counted", "outside"}
    assert way.fate(second)["standing"] == "silent"
    way.send(cancellation("A-1", 3))
    assert way.cut()["cancelled"] == 2
    assert way.fate(first)["standing"] == "silent"


@each_family
def test_two_reports_of_one_happening_are_one_and_another_is_another(door: Admission, family: Family) -> None:
    way = Way(door, family)
    first, same = way.send(report(family, "A-1")), way.send(report(family, "A-2"))
    other = way.send(report(family, "A-3", **another(family)))
    way.cut()
    fates = [way.fate(entry) for entry in (first, same, other)]
    assert [fate["reports_of_the_happening"] for fate in fates] == [2, 2, 1]
    assert {"represented"} == {fate["standing"] for fate in fates[:2]} - {"counted", "outside"}


def another(family: Family) -> dict[str, Any]:
    """Return what makes a report of the example one of another happening: another key, or another person."""
    if not family.natural_key:
        return {"person__surname": "BABAEV", "person__birth_date": "2018-02-28", "header__occurred_at": FEBRUARY}
    name = next(name for name in family.natural_key if name != "agency")
    if name == "day":
        return {"header__occurred_at": FEBRUARY}
    field = next(field for field in family.fields if field.path == f"event.{name}")
    if field.type in {"int", "long"}:
        return {f"event__{name}": field.example + 1}  # type: ignore[operator]
    if field.codelist:
        held = LISTS[field.codelist].codes(date(2018, 3, 1))
        return {f"event__{name}": next(code for code in held if code != field.example and not code.startswith("X"))}
    return {f"event__{name}": OTHERS.get(name, "B-18")}


FEBRUARY = "2018-02-28T10:15:00+03:00"
OTHERS = {
    "valid_from": "2018-02-27", "valid_to": "2018-09-01", "period": "2017-01", "year": "2017",
    "district": "1402000000", "family": "border.refusal",
}  # fmt: skip


def test_a_report_of_another_agency_on_one_happening_is_represented(door: Admission) -> None:
    way = Way(door, FAMILIES["stay.registered"])
    sent = report(FAMILIES["stay.registered"], "A-1")
    hotel, ministry = way.send(sent, "lodging"), way.send(sent, "mvd")
    way.cut()
    assert (way.fate(hotel)["standing"], way.fate(ministry)["standing"]) == ("represented", "outside")


def test_control_totals_of_two_agencies_are_two(door: Admission) -> None:
    control = FAMILIES["control.total"]
    way = Way(door, control)
    sent = report(control, "A-1", event__family="border.crossing", event__records=0)
    ours, theirs = way.send(sent, "gpk"), way.send(sent, "mvd")
    way.cut()
    assert {way.fate(entry)["reports_of_the_happening"] for entry in (ours, theirs)} == {1}
