"""Changes of cells lie by table, period and cut, each with what was before: see `CELL_CHANGE` in `tables.py`."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LEAN: dict[str, Any] = {"sqlite_strict": True, "sqlite_with_rowid": False}

KINDS: dict[str, sa.types.TypeEngine[Any]] = {
    "generation": LONG,
    "table_id": KEY,
    "period": KEY,
    "cut": LONG,
    "codes": KEY,
    "facts": LONG,
}
OLD = ("generation", "table_id", "period", "codes", "cut")
NEW = ("generation", "table_id", "period", "cut", "codes")
VALUES = ("facts", "measures", "causes")


def create(table: str, keys: tuple[str, ...], *rest: sa.Column[Any]) -> None:
    """Create a table of changes with this primary key."""
    columns = [
        sa.Column(name, KINDS.get(name, sa.Text()), nullable=False, autoincrement=False) for name in (*keys, *VALUES)
    ]
    op.create_table(table, *columns, *rest, sa.PrimaryKeyConstraint(*keys), **LEAN)


def upgrade() -> None:
    """Lay the rows anew; takes as long as the table is large."""
    create(
        "cell_change_new",
        NEW,
        sa.Column("facts_before", LONG, nullable=False),
        sa.Column("measures_before", sa.Text(), nullable=False),
        sa.Column("cut_before", LONG),
    )
    names = ", ".join((*NEW, *VALUES))
    before = "PARTITION BY generation, table_id, period, codes ORDER BY cut"
    op.execute(
        f"INSERT INTO cell_change_new ({names}, facts_before, measures_before, cut_before) "  # noqa: S608 names are ours
        f"SELECT {names}, coalesce(lag(facts) OVER cell, 0), coalesce(lag(measures) OVER cell, '[]'), "
        f"lag(cut) OVER cell FROM cell_change WINDOW cell AS ({before})"
    )
    op.drop_table("cell_change")
    op.rename_table("cell_change_new", "cell_change")


def downgrade() -> None:
    """Lay the rows as they were."""
    create("cell_change_old", OLD)
    names = ", ".join((*OLD, *VALUES))
    op.execute(f"INSERT INTO cell_change_old ({names}) SELECT {names} FROM cell_change")  # noqa: S608 names are ours
    op.drop_table("cell_change")
    op.rename_table("cell_change_old", "cell_change")
