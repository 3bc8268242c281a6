"""When funding is paid and at which rate: one row a symbol and time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.column_types import Money, UtcTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "funding",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("funding_time", UtcTime(), nullable=False),
        sa.Column("rate", Money(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "funding_time"),
    )
    op.create_index("ix_funding_funding_time", "funding", ["funding_time"])


def downgrade() -> None:
    op.drop_index("ix_funding_funding_time", table_name="funding")
    op.drop_table("funding")
