"""Generations: which ways of counting there are, which one readers see, and what was done with them."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LEAN: dict[str, Any] = {"sqlite_strict": True, "sqlite_with_rowid": False}


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "generation",
        sa.Column("number", LONG, nullable=False, autoincrement=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("created_at", LONG, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        **LEAN,
    )
    one = sa.text("state = 'current'")
    op.create_index("one_current", "generation", ["state"], unique=True, sqlite_where=one, postgresql_where=one)
    op.create_table(
        "act",
        sa.Column("number", LONG, nullable=False, autoincrement=False),
        sa.Column("at", LONG, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("generation", LONG, nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        **LEAN,
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("act")
    op.drop_index("one_current", "generation")
    op.drop_table("generation")
