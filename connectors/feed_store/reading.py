"""What the feed store is asked: cuts, cells as of a cut, and how cells changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, FromClause, Select, Table, and_, func, select, tuple_

from connectors.feed_store.cells import Cell, Change, Cut
from connectors.feed_store.tables import CELL_CHANGE, CELL_NOW, CUT
from schemas.errors import Reason, Refused

_CELL = ("generation", "table_id", "period", "codes")
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
    latest = connection.execute(select(func.max(CUT.c.tick)).where(CUT.c.generation == generation)).scalar()
    if cut is None or latest is None or cut >= latest:
        rows = CELL_NOW
        query = select(rows.c.table_id, rows.c.period, rows.c.codes, rows.c.facts, rows.c.measures, rows.c.cut)
        query = query.where(rows.c.generation == generation, *span.within(rows))
    else:
        query = _as_of(generation, span, cut)
    return [_cell(row) for row in connection.execute(query.order_by("period", "codes"))]


class Page(NamedTuple):
    """Which changes are asked for: those behind a place in the order of (cut, period, codes), up to a cut."""

    after: tuple[int, str, str]
    until: int
    limit: int


def changes(connection: Connection, generation: int, span: Span, page: Page) -> list[Change]:
    """Return changes of cells, ascending by cut, period and codes, each with the value before it."""
    now, before, earlier = CELL_CHANGE, CELL_CHANGE.alias(), CELL_CHANGE.alias()
    place = (now.c.cut, now.c.period, now.c.codes)
    asked = (
        select(now)
        .where(now.c.generation == generation, now.c.cut <= page.until, *span.within(now))
        .where(tuple_(*place) > page.after)
        .order_by(*place)
        .limit(page.limit)
        .subquery()
    )
    cut_before = select(func.max(earlier.c.cut)).where(_same_cell(earlier, asked), earlier.c.cut < asked.c.cut)
    query = (
        select(
            *(asked.c[name] for name in ("table_id", "period", "codes", "cut")),
            before.c.facts,
            before.c.measures,
            *(asked.c[name] for name in ("facts", "measures", "causes")),
        )
        .select_from(asked)
        .outerjoin(before, _same_cell(before, asked) & (before.c.cut == cut_before.scalar_subquery()))
    )
    ordered = query.order_by(asked.c.cut, asked.c.period, asked.c.codes)
    return [_change(row) for row in connection.execute(ordered)]


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


def _as_of(generation: int, span: Span, cut: int) -> Select[Any]:
    """Return the query of each cell's newest change up to the cut."""
    rows = CELL_CHANGE
    newest = (
        select(*(rows.c[name] for name in _CELL), func.max(rows.c.cut).label("cut"))
        .where(rows.c.generation == generation, rows.c.cut <= cut, *span.within(rows))
        .group_by(*(rows.c[name] for name in _CELL))
        .subquery()
    )
    columns = (rows.c.table_id, rows.c.period, rows.c.codes, rows.c.facts, rows.c.measures, rows.c.cut)
    return select(*columns).join(newest, _same_cell(rows, newest) & (rows.c.cut == newest.c.cut))


def _same_cell(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    return and_(*(one.c[name] == other.c[name] for name in _CELL))


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
