"""The books as they are read: counts per agency and family, and the equations they must satisfy (law L5)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from connectors.feed_store.cells import Cell


@dataclass(frozen=True, slots=True)
class BookRow:
    """The counts of one agency and event family at a cut, by entry, added up over all partitions."""

    agency: int  # permanent number from the convention file; 0: nobody's
    family: int  # permanent number of the event family; 0: unknown
    counts: Mapping[str, int]  # the entries of streams.books.ENTRIES that are not zero

    def __getitem__(self, entry: str) -> int:
        """Return a count; an entry that was never counted is 0."""
        return self.counts.get(entry, 0)


class Equation(NamedTuple):
    """Two counts that must be equal."""

    left: str
    right: str
    difference: int  # left less right; 0: the books balance


_EQUATIONS = (
    (("deliveries",), ("refused", "duplicate", "new_version")),
    (("new_version",), ("current", "superseded", "cancelled")),
    (("current",), ("speaking", "quarantined")),  # counted by deduplicate on the left, by reconcile on the right
)


def books(cells: Iterable[Cell]) -> list[BookRow]:
    """Return the rows of the books from the cells of the table BOOKS, ascending by agency and family."""
    counts: dict[tuple[int, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for cell in cells:
        agency, family, entry, _source = cell.codes
        counts[int(agency), int(family)][entry] += cell.measures[0]
    return [BookRow(agency, family, dict(entries)) for (agency, family), entries in sorted(counts.items())]


def balance(row: BookRow) -> tuple[Equation, ...]:
    """Return the equations of law L5 with their differences."""
    return tuple(
        Equation(" + ".join(left), " + ".join(right), sum(row[e] for e in left) - sum(row[e] for e in right))
        for left, right in _EQUATIONS
    )
