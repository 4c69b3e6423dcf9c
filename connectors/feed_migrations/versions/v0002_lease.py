"""The lease: who may write a generation's figures, and until when."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LEAN: dict[str, Any] = {"sqlite_strict": True, "sqlite_with_rowid": False}


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "lease",
        sa.Column("generation", LONG, nullable=False, autoincrement=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("term", LONG, nullable=False),
        sa.Column("expires_at", LONG, nullable=False),
        sa.PrimaryKeyConstraint("generation"),
        **LEAN,
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("lease")
