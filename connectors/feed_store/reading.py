"""What the feed store is asked: cuts, cells as of a cut, and how cells changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Column, ColumnElement, CompoundSelect, Connection, Select, Table, func, select, tuple_

from connectors.feed_store.cells import Cell, Change, Cut
from connectors.feed_store.tables import CELL_CHANGE, CELL_NOW, CUT
from schemas.errors import Reason, Refused

_measures = msgspec.json.Decoder(tuple[int, ...])
_causes = msgspec.json.Decoder(dict[str, tuple[int, int]])


class Span(NamedTuple):
    """The periods of a table that are asked for, both ends included; None: open."""

    table: str
    first: str | None = None
    last: str | None = None

    def within(self, rows: Table) -> list[ColumnElement[bool]]:
        """Return the conditions on a table of cells."""
        conditions = [rows.c.table_id == self.table]
        if self.first is not None:
            conditions.append(rows.c.period >= self.first)
        if self.last is not None:
            conditions.append(rows.c.period <= self.last)
        return conditions


def cuts(connection: Connection, generation: int, newest: int) -> list[Cut]:
    """Return the newest complete cuts, newest first."""
    query = select(CUT.c.tick, CUT.c.cells).where(CUT.c.generation == generation).order_by(CUT.c.tick.desc())
    return [Cut(*row) for row in connection.execute(query.limit(newest))]


def cut_after(connection: Connection, generation: int, tick: int) -> int | None:
    """Return the first complete cut after a tick, or None."""
    query = select(func.min(CUT.c.tick)).where(CUT.c.generation == generation, CUT.c.tick > tick)
    return connection.execute(query).scalar()


def cut_at(connection: Connection, generation: int, instant: int | None) -> Cut:
    """Return the newest complete cut that is not after the instant (seconds since 1970); None: the latest.

    Raises Refused with code "cut-unknown" when there is none yet, or when the instant is after the latest complete
    cut: what will be counted by then is not known.
    """
    latest = cuts(connection, generation, 1)
    if not latest:
        raise _unknown_cut("No cut is complete yet.", "Wait until the first records were counted.")
    if instant is None:
        return latest[0]
    if instant > latest[0].tick:
        raise _unknown_cut(
            f"The cut at {iso(instant)} is not complete yet; the latest complete one is {iso(latest[0].tick)}.",
            "Ask for that one, or leave the cut out.",
        )
    query = select(CUT.c.tick, CUT.c.cells).where(CUT.c.generation == generation, CUT.c.tick <= instant)
    row = connection.execute(query.order_by(CUT.c.tick.desc()).limit(1)).one_or_none()
    if row is None:
        first = connection.execute(select(func.min(CUT.c.tick)).where(CUT.c.generation == generation)).scalar_one()
        raise _unknown_cut(f"There was no cut at {iso(instant)}; the first is {iso(first)}.", "Ask for a later one.")
    return Cut(*row)


def cells(connection: Connection, generation: int, span: Span, cut: int | None) -> list[Cell]:
    """Return the cells as of the cut, ascending by period and codes, those that are gone by then among them."""
    now = CELL_NOW
    as_now = select(*_value(now)).where(now.c.generation == generation, *span.within(now))
    query: Select[Any] | CompoundSelect[Any] = as_now
    latest = connection.execute(select(func.max(CUT.c.tick)).where(CUT.c.generation == generation)).scalar()
    if cut is not None and latest is not None and cut < latest:
        query = as_now.where(now.c.cut <= cut).union_all(_changed_since(generation, span, cut))
    return [_cell(row) for row in connection.execute(query.order_by("period", "codes"))]


class Page(NamedTuple):
    """Which changes are asked for: those behind a place in the order of (cut, period, codes), up to a cut."""

    after: tuple[int, str, str]
    until: int
    limit: int


def changes(connection: Connection, generation: int, span: Span, page: Page) -> list[Change]:
    """Return changes of cells, ascending by cut, period and codes, each with the value before it."""
    rows = CELL_CHANGE
    place = (rows.c.cut, rows.c.period, rows.c.codes)
    columns = ("table_id", "period", "codes", "cut", "facts_before", "measures_before", "facts", "measures", "causes")
    query = (
        select(*(rows.c[name] for name in columns))
        .where(rows.c.generation == generation, rows.c.cut <= page.until, *span.within(rows))
        .where(tuple_(*place) > page.after)
        .order_by(*place)
        .limit(page.limit)
    )
    return [_change(row) for row in connection.execute(query)]


def tables(connection: Connection, generation: int) -> list[str]:
    """Return the ids of all tables that ever had a cell, ascending."""
    rows = CELL_NOW.c
    query = select(rows.table_id).where(rows.generation == generation).distinct().order_by(rows.table_id)
    return list(connection.execute(query).scalars())


def count(connection: Connection, generation: int, table: str) -> int:
    """Return how many cells a table has at the latest cut."""
    rows = CELL_NOW.c
    query = select(func.count()).where(rows.generation == generation, rows.table_id == table, rows.facts != 0)
    return connection.execute(query).scalar_one()


def periods(connection: Connection, generation: int, table: str) -> tuple[str, str] | None:
    """Return the first and the last period of a table at the latest cut, or None when it has no cell."""
    rows = CELL_NOW.c
    query = select(func.min(rows.period), func.max(rows.period))
    first, last = connection.execute(query.where(rows.generation == generation, rows.table_id == table)).one()
    return None if first is None else (first, last)


def iso(tick: int) -> str:
    """Return a tick (seconds since 1970-01-01T00:00Z) as ISO 8601 in UTC."""
    return datetime.fromtimestamp(tick, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _value(rows: Table, when: str = "") -> list[Column[Any]]:
    """Return the columns of a cell and its value; `when` "_before": before the change."""
    return [rows.c[name] for name in ("table_id", "period", "codes", f"facts{when}", f"measures{when}", f"cut{when}")]


def _changed_since(generation: int, span: Span, cut: int) -> Select[Any]:
    """Return the query of what the cells were at the cut that have changed since: before the first change after it.

    Its cost grows with the changes since the cut, not with all there were: periods are named, so that each is read from
    the cut on.
    """
    now, rows = CELL_NOW, CELL_CHANGE
    periods_ = select(now.c.period).where(now.c.generation == generation, *span.within(now)).distinct()
    return select(*_value(rows, "_before")).where(
        rows.c.generation == generation,
        rows.c.table_id == span.table,
        rows.c.period.in_(periods_),
        rows.c.cut > cut,
        rows.c.cut_before <= cut,
    )


def _cell(row: Sequence[Any]) -> Cell:
    table, period, codes, facts, measures, cut = row
    return Cell(table, period, tuple(codes.split("|")), facts, _measures.decode(measures), cut)


def _change(row: Sequence[Any]) -> Change:
    table, period, codes, cut, facts_before, measures_before, facts, measures, causes = row
    after = _measures.decode(measures)
    before = _measures.decode(measures_before) if facts_before else (0,) * len(after)
    return Change(
        table, period, tuple(codes.split("|")), cut, facts_before or 0, before, facts, after, _causes.decode(causes)
    )


def _unknown_cut(rule: str, remedy: str) -> Refused:
    return Refused((Reason("cut-unknown", "cut", rule, remedy),))
