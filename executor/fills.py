"""Fills as rows, and what the id of an order tells about who placed it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from core.orders import FillReport
from core.records import ExitReason, FillRecord
from executor.tracked import TrackedOrder

if TYPE_CHECKING:
    from executor.trade import Trade

_SPECIAL_CLIENT_IDS = {
    "autoclose-": ExitReason.LIQUIDATION,
    "adl_autoclose": ExitReason.ADL,
    "settlement_autoclose-": ExitReason.SETTLEMENT,
    "delivery_autoclose-": ExitReason.SETTLEMENT,
}


def venue_exit_reason(client_order_id: str) -> ExitReason | None:
    """Return why the venue itself closed a position, read from the id of its order; None for ordinary orders."""
    found = (reason for prefix, reason in _SPECIAL_CLIENT_IDS.items() if client_order_id.startswith(prefix))
    return next(found, None)


def fill_record(
    fill: FillReport,
    now_ms: int,
    trade: Trade | None = None,
    order: TrackedOrder | None = None,
    *,
    correction: bool = False,
) -> FillRecord:
    """Return the row of a fill: of a trade of ours or of none, made by an order of ours or by somebody else."""
    return FillRecord(
        fill.symbol,
        fill.trade_id,
        fill.venue_order_id,
        order.client_order_id if order is not None else fill.client_order_id,
        trade.intent_id if trade is not None else None,
        order.leg if order is not None else None,
        trade.strategy if trade is not None else "",
        fill.side,
        fill.position_side,
        fill.price,
        fill.quantity,
        fill.fee,
        fill.fee_asset,
        fill.realized_pnl,
        fill.liquidity_side,
        fill.event_time_ms,
        now_ms,
        correction,
    )


def fill_report(row: FillRecord) -> FillReport:
    """Return the fill that a row tells of."""
    return FillReport(*(getattr(row, field.name) for field in fields(FillReport)))
