"""Many rows at once, in the fastest way each database has.

SQLite takes rows one by one through a prepared statement, at 1 to 2 µs each. PostgreSQL costs per statement, so its
rows travel as arrays, one per column, through `unnest`. All statements are made from the table's own definition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table

from connectors.feed_store.tables import CELL_CHANGE, CELL_NOW

Row = tuple[Any, ...]

_IN_ONE_QUERY = 500  # SQLite prepares this statement once; longer lists were not faster
_IN_ONE_ARRAY = 20_000  # keeps a parameter of PostgreSQL within some megabytes


def upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Write rows whose values stand in the order of the table's columns; a row of the same primary key is replaced."""
    if not rows:
        return
    values = [column.name for column in table.columns if not column.primary_key]
    updates = ", ".join(f"{name} = excluded.{name}" for name in values)
    keys = ", ".join(column.name for column in table.primary_key)
    conflict = f" ON CONFLICT ({keys}) DO UPDATE SET {updates}"
    start = f"INSERT INTO {table.name} ({', '.join(column.name for column in table.columns)}) "
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(table.columns))
        connection.exec_driver_sql(f"{start}VALUES ({marks}){conflict}", list(rows))
        return
    statement = f"{start}SELECT * FROM unnest({_arrays(table, len(table.columns))}){conflict}"  # noqa: S608 names are ours
    for part in _parts(rows, _IN_ONE_ARRAY):
        connection.exec_driver_sql(statement, tuple(map(list, zip(*part, strict=True))))


def insert_changes(connection: Connection, rows: Sequence[Row]) -> None:
    """Add changes of cells, each with what `CELL_NOW` says of its cell: so that is brought up to date after this.

    Values stand in the order of the columns of `CELL_CHANGE`, up to the causes. Raises IntegrityError for one twice.
    """
    if not rows:
        return
    told = [column.name for column in CELL_CHANGE.columns if not column.name.endswith("_before")]
    start = f"INSERT INTO cell_change ({', '.join(told)}, facts_before, measures_before, cut_before) "
    before = "coalesce(b.facts, 0), coalesce(b.measures, '[]'), b.cut"
    same = " AND ".join(f"b.{column.name} = n.{column.name}" for column in CELL_NOW.primary_key)
    if connection.dialect.name == "sqlite":
        values_ = ", ".join(f"? AS {name}" for name in told)
        statement = f"{start}SELECT n.*, {before} FROM (SELECT {values_}) AS n LEFT JOIN cell_now AS b ON {same}"  # noqa: S608 names are ours
        connection.exec_driver_sql(statement, list(rows))
        return
    arrays = _arrays(CELL_CHANGE, len(told))
    statement = (
        f"{start}SELECT n.*, {before} FROM unnest({arrays}) AS n({', '.join(told)}) LEFT JOIN cell_now AS b ON {same}"  # noqa: S608 names are ours
    )
    for part in _parts(rows, _IN_ONE_ARRAY):
        connection.exec_driver_sql(statement, tuple(map(list, zip(*part, strict=True))))


def delete(connection: Connection, table: Table, keys: Sequence[Row]) -> None:
    """Remove the rows with these primary keys; nothing happens for one that is not there."""
    if not keys:
        return
    columns = [column.name for column in table.primary_key]
    if connection.dialect.name == "sqlite":
        match = " AND ".join(f"{name} = ?" for name in columns)
        connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE {match}", list(keys))  # noqa: S608 names are ours
        return
    names = ", ".join(columns)
    match = " AND ".join(f"{table.name}.{name} = gone.{name}" for name in columns)
    statement = f"DELETE FROM {table.name} USING unnest({_arrays(table, len(columns))}) AS gone({names}) WHERE {match}"  # noqa: S608 names are ours
    for part in _parts(keys, _IN_ONE_ARRAY):
        connection.exec_driver_sql(statement, tuple(map(list, zip(*part, strict=True))))


def values(connection: Connection, table: Table, generation: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return key -> value of a table (generation, key, value), for the keys that are there."""
    found: dict[bytes, bytes] = {}
    keys = sorted(keys)  # neighbours lie on one page: twice as fast
    if connection.dialect.name == "sqlite":
        for part in _parts(keys, _IN_ONE_QUERY):
            padded = (*part, *([part[-1]] * (_IN_ONE_QUERY - len(part)))) if len(part) > 1 else part
            statement = _select(table.name, ", ".join("?" * len(padded)))
            found.update(connection.exec_driver_sql(statement, (generation, *padded)).all())
        return found
    statement = f"SELECT key, value FROM {table.name} WHERE generation = %s AND key = ANY(%s::bytea[])"  # noqa: S608 names are ours
    for part in _parts(keys, _IN_ONE_ARRAY):
        found.update(connection.exec_driver_sql(statement, (generation, list(part))).all())
    return found


@cache
def _select(table: str, marks: str) -> str:
    return f"SELECT key, value FROM {table} WHERE generation = ? AND key IN ({marks})"  # noqa: S608 names are ours


def _arrays(table: Table, columns: int) -> str:
    """Return the parameters of `unnest` for the table's first columns."""
    kinds = {int: "bigint", str: "text", bytes: "bytea"}
    return ", ".join(f"%s::{kinds[column.type.python_type]}[]" for column in list(table.columns)[:columns])


def _parts(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
