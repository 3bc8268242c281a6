"""Corrections of one trade that no real fill has explained yet.

A correction is never rewritten: it is undone by a reversal, a flagged row of the same side and price with quantity and
result negated, whose venue order id names the correction. So every sum over a trade's rows is that of its real fills.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.orders import FillReport
from core.records import FillRecord
from executor.trade import Trade

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Standing:
    """One correction and what of it is not undone; quantity positive, result before fees."""

    row: FillRecord
    quantity: Decimal
    realized_pnl: Decimal


def correction_id(trade: Trade) -> int:
    """Return a trade id for the next flagged row: negative, so that it can never meet a venue id."""
    return -(trade.intent_id * 1_000 + len(trade.fills) + 1)


def standing(trade: Trade) -> list[Standing]:
    """Return what is left of the corrections of `trade`, oldest first.

    The entry of an adopted trade is none: it stands for rows that are lost for good. It is its trade's first fill, and
    no correction is booked before a fill.
    """
    rows = [row for row in trade.fills if row.correction]
    if not rows:
        return []
    adopted = -(trade.intent_id * 1_000 + 1)
    undone: dict[int, tuple[Decimal, Decimal]] = {}
    for row in rows:
        if row.quantity < 0:
            quantity, realized = undone.get(row.venue_order_id, (ZERO, ZERO))
            undone[row.venue_order_id] = (quantity + row.quantity, realized + row.realized_pnl)
    found = []
    for row in rows:
        if row.quantity > 0 and row.trade_id != adopted:
            quantity, realized = undone.get(row.trade_id, (ZERO, ZERO))
            if row.quantity + quantity > 0:
                found.append(Standing(row, row.quantity + quantity, row.realized_pnl + realized))
    return found


def reversal(trade: Trade, left: Standing, quantity: Decimal) -> FillReport:
    """Return the row that undoes `quantity` of what is left; the last one takes the whole rest of the result."""
    row = left.row
    is_whole = quantity == left.quantity
    # The venue's own precision: shares of a result must add up without rounding.
    realized = left.realized_pnl if is_whole else round(left.realized_pnl * quantity / left.quantity, 8)
    return FillReport(
        symbol=row.symbol,
        trade_id=correction_id(trade),
        venue_order_id=row.trade_id,
        client_order_id="",
        side=row.side,
        position_side=row.position_side,
        price=row.price,
        quantity=-quantity,
        fee=ZERO,
        fee_asset=row.fee_asset,
        realized_pnl=-realized,
        liquidity_side=row.liquidity_side,
        event_time_ms=row.event_time_ms,
    )
