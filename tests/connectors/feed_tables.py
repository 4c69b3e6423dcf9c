"""Small tables for the tests of the feed, under the convention of Belarus."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from connectors.feed_store import Cell
from connectors.table_view import Edition, Source, TableView, view
from schemas.codelists import CodeLists
from schemas.conventions import load
from streams.dataflows import DATAFLOWS

CONVENTION = load()
LISTS = CodeLists.load(*CONVENTION.codelist_directories)


def at(text: str) -> int:
    """Return an instant written as in `2018-03-01` or `2018-03-01T10:00` (UTC), in seconds since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def cell(key: str, *measures: int, cut: str = "2018-02-10", facts: int | None = None) -> Cell:
    """Return the cell with this key; without measures it is gone."""
    table, period, *codes = key.split("|")
    flow = DATAFLOWS[table]
    values = measures or (0,) * len(flow.measures)
    return Cell(table, period, tuple(codes), values[0] if facts is None else facts, values, at(cut))


def shown(
    table: str, cells: Iterable[Cell], cut: str = "2019-01-01", *, detail: bool = False, totals: bool = False
) -> TableView:
    """Return the table of these cells as of a cut."""
    source = Source(DATAFLOWS[table], CONVENTION, LISTS)
    return view(source, cells, Edition(at(cut), 1), detail=detail, totals=totals)
