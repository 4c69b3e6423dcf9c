"""Table: from the cells of a row to an event, by the titles of the first row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from connectors.avro_file import Bounds
from connectors.places import Values
from connectors.reasons import WHOLE, of_shape, reason
from connectors.rows.cells import Cell, reader_of
from connectors.rows.mapping import TableMapping
from schemas.contracts import Family, without_nested_null
from schemas.errors import Reason, Refused

MAX_COLUMNS = 1000
"""Columns of a table at most; the longest contract has some forty fields."""

MAX_BLANK = 1_000_000
"""Empty rows of the longest file."""

HEADING = "(header)"
"""The field of a reason that concerns the first row."""

Cells = list[Cell | None]


class Column(NamedTuple):
    """What one column says: the record of the event that it belongs to, the name there, and how a cell is read."""

    record: str  # path, such as person.document
    name: str
    read: Callable[[Cell], Any]


def bad_table(rule: str, **values: object) -> Refused:
    """Return the refusal of a file as a whole."""
    return Refused((reason("bad-table", WHOLE, rule, **values),))


def no_workbook() -> Refused:
    """Return the refusal of a file that is no workbook, or no whole one."""
    return bad_table("A table is a whole XLSX workbook.")


class Blank:
    """How many empty rows a file has: each costs time and brings nothing."""

    def __init__(self, bounds: Bounds) -> None:
        """As many are borne as there may be events, but no more than `MAX_BLANK`."""
        self._most = min(bounds.events, MAX_BLANK)
        self._count = 0

    def add(self) -> None:
        """Count one more; raises Refused when it is one too many."""
        self._count += 1
        if self._count > self._most:
            raise bad_table("A file has at most {n} empty rows.", n=self._most)


class Table:
    """How the rows below one header become events."""

    def __init__(self, titles: Cells, family: Family, mapping: TableMapping) -> None:
        """Raises Refused for titles that nobody knows, that stand twice, or without one for what every event needs."""
        self._columns = list(_columns(titles, family, mapping))
        self._constants = [(*path.rpartition(".")[::2], value) for path, value in mapping.constants.items()]
        self._records = _records(family.avsc)
        self._empty = _empty(family, self._columns)
        _complete(family, self._columns, mapping)

    def event(self, cells: Cells, *, padded: bool) -> Values:
        """Return the event of a row in its JSON form; raises Refused with all reasons against its cells.

        `padded`: rows may be shorter than the header, as in workbooks.
        """
        width = len(self._columns)
        if any(cells[width:]) or (len(cells) < width and not padded):
            raise Refused((reason("bad-row", WHOLE, "A row has as many cells as the header."),))
        found: dict[str, Values] = {"header": {}}
        reasons: list[Reason] = []
        for column, cell in zip(self._columns, cells, strict=False):
            if column is None or cell is None or cell == "":
                continue
            try:
                found.setdefault(column.record, {})[column.name] = column.read(cell)
            except Refused as refusal:
                reasons += refusal.reasons
        if reasons:
            raise Refused(tuple(reasons))
        return self._joined(found)

    def _joined(self, found: dict[str, Values]) -> Values:
        """Put records into one another; what has no cell of its own is filled where the record is there at all."""
        for record in sorted(found, key=len, reverse=True):
            while record := record.rpartition(".")[0]:
                found.setdefault(record, {})
        for record, name, value in self._constants:
            if record in found:
                found[record].setdefault(name, value)
        for record, name, value in self._empty:
            if record in found:
                found[record].setdefault(name, value)
        whole: Values = {}
        for record in self._records:
            owner, _, name = record.rpartition(".")
            if record in found:
                (found[owner] if owner else whole)[name] = found[record]
        return whole


def _columns(titles: Cells, family: Family, mapping: TableMapping) -> Iterator[Column | None]:
    """Yield what each column says; None: it is not read."""
    if len(titles) > MAX_COLUMNS:
        raise bad_table("A table has at most {n} columns.", n=MAX_COLUMNS)
    fields = {field.path: field for field in family.fields}
    named = _named(family, mapping)
    taken: set[str] = set()
    for number, title in enumerate(titles, 1):
        path = named.get(_plain(title)) if isinstance(title, str) else None
        if path is None and title in (None, ""):
            yield None
        elif path is None:
            rule = "Column {n}: a title is a field of the contract, or the mapping names it."
            raise Refused((reason("bad-header", HEADING, rule, n=number),))
        elif path in taken:
            raise Refused((reason("bad-header", HEADING, "Column {n}: one column a field.", n=number),))
        elif not path:
            yield None
        else:
            taken.add(path)
            yield Column(*path.rpartition(".")[::2], reader_of(fields[path], mapping))


def _named(family: Family, mapping: TableMapping) -> Mapping[str, str]:
    """Return the field of each title, as `_plain` has it; an empty one: not read."""
    names = Counter(field.name for field in family.fields)
    known = {field.name: field.path for field in family.fields if names[field.name] == 1}
    known |= {field.path: field.path for field in family.fields}
    known |= {_plain(title): path for title, path in mapping.columns.items()}
    return known | {_plain(title): "" for title in mapping.ignored}


def _plain(title: str) -> str:
    return " ".join(title.split()).casefold()


def _complete(family: Family, columns: Iterable[Column | None], mapping: TableMapping) -> None:
    """Refuse a table that has no column for a value that every event must have."""
    there = {f"{each.record}.{each.name}" for each in columns if each is not None} | set(mapping.constants)
    lacking = [path for path in _required(family) if path not in there]
    if lacking:
        raise Refused(tuple(of_shape(family, "missing-field", path) for path in lacking))


def _required(family: Family) -> Iterator[str]:
    """Yield the values of the header that have no default: all events have a header, even cancellations."""
    header = next(field["type"] for field in family.avsc["fields"] if field["name"] == "header")
    return (f"header.{field['name']}" for field in header["fields"] if "default" not in field)


def _empty(family: Family, columns: Iterable[Column | None]) -> list[tuple[str, str, str]]:
    """Return the texts of the table that are there even when they are empty: without default or least length."""
    there = {f"{each.record}.{each.name}" for each in columns if each is not None}
    empty = [each for each in family.fields if each.type == "string" and not (each.nullable or each.min_length)]
    return [(*field.path.rpartition(".")[::2], "") for field in empty if field.path in there and not field.codelist]


def _records(record: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the paths of the records in an event, each behind the one that holds it."""
    found = []
    for field in record["fields"]:
        kind, _ = without_nested_null(field["type"])
        if isinstance(kind, dict) and kind["type"] == "record":
            found.append(f"{prefix}{field['name']}")
            found += _records(kind, f"{prefix}{field['name']}.")
    return found
