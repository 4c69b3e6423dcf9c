"""Plan: what admission does with events of one family, worked out once so that an event costs no reflection."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

from pydantic import BaseModel

from connectors.avro_writer import Writer, writer
from connectors.cross_rules import Test, compiled
from connectors.places import EPOCH, Parts, Place, Values
from schemas.codelists import CodeLists
from schemas.contracts import AGENCY, PSEUDONYM, RECORD, Family, Field, model, stored, without_nested_null
from schemas.errors import Listed, Misconfigured
from schemas.header import record_id

HEADER = 1
"""Position of this part in every family."""

_NOT_CONTENT = frozenset({"header.recorded_at", "header.revision"})
"""What may differ between two deliveries of equal content (law L1)."""


class Part(NamedTuple):
    """One record inside an event."""

    prefix: str  # its path; empty: the event as a whole
    parent: int  # position of the record that holds it
    name: str  # its field there
    content: tuple[tuple[str, object], ...]  # (field, default) of what is part of the content


class Check(NamedTuple):
    """A value that must be a code."""

    place: Place
    listed: int  # position in what `Validity.on` returns


class Order(NamedTuple):
    """A value that must not precede another."""

    place: Place
    first: Place


class Validity:
    """Which codes of several lists hold on a day; asked per event, so the days between two changes share one answer."""

    def __init__(self, lists: CodeLists, wanted: Sequence[tuple[str, bool]]) -> None:
        """`wanted`: name of each list, and whether its codes are written as whole numbers."""
        changes = {day for name, _ in wanted for row in lists[name].rows for day in _changes(row)}
        starts = sorted(changes)
        self._starts = [day.toordinal() - EPOCH for day in starts]
        days = [starts[0] - timedelta(days=1) if starts else date(2000, 1, 1), *starts]
        self._sets = [tuple(_codes(lists[name].codes(day), whole) for name, whole in wanted) for day in days]
        self.ever = tuple(_codes(tuple(lists[name]), whole) for name, whole in wanted)
        self._editions = [(name, lists[name].version) for name, _ in wanted]

    def on(self, day: int) -> tuple[frozenset[str | int], ...]:
        """Return the codes that hold on a day (days since 1970-01-01), list by list."""
        return self._sets[bisect_right(self._starts, day)]

    def edition(self, position: int, day: int | None) -> tuple[Listed, tuple[str, ...]]:
        """Return which list stands at a position, asked for a day, and its codes of that day; None: of whatever day."""
        name, version = self._editions[position]
        codes = (self.ever if day is None else self.on(day))[position]
        on = None if day is None else date.fromordinal(day + EPOCH).isoformat()
        return Listed(name, version, on), tuple(map(str, sorted(codes, key=str)))


@dataclass(frozen=True, slots=True)
class Plan:
    """All that admission needs to know about one family."""

    family: Family
    model: type[BaseModel]
    parts: tuple[Part, ...]
    moments: tuple[Place, ...]  # instants; milliseconds after `settle`
    dates: tuple[Place, ...]
    checks: tuple[Check, ...]
    orders: tuple[Order, ...]
    tests: tuple[Test, ...]  # the contract's rules across fields
    core: tuple[tuple[int, Callable[[Values], Any]], ...]  # part, and what reads the value in the form of the core
    person: int | None  # position of this part; None: the family is not about persons
    births: int | None  # position of the part that holds birth_date and birth_year
    subject: tuple[int | None, ...]  # positions in `core`; None: the agency
    needed: tuple[int, ...]  # positions of the parts without which only a CANCEL is whole
    body: Writer  # writes the event without what is personal
    validity: Validity

    def split(self, whole: Values) -> list[Values | None]:
        """Return the event's records in the order of `parts`; an absent or ill-typed one is None."""
        found: list[Values | None] = [whole]
        for part in self.parts[1:]:
            owner = found[part.parent]
            value = None if owner is None else owner.get(part.name)
            found.append(value if type(value) is dict else None)
        return found

    def codes(self, parts: Parts) -> tuple[Any, ...]:
        """Return the core fields of an event whose shape is right, in the form that the core has."""
        return tuple([None if (values := parts[part]) is None else read(values) for part, read in self.core])


def make(family: Family, lists: CodeLists, pseudonym: Callable[[str, str], bytes]) -> Plan:
    """Return the plan of a family; `pseudonym` gets a field's name and value.

    Raises Misconfigured for a contract that contradicts itself or names a code list that is not there.
    """
    parts: list[Part] = []
    _add_parts(parts, family.avsc)
    index = {part.prefix: i for i, part in enumerate(parts)}
    if index.get("header") != HEADER or "event" not in index:
        raise Misconfigured("contract-parts", f"{family.name} must begin with a header, and have an event.")
    places = [Place(index[f.path.rpartition(".")[0]], f.name, f) for f in family.fields]
    at = {place.field.path: place for place in places}
    coded = [place for place in places if place.field.codelist]
    wanted = [(str(place.field.codelist), place.field.type in {"int", "long"}) for place in coded]
    return Plan(
        family=family,
        model=model(family.name),
        parts=tuple(parts),
        moments=tuple(place for place in places if place.field.type == "timestamp-millis"),
        dates=tuple(place for place in places if place.field.type == "date"),
        checks=tuple(Check(place, i) for i, place in enumerate(coded)),
        orders=tuple(_order(place, at) for place in places if place.field.not_before),
        tests=tuple(compiled(rule, at) for rule in family.rules),
        core=tuple((place.part, _core_reader(place.field, pseudonym)) for place in places if place.field.core),
        person=index.get("person"),
        births=None if family.births is None else index[family.births],
        subject=tuple(None if name == AGENCY else family.core_index[name] for name in family.subject),
        needed=tuple(index[prefix] for prefix in ("person", "event") if prefix in index),
        body=writer(stored(family.avsc)),
        validity=Validity(lists, wanted),
    )


def _add_parts(parts: list[Part], record: Mapping[str, Any], prefix: str = "", parent: int = 0) -> None:
    """Append the record and those in it, each behind the one that holds it."""
    fields = [(without_nested_null(f["type"])[0], f, f"{prefix}.{f['name']}".lstrip(".")) for f in record["fields"]]
    content = [(f["name"], f.get("default"), path) for kind, f, path in fields if not _is_record(kind)]
    position = len(parts)
    parts.append(
        Part(
            prefix=prefix,
            parent=parent,
            name=prefix.rpartition(".")[2],
            content=tuple((name, default) for name, default, path in content if path not in _NOT_CONTENT),
        )
    )
    for kind, _, path in fields:
        if _is_record(kind):
            _add_parts(parts, kind, path, position)


def _is_record(kind: Any) -> bool:
    return isinstance(kind, dict) and kind["type"] == "record"


def _order(place: Place, at: Mapping[str, Place]) -> Order:
    first = at.get(str(place.field.not_before))
    if first is None or first.field.type != place.field.type:
        raise Misconfigured("contract-order", f"{place.field.path}: not_before names no field of the same type.")
    return Order(place, first)


def _core_reader(field: Field, pseudonym: Callable[[str, str], bytes]) -> Callable[[Values], Any]:
    """Return what reads a field from its record in the form that it has in the core."""
    name = field.name
    if field.personal == RECORD:
        return _record_reader(name)
    if field.personal == PSEUDONYM:
        return _reader(name, partial(pseudonym, name))
    if field.type == "date":
        return _reader(name, _days)
    return _reader(name, int) if field.type == "boolean" else itemgetter(name)


def _reader(name: str, form: Callable[[Any], object]) -> Callable[[Values], object]:
    return lambda values: None if (value := values[name]) is None else form(value)


def _record_reader(name: str) -> Callable[[Values], bytes]:
    prefix = name.removesuffix("record_no")
    return lambda values: record_id(values[f"{prefix}agency"], values[f"{prefix}family"], values[name])


def _days(day: date) -> int:
    return day.toordinal() - EPOCH


def _changes(row: Mapping[str, str]) -> Iterator[date]:
    """Yield the days from which the row changes what holds."""
    if row["valid_from"]:
        yield date.fromisoformat(row["valid_from"])
    if row["valid_to"] and row["valid_to"] < date.max.isoformat():
        yield date.fromisoformat(row["valid_to"]) + timedelta(days=1)


def _codes(codes: Sequence[str], whole: bool) -> frozenset[str | int]:
    return frozenset(int(code) for code in codes) if whole else frozenset(codes)
