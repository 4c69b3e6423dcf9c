"""What must come out: the cells of F06 and the books, known from the published table and from what is sent.

Nothing here uses the folds: cells come from the published file, books from the answers that the schedule intends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ops.demo.bts import Cell, Published
from ops.demo.faults import Delivery, Outcome
from schemas.errors import Broken
from streams.dataflows.f06 import F06

Account = tuple[str, str]
"""Agency and event family."""

ENTRIES = ("deliveries", "refused", "duplicate", "new_version", "current", "superseded", "cancelled", "speaking")
ZERO_ENTRIES = ("conflict", "quarantined", "broken_frames")
"""Counts that must not appear: the demo sends no two contents under one revision, and breaks nothing of ours."""

_EQUATIONS = {
    "deliveries": ("refused", "duplicate", "new_version"),
    "new_version": ("current", "superseded", "cancelled"),
    "current": ("speaking", "quarantined"),
}
"""Law L5; the last one compares what deduplicate counts with what reconcile counts."""


class StoredCell(Protocol):
    """What the comparison reads of a cell of the feed store."""

    @property
    def table(self) -> str:
        """The table's id."""

    @property
    def period(self) -> str:
        """The month."""

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes in the order of the table's dimensions."""

    @property
    def measures(self) -> tuple[int, ...]:
        """The cell's values."""


class Difference(NamedTuple):
    """One cell in which our table and the published one are not equal."""

    cell: Cell
    published: int
    ours: int


@dataclass(slots=True)
class Expected:
    """What the tables and the books must show after everything was sent."""

    cells: dict[Cell, int]
    books: dict[Account, Counter[str]] = field(default_factory=dict)
    sent: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # agency, family, door -> deliveries
    faults: dict[str, int] = field(default_factory=dict)
    persons: int = 0
    crossings: int = 0

    @classmethod
    def of(cls, published: Published) -> Expected:
        """Return the expectation before anything was sent: the published cells."""
        return cls(dict(published.persons))

    @property
    def deliveries(self) -> int:
        """Number of all deliveries."""
        return sum(self.sent.values())

    def add_outcome(self, outcome: Outcome, family: str) -> None:
        """Write how a crossing's records end into the books."""
        self.crossings += 1
        for agency, versions, cancelled in outcome.records:
            book = self._book(agency, family)
            book["cancelled" if cancelled else "current"] += 1
            book["speaking"] += not cancelled
            book["superseded"] += versions - 1

    def add_delivery(self, delivery: Delivery) -> None:
        """Write a delivery and its intended answer into the books."""
        book = self._book(delivery.agency, delivery.family)
        book["deliveries"] += 1
        book[delivery.answer] += 1
        self.sent[delivery.agency, delivery.family, delivery.door] += 1

    def _book(self, agency: str, family: str) -> Counter[str]:
        book = self.books.get((agency, family))
        if book is None:
            book = self.books[agency, family] = Counter()
        return book

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values; `from_json` is its inverse."""
        return {
            "cells": [[*cell, count] for cell, count in sorted(self.cells.items())],
            "books": [[*account, {e: book[e] for e in ENTRIES}] for account, book in sorted(self.books.items())],
            "sent": [[*key, count] for key, count in sorted(self.sent.items())],
            "faults": self.faults,
            "persons": self.persons,
            "crossings": self.crossings,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Expected:
        """Return the expectation that `to_json` wrote."""
        return cls(
            cells={Cell(*cell): count for *cell, count in stored["cells"]},
            books={(agency, family): Counter(book) for agency, family, book in stored["books"]},
            sent=Counter({(agency, family, door): count for agency, family, door, count in stored["sent"]}),
            faults=stored["faults"],
            persons=stored["persons"],
            crossings=stored["crossings"],
        )


def at_the_published_level(cells: Iterable[StoredCell]) -> dict[Cell, int]:
    """Sum F06's stored cells over citizenship, area and purpose, which the published table does not have."""
    sums: dict[Cell, int] = {}
    for stored in cells:
        if stored.table != F06.id or len(stored.codes) != len(F06.dimensions):
            raise Broken("demo-cell", "A stored cell is not one of F06 with its dimensions.")
        code = dict(zip((dimension.id for dimension in F06.dimensions), stored.codes, strict=True))
        cell = Cell(code["DIRECTION"], code["SECTION"], code["MODE"], code["CHECKPOINT"], stored.period)
        sums[cell] = sums.get(cell, 0) + stored.measures[0]
    return sums


def differences(ours: Mapping[Cell, int], published: Mapping[Cell, int]) -> list[Difference]:
    """Return every cell that differs; a cell that only one side has counts as 0 on the other."""
    return [
        Difference(cell, published.get(cell, 0), ours.get(cell, 0))
        for cell in sorted({*ours, *published})
        if published.get(cell, 0) != ours.get(cell, 0)
    ]


def compare(store_cells: Iterable[StoredCell], expected: Expected) -> list[str]:
    """Return a sentence for every cell in which the store and the expectation differ; none: they are equal."""
    found = differences(at_the_published_level(store_cells), expected.cells)
    return [f"{'|'.join(d.cell)}: published {d.published}, ours {d.ours}" for d in found]


def compare_books(books: Mapping[Account, Mapping[str, int]], expected: Expected) -> list[str]:
    """Return a sentence for every count that is not as expected, and for every equation of law L5 that fails."""
    found: list[str] = []
    for account in sorted({*books, *expected.books}):
        ours, theirs = books.get(account, {}), expected.books.get(account, Counter())
        name = " ".join(account)
        for entry in ENTRIES + ZERO_ENTRIES:
            if ours.get(entry, 0) != theirs.get(entry, 0):
                found.append(f"{name}: {entry} {ours.get(entry, 0)}, expected {theirs.get(entry, 0)}")
        found.extend(f"{name}: {equation}" for equation in unbalanced(ours))
    return found


def unbalanced(book: Mapping[str, int]) -> list[str]:
    """Return the equations of law L5 that do not hold in one agency's book of one family."""
    return [
        f"{whole} {book.get(whole, 0)} is not {' + '.join(parts)} = {sum(book.get(part, 0) for part in parts)}"
        for whole, parts in _EQUATIONS.items()
        if book.get(whole, 0) != sum(book.get(part, 0) for part in parts)
    ]
