"""The first tables: cells, cuts, the fold's state and its position.

A migration states what was; it does not read `tables.py`, which states what is.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LEAN: dict[str, Any] = {"sqlite_strict": True, "sqlite_with_rowid": False}


def required(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    """Return a column without NULL."""
    return sa.Column(name, kind, nullable=False, autoincrement=False)


def create(table: str, keys: list[sa.Column[Any]], *rest: sa.Column[Any]) -> None:
    """Create a table whose primary key is the generation and the given columns."""
    columns = [required("generation", LONG), *keys]
    op.create_table(table, *columns, *rest, sa.PrimaryKeyConstraint(*[c.name for c in columns]), **LEAN)


def cell() -> list[sa.Column[Any]]:
    """Return the columns of a cell's value."""
    return [required("facts", LONG), required("measures", sa.Text()), required("causes", sa.Text())]


def cell_key() -> list[sa.Column[Any]]:
    """Return the columns of a cell's key."""
    return [required("table_id", KEY), required("period", KEY), required("codes", KEY)]


def upgrade() -> None:
    """Create the tables."""
    create("identity", [], required("cluster_id", sa.Text()), required("topic", sa.Text()))
    create("position", [required("source_partition", LONG)], required("next_offset", LONG))
    create("kv", [required("key", sa.LargeBinary())], required("value", sa.LargeBinary()))
    create("cut", [required("tick", LONG)], required("cells", LONG))
    create("cell_now", cell_key(), *cell(), required("cut", LONG))
    create("cell_change", [*cell_key(), required("cut", LONG)], *cell())


def downgrade() -> None:
    """Drop the tables."""
    for table in ("cell_change", "cell_now", "cut", "kv", "position", "identity"):
        op.drop_table(table)
