"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.column_types import Money, UtcTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account_stats",
        sa.Column("event_time", UtcTime(), autoincrement=False, nullable=False),
        sa.Column("wallet_balance", Money(), nullable=False),
        sa.Column("equity", Money(), nullable=False),
        sa.Column("available", Money(), nullable=False),
        sa.Column("unrealized_pnl", Money(), nullable=False),
        sa.Column("open_positions", sa.Integer(), nullable=False),
        sa.Column("peak_equity", Money(), nullable=False),
        sa.PrimaryKeyConstraint("event_time"),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("dedupe_key", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("created_time", UtcTime(), nullable=False),
        sa.Column("sent_time", UtcTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_time", UtcTime(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_alerts_dedupe_key", "alerts", ["dedupe_key"], unique=True)
    op.create_index("ix_alerts_sent_time_next_attempt_time", "alerts", ["sent_time", "next_attempt_time"])

    op.create_table(
        "candles_1m",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("open_time", UtcTime(), nullable=False),
        sa.Column("open", Money(), nullable=False),
        sa.Column("high", Money(), nullable=False),
        sa.Column("low", Money(), nullable=False),
        sa.Column("close", Money(), nullable=False),
        sa.Column("volume", Money(), nullable=False),
        sa.Column("quote_volume", Money(), nullable=False),
        sa.Column("trade_count", sa.BigInteger(), nullable=False),
        sa.Column("taker_buy_volume", Money(), nullable=False),
        sa.Column("taker_buy_quote_volume", Money(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "open_time"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "commands",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=True),
        sa.Column("strategy", sa.Text(), nullable=True),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("issued_time", UtcTime(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("handled_time", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_commands_state_id", "commands", ["state", "id"])

    op.create_table(
        "decisions",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("candle_open_time", UtcTime(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=False),
        sa.Column("event_time", UtcTime(), nullable=False),
        sa.Column("gate", sa.Text(), nullable=False),
        sa.Column("numbers", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "candle_open_time", "strategy", "interval"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "denials",
        sa.Column("signal_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("event_time", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("signal_id"),
    )
    op.create_index("ix_denials_event_time", "denials", ["event_time"])
    op.create_index("ix_denials_symbol_event_time", "denials", ["symbol", "event_time"])

    op.create_table(
        "fills",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("trade_id", sa.BigInteger(), nullable=False),
        sa.Column("venue_order_id", sa.BigInteger(), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.BigInteger(), nullable=True),
        sa.Column("leg", sa.Text(), nullable=True),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("position_side", sa.Text(), nullable=False),
        sa.Column("price", Money(), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("fee", Money(), nullable=False),
        sa.Column("fee_asset", sa.Text(), nullable=False),
        sa.Column("realized_pnl", Money(), nullable=False),
        sa.Column("liquidity_side", sa.Text(), nullable=False),
        sa.Column("event_time", UtcTime(), nullable=False),
        sa.Column("received_time", UtcTime(), nullable=False),
        sa.Column("correction", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "trade_id"),
    )
    op.create_index("ix_fills_event_time", "fills", ["event_time"])
    op.create_index("ix_fills_intent_id", "fills", ["intent_id"])
    op.create_index("ix_fills_symbol_event_time", "fills", ["symbol", "event_time"])

    op.create_table(
        "halts",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("since_time", UtcTime(), nullable=False),
        sa.Column("until_time", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("scope", "reason"),
    )
    op.create_table(
        "income",
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("income_type", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("amount", Money(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("event_time", UtcTime(), nullable=False),
        sa.Column("intent_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("transaction_id", "income_type"),
    )
    op.create_index("ix_income_event_time", "income", ["event_time"])
    op.create_index("ix_income_intent_id", "income", ["intent_id"])

    op.create_table(
        "intents",
        sa.Column(
            "intent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("signal_id", sa.Text(), nullable=True),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("position_side", sa.Text(), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("reference_price", Money(), nullable=False),
        sa.Column("stop_price", Money(), nullable=False),
        sa.Column("target_price", Money(), nullable=True),
        sa.Column("risk_usd", Money(), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("created_time", UtcTime(), nullable=False),
        sa.Column("updated_time", UtcTime(), nullable=False),
        sa.Column("max_holding_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("intent_id"),
    )
    op.create_index("ix_intents_created_time", "intents", ["created_time"])
    op.create_index("ix_intents_state", "intents", ["state"])

    op.create_table(
        "lease",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_start", sa.Text(), nullable=False),
        sa.Column("acquired_time", UtcTime(), nullable=False),
        sa.Column("expires_time", UtcTime(), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "orders",
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.BigInteger(), nullable=True),
        sa.Column("leg", sa.Text(), nullable=True),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("position_side", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("quantity", Money(), nullable=True),
        sa.Column("price", Money(), nullable=True),
        sa.Column("stop_price", Money(), nullable=True),
        sa.Column("filled_quantity", Money(), nullable=False),
        sa.Column("average_price", Money(), nullable=True),
        sa.Column("reduce_only", sa.Boolean(), nullable=False),
        sa.Column("close_position", sa.Boolean(), nullable=False),
        sa.Column("venue_order_id", sa.BigInteger(), nullable=True),
        sa.Column("algo_id", sa.BigInteger(), nullable=True),
        sa.Column("created_time", UtcTime(), nullable=False),
        sa.Column("updated_time", UtcTime(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("client_order_id"),
    )
    op.create_index("ix_orders_intent_id", "orders", ["intent_id"])
    op.create_index("ix_orders_symbol_updated_time", "orders", ["symbol", "updated_time"])
    op.create_index("ix_orders_updated_time", "orders", ["updated_time"])

    op.create_table(
        "positions",
        sa.Column(
            "intent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("entry_quantity", Money(), nullable=False),
        sa.Column("entry_price", Money(), nullable=True),
        sa.Column("exit_price", Money(), nullable=True),
        sa.Column("stop_price", Money(), nullable=True),
        sa.Column("target_price", Money(), nullable=True),
        sa.Column("stop_client_order_id", sa.Text(), nullable=True),
        sa.Column("target_client_order_id", sa.Text(), nullable=True),
        sa.Column("risk_usd", Money(), nullable=False),
        sa.Column("realized_pnl", Money(), nullable=False),
        sa.Column("fees", Money(), nullable=False),
        sa.Column("funding", Money(), nullable=False),
        sa.Column("exit_reason", sa.Text(), nullable=True),
        sa.Column("opened_time", UtcTime(), nullable=True),
        sa.Column("closed_time", UtcTime(), nullable=True),
        sa.Column("updated_time", UtcTime(), nullable=False),
        sa.Column("flagged", sa.Text(), nullable=False),
        sa.Column("mark_price", Money(), nullable=True),
        sa.Column("unrealized_pnl", Money(), nullable=True),
        sa.Column("marked_time", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("intent_id"),
    )
    op.create_index("ix_positions_closed_time", "positions", ["closed_time"])
    op.create_index("ix_positions_state", "positions", ["state"])
    op.create_index("ix_positions_symbol_opened_time", "positions", ["symbol", "opened_time"])

    op.create_table(
        "signals",
        sa.Column("signal_id", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("candle_open_time", UtcTime(), nullable=False),
        sa.Column("reference_price", Money(), nullable=False),
        sa.Column("stop_fraction", Money(), nullable=True),
        sa.Column("target_fraction", Money(), nullable=True),
        sa.Column("stop_price", Money(), nullable=True),
        sa.Column("target_price", Money(), nullable=True),
        sa.Column("event_time", UtcTime(), nullable=False),
        sa.Column("received_time", UtcTime(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("features", sa.Text(), nullable=False),
        sa.Column("max_holding_ms", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("denial_code", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("signal_id"),
    )
    op.create_index("ix_signals_event_time", "signals", ["event_time"])
    op.create_index("ix_signals_symbol_event_time", "signals", ["symbol", "event_time"])

    op.create_table(
        "strategy_performance",
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("trades", sa.Integer(), nullable=False),
        sa.Column("wins", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("realized_pnl", Money(), nullable=False),
        sa.Column("fees", Money(), nullable=False),
        sa.Column("funding", Money(), nullable=False),
        sa.Column("volume", Money(), nullable=False),
        sa.Column("entered_quantity", Money(), nullable=False),
        sa.Column("updated_time", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("strategy", "symbol", "day"),
    )
    op.create_index("ix_strategy_performance_day", "strategy_performance", ["day"])


def downgrade() -> None:
    op.drop_table("strategy_performance")
    op.drop_table("signals")
    op.drop_table("positions")
    op.drop_table("orders")
    op.drop_table("meta")
    op.drop_table("lease")
    op.drop_table("intents")
    op.drop_table("income")
    op.drop_table("halts")
    op.drop_table("fills")
    op.drop_table("denials")
    op.drop_table("decisions")
    op.drop_table("commands")
    op.drop_table("candles_1m")
    op.drop_table("alerts")
    op.drop_table("account_stats")
