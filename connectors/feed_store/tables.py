"""The tables of the feed store, as SQLAlchemy Core knows them; `connectors.feed_migrations` creates them.

Every row belongs to a generation (law L6), so that a new way of counting is built beside the running one. A cell's key
`TABLE|PERIOD|CODE|...` lies in three columns, so that a table's periods are one range of the primary key.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.types import TypeEngine

METADATA = MetaData()

# Keys are compared bytewise, whatever the database's locale says.
_KEY = Text().with_variant(Text(collation="C"), "postgresql")
_LONG = BigInteger().with_variant(Integer(), "sqlite")  # STRICT tables know no BIGINT; SQLite's INTEGER has 64 bits
_LEAN: dict[str, Any] = {"sqlite_strict": True, "sqlite_with_rowid": False}


def _key(name: str, kind: TypeEngine[Any]) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False, nullable=False)


def _cell_columns() -> list[Column[Any]]:
    return [
        Column("facts", _LONG, nullable=False),
        Column("measures", Text, nullable=False),  # JSON list of integers
        Column("causes", Text, nullable=False),  # JSON: cause -> [facts stated, facts withdrawn]
    ]


GENERATION = Table(
    "generation",
    METADATA,
    _key("number", _LONG),
    Column("state", Text, nullable=False),  # see manifest.State
    Column("manifest", Text, nullable=False),  # JSON of manifest.Manifest
    Column("created_at", _LONG, nullable=False),  # ms since 1970-01-01T00:00Z
    **_LEAN,
)
"""The ways of counting whose figures lie here."""

_ONE = text("state = 'current'")
Index("one_current", GENERATION.c.state, unique=True, sqlite_where=_ONE, postgresql_where=_ONE)

ACT = Table(
    "act",
    METADATA,
    _key("number", _LONG),
    Column("at", _LONG, nullable=False),  # ms since 1970-01-01T00:00Z
    Column("what", Text, nullable=False),
    Column("generation", _LONG, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
    **_LEAN,
)
"""What was done with generations, and why."""

IDENTITY = Table(
    "identity",
    METADATA,
    _key("generation", _LONG),
    Column("cluster_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    **_LEAN,
)
"""To which Kafka cluster and topic the rows of a generation belong."""

POSITION = Table(
    "position",
    METADATA,
    _key("generation", _LONG),
    _key("source_partition", _LONG),
    Column("next_offset", _LONG, nullable=False),
    **_LEAN,
)
"""The next offset to fold, per partition of the partials topic (law L2)."""

LEASE = Table(
    "lease",
    METADATA,
    _key("generation", _LONG),
    Column("holder", Text, nullable=False),  # one worker among all hosts
    Column("term", _LONG, nullable=False),  # how often it was taken
    Column("expires_at", _LONG, nullable=False),  # ms since 1970-01-01T00:00Z by the database's clock
    **_LEAN,
)
"""Who may write a generation's figures."""

KV = Table(
    "kv",
    METADATA,
    _key("generation", _LONG),
    _key("key", LargeBinary()),
    Column("value", LargeBinary, nullable=False),
    **_LEAN,
)
"""The state of the aggregate fold."""

CUT = Table(
    "cut",
    METADATA,
    _key("generation", _LONG),
    _key("tick", _LONG),  # seconds since 1970-01-01T00:00Z
    Column("cells", _LONG, nullable=False),  # how many cells changed
    **_LEAN,
)
"""The complete cuts (law L4)."""

CELL_NOW = Table(
    "cell_now",
    METADATA,
    _key("generation", _LONG),
    _key("table_id", _KEY),
    _key("period", _KEY),
    _key("codes", _KEY),  # in the order of the table's dimensions, joined by |
    *_cell_columns(),
    Column("cut", _LONG, nullable=False),  # the cut of the cell's last change
    **_LEAN,
)
"""Every cell at the latest cut; facts 0: it is gone, yet a sum that it was part of changed with it."""

CELL_CHANGE = Table(
    "cell_change",
    METADATA,
    _key("generation", _LONG),
    _key("table_id", _KEY),
    _key("period", _KEY),
    _key("cut", _LONG),
    _key("codes", _KEY),
    *_cell_columns(),
    Column("facts_before", _LONG, nullable=False),
    Column("measures_before", Text, nullable=False),
    Column("cut_before", _LONG),  # the cut of the change before this one; NULL: there was none
    **_LEAN,
)
"""Every value that a cell ever had; facts 0: from this cut on the cell is gone.

A cut's rows lie together by period, so that writing them costs the same after any number of cuts: ordered by cell, each
row touched a page of its own, and cuts of 7,000 cells cost 1.4 times as much in the second hundred as in the first.
What was before stands in the row, so that no other needs to be looked up.
"""
