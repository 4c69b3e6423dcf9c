"""The checker sees: with the folds as they are nothing differs, and each mutant of them is found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ops.chaos.ledger import Ledger, Told
from ops.chaos.reckon import Assumption, Reckoning
from ops.chaos.tables import RULES, TABLES
from ops.chaos.traffic import Delivery
from schemas import frame as wire
from schemas.contracts import FAMILIES
from schemas.frame import Frame
from schemas.header import Header, Kind, Op, record_id, unpack
from tests.unit.ops.chaos_world import Change, World, country, deliveries, line_of, with_parts


def test_nothing_differs_where_nothing_is_changed() -> None:
    result = World().run()
    assert result.differences == []
    assert result.exact
    assert result.accepted > 600
    assert result.records > 500
    assert result.cells > 500


def once(change: Callable[[Frame], list[Frame] | None], after: int = 0) -> Change:
    """Change the first frame that allows it, beyond so many of those; all others stay as they are."""
    left = [after]

    def changed(frame: Frame) -> list[Frame]:
        found = change(frame) if left[0] >= 0 else None
        if found is None:
            return [frame]
        left[0] -= 1
        return found if left[0] < 0 else [frame]

    return changed


def records(frame: Frame) -> list[tuple[Header, bytes]]:
    return [(next(unpack(header)), core) for header, core in wire.entries(frame)]


@cache
def last_words() -> dict[bytes, dict[str, Any]]:
    """Return by record id the version of the greatest revision that is sent."""
    last: dict[bytes, dict[str, Any]] = {}
    for sent in accepted():
        event = line_of(sent)
        known = last.setdefault(record_of(sent), event)
        if event["header"]["revision"] > known["header"]["revision"]:
            known.update(event)
    return last


@cache
def only_reports() -> frozenset[bytes]:
    """Return the ids of the records that are sent once, and of whose birth date nothing else is ever said."""
    births = Counter(born(line_of(sent)) for sent in accepted())
    return frozenset(record_of(sent) for sent in accepted() if births[born(line_of(sent))] == 1)


def accepted() -> list[Delivery]:
    return [sent for sent in deliveries() if sent.wanted == "accepted"]


def record_of(sent: Delivery) -> bytes:
    return record_id(sent.agency, sent.family, line_of(sent)["header"]["record_no"])


def born(event: dict[str, Any]) -> str:
    return str((event["person"] or {}).get("birth_date")).replace("-", "")


def without_a_retract(frame: Frame) -> list[Frame] | None:
    """A record goes on speaking in the block that it has left for good: its last version speaks elsewhere."""
    parts = records(frame)
    for part, _ in parts:
        if part.kind == Kind.RETRACT and part.op != Op.CANCEL and born(last_words()[part.record]) != str(part.block):
            return [with_parts(frame, [other for other in parts if other[0] is not part])]
    return None


def without_a_cancellation(family: str) -> Change:
    """A cancelled record of the family goes on speaking."""

    def dropped(frame: Frame) -> list[Frame] | None:
        parts = records(frame)
        cancelled = FAMILIES[family].id, Kind.RETRACT, Op.CANCEL
        one = next((part for part in parts if (part[0].family, part[0].kind, part[0].op) == cancelled), None)
        return one and [with_parts(frame, [part for part in parts if part is not one])]

    return once(dropped)


def without_a_record(frame: Frame) -> list[Frame] | None:
    """A door said that it has taken a report, and the inbox does not have it."""
    parts = records(frame)
    for part, _ in parts:
        if part.kind == Kind.EVENT and part.record in only_reports():
            return [with_parts(frame, [other for other in parts if other[0] is not part])]
    return None


def with_a_record_twice(frame: Frame) -> list[Frame] | None:
    """A repeat was not known for one: the same report has two deliveries."""
    parts = records(frame)
    if not parts or parts[0][0].kind != Kind.EVENT:
        return None
    again = parts[0][0]._replace(delivery=b"anotherx")
    return [with_parts(frame, [*parts, (again, parts[0][1])])]


def of_cells(table: str, change: Callable[[str, list[Any]], None]) -> Change:
    """Change what is told of a table's cells: the key and [facts, measures, causes]."""

    def changed(frame: Frame) -> list[Frame]:
        cells = msgspec.msgpack.decode(frame.notes) if frame.notes else []
        for key, value in cells:
            if key.startswith(f"{table}|"):
                change(key, value)
        return [frame._replace(notes=msgspec.msgpack.encode(cells) if cells else b"")]

    return changed


def counting_twice(table: str) -> Change:
    """A cell has one fact too many, from the first time on that it is told."""
    chosen: list[str] = []

    def change(key: str, value: list[Any]) -> None:
        chosen.append(key)
        if key == chosen[0]:
            value[0] += 1
            value[1][0] += 1

    return of_cells(table, change)


def never_withdrawn(table: str) -> Change:
    """A fact that is gone from a cell goes on being counted in it."""
    most: dict[str, list[Any]] = {}

    def change(key: str, value: list[Any]) -> None:
        if key in most and value[0] < most[key][0]:
            value[:] = most[key]
        most[key] = [*value]

    return of_cells(table, change)


def acts_as_persons(_: str, value: list[Any]) -> None:
    """Who has several acts in one cell counts as several persons."""
    value[1][1] = value[1][0]


def speaking_twice(frame: Frame) -> list[Frame] | None:
    """A record comes to speak in two blocks of one partition."""
    parts = records(frame)
    stated = next((part for part in parts if part[0].kind == Kind.ASSERT), None)
    if stated is None:
        return None
    elsewhere = stated[0]._replace(block=stated[0].block + 400_000)
    return [with_parts(frame, [*parts, (elsewhere, stated[1])])]


def skipped(frame: Frame) -> list[Frame] | None:
    """An output of the outbox is never sent: what follows it waits for ever."""
    return [] if frame.headers else None


def skipped_cells(frame: Frame) -> list[Frame] | None:
    """Partials that are never sent."""
    return [] if frame.notes else None


def a_tick_used_again() -> Change:
    """From some tick on, the clock writes that one again: what comes after it belongs to no cut."""

    def changed(frame: Frame) -> list[Frame]:
        return [frame._replace(tick=min(frame.tick, 1_008))]

    return changed


def an_offset_gone_back() -> Change:
    """A fold begins anew to count the positions of its source: readers take what is new for repeats."""

    def changed(frame: Frame) -> list[Frame]:
        back = 10 if frame.offset > 20 else 0
        return [frame._replace(offset=frame.offset - back, prev=frame.prev - back)]

    return changed


def mutant_of_deduplicate(mutant: Callable[[str], Change], name: str) -> World:
    return World(deduplicate=mutant(name))


def mutant_of_reconcile(mutant: Callable[[str], Change], name: str) -> World:
    return World(reconcile=mutant(name))


MUTANTS: dict[str, Callable[[], World]] = {
    "a dropped retract": lambda: World(deduplicate=once(without_a_retract)),
    "a re-used tick": lambda: World(inbox=a_tick_used_again()),
    "a regressed offset": lambda: World(deduplicate=an_offset_gone_back()),
    "a skipped outbox entry": lambda: World(deduplicate=once(skipped, after=5)),
    "a skipped outbox entry at the end": lambda: World(reconcile=once(skipped_cells, after=40)),
    "a lost record": lambda: World(inbox=once(without_a_record)),
    "a lost record late": lambda: World(inbox=once(without_a_record, after=10)),
    "a doubled record": lambda: World(inbox=once(with_a_record_twice)),
    "a record in two blocks": lambda: World(deduplicate=once(speaking_twice)),
    "acts counted as persons": lambda: World(reconcile=of_cells("F11", acts_as_persons)),
}

MUTANTS |= {
    f"a lost cancellation of {name}": partial(mutant_of_deduplicate, without_a_cancellation, name) for name in RULES
}
MUTANTS |= {f"a fact of {name} counted twice": partial(mutant_of_reconcile, counting_twice, name) for name in TABLES}
MUTANTS |= {f"a fact of {name} never withdrawn": partial(mutant_of_reconcile, never_withdrawn, name) for name in TABLES}


@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_a_mutant_is_found(mutant: str) -> None:
    result = MUTANTS[mutant]().run()
    assert result.lost + result.double > 0
    assert result.differences != []


@pytest.mark.parametrize(("mutant", "lost"), [("a lost record", True), ("a doubled record", False)])
def test_what_is_lost_is_not_called_double(mutant: str, lost: bool) -> None:
    result = MUTANTS[mutant]().run()
    assert (result.lost > 0, result.double > 0) == (lost, not lost)


def told(record_no: str, answer: str = "accepted", **more: object) -> Told:
    """Return a report of a crossing, by default a true one with nothing special about it."""
    event = line_of(next(d for d in deliveries() if d.wanted == "accepted" and d.family == "border.crossing"))
    event["header"] |= {"record_no": record_no, "revision": 1, "op": "CREATE", **more}
    return Told("gpk", "border.crossing", json.dumps(event).encode(), "accepted", answer, None)


def test_a_delivery_that_may_have_come_twice_counts_once_or_twice() -> None:
    ledger = Ledger()
    ledger.tell([told("A")._replace(most=2)])
    book = Reckoning(ledger, country()).accounts["gpk", "border.crossing"]
    assert (book["deliveries"], book["duplicate"], book["new_version"]) == ((1, 2), (0, 1), (1, 1))


def test_what_was_answered_otherwise_than_it_deserved_is_noted() -> None:
    ledger = Ledger()
    ledger.tell([told("A", "refused"), told("B")])
    assert Reckoning(ledger, country()).misjudged == 1


def test_two_contents_that_nobody_can_tell_apart_are_not_judged() -> None:
    ledger = Ledger()
    ledger.tell([told("A"), told("A", source_system="another")])
    with pytest.raises(Assumption):
        Reckoning(ledger, country())


def test_the_later_recorded_of_two_contents_speaks() -> None:
    ledger = Ledger()
    late = "2030-01-01T00:00:00+00:00"
    ledger.tell([told("A"), told("A", source_system="another", recorded_at=late)])
    fate = next(Reckoning(ledger, country()).fates())
    assert [version.speaks for version in sorted(fate.versions, key=lambda v: v.recorded_at)] == [False, True]


def test_the_ledger_is_kept_in_a_file(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "ledger.db")
    first.tell([told("A")])
    first.find_cells({"F06|2018-01": 1})
    first.find_fates([(("gpk", "border.crossing", "A"), None)])
    first.close()
    again = Ledger(tmp_path / "ledger.db")
    assert [each.line for each in again.told()] == [told("A").line]
    assert again.cells() == {"F06|2018-01": 1}
    assert again.fate(("gpk", "border.crossing", "A")) is None
