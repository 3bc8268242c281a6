"""Backtests are kept: one row each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.column_types import Money, UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "backtest_runs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_time", UtcTime(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("is_complete", sa.Boolean(), nullable=False),
        sa.Column("strategies", sa.Text(), nullable=False),
        sa.Column("symbols", sa.Text(), nullable=False),
        sa.Column("start_time", UtcTime(), nullable=False),
        sa.Column("end_time", UtcTime(), nullable=False),
        sa.Column("net_pnl", Money(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("data_source", sa.Text(), nullable=False),
        sa.Column("data_sha256", sa.Text(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_backtest_runs_created_time", "backtest_runs", ["created_time"])


def downgrade() -> None:
    op.drop_index("ix_backtest_runs_created_time", table_name="backtest_runs")
    op.drop_table("backtest_runs")
