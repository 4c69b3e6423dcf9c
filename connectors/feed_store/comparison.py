"""Comparison: two generations cell by cell at one cut, and all cells of a cut as bytes (law L6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

from connectors.feed_store.store import FeedStore
from streams.books import TABLE as BOOKS

Value = tuple[int, ...]
"""The number of a cell's facts and its measures; of the books, the count alone."""


class Example(NamedTuple):
    """A cell that differs; None: it is not there."""

    cell: str  # TABLE|PERIOD|CODE|...
    left: Value | None
    right: Value | None


class TableComparison(NamedTuple):
    """How the cells of one table compare."""

    table: str
    equal: int
    differing: int
    only_left: int
    only_right: int
    examples: tuple[Example, ...]  # the first of those that are not equal

    @property
    def different(self) -> int:
        """How many cells are not the same in both."""
        return self.differing + self.only_left + self.only_right


class Digest(NamedTuple):
    """All cells of a cut, the books among them, as SHA-256 over their canonical bytes."""

    cells: int
    sha256: str


def compare(left: FeedStore, right: FeedStore, cut: int, examples: int = 5) -> list[TableComparison]:
    """Compare two generations at a cut that both have closed (seconds since 1970), table by table, the books too.

    The books are compared by agency, family and entry: which partition counted what is no figure.
    """
    tables = sorted({*left.tables(), *right.tables()})
    return [_compared(table, _values(left, table, cut), _values(right, table, cut), examples) for table in tables]


def digest(store: FeedStore, cut: int) -> Digest:
    """Return the digest of all cells as of a cut."""
    seal, cells = sha256(), 0
    for line in lines(store, cut):
        seal.update(line)
        cells += 1
    return Digest(cells, seal.hexdigest())


def lines(store: FeedStore, cut: int) -> Iterator[bytes]:
    """Yield all cells as of a cut in canonical form: one a line, ascending by table, period and codes, bytewise.

    `TABLE|PERIOD|CODE|...`, the number of facts, the measures, with spaces between them. When and why a cell changed
    is not in it: two ways of building need not take the same steps.
    """
    for table in store.tables():
        for cell in store.cells(table, cut=cut):
            key = "|".join((cell.table, cell.period, *cell.codes))
            yield f"{key} {cell.facts} {' '.join(map(str, cell.measures))}\n".encode()


def _values(store: FeedStore, table: str, cut: int) -> Mapping[str, Value]:
    if table != BOOKS:
        cells = store.cells(table, cut=cut)
        return {"|".join((table, cell.period, *cell.codes)): (cell.facts, *cell.measures) for cell in cells}
    return {
        f"{BOOKS}||{row.agency}|{row.family}|{entry}": (count,)
        for row in store.books(cut)
        for entry, count in row.counts.items()
        if count
    }


def _compared(table: str, left: Mapping[str, Value], right: Mapping[str, Value], most: int) -> TableComparison:
    both = left.keys() & right.keys()
    different = sorted(cell for cell in left.keys() | right.keys() if left.get(cell) != right.get(cell))
    differing = sum(cell in both for cell in different)
    return TableComparison(
        table=table,
        equal=len(both) - differing,
        differing=differing,
        only_left=len(left) - len(both),
        only_right=len(right) - len(both),
        examples=tuple(Example(cell, left.get(cell), right.get(cell)) for cell in different[:most]),
    )
