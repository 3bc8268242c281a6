"""Under which conditions was traded: one row a change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.column_types import UtcTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conditions",
        sa.Column("since_time", UtcTime(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("conditions", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("since_time"),
    )


def downgrade() -> None:
    op.drop_table("conditions")
