"""How long the exchange remembers: 90 days, and 3 days for orders that ended without a fill."""

from __future__ import annotations

from core.candle import DAY_MS
from core.enums import AlgoStatus, OrderStatus
from simulator.engine.orders import AlgoOrder, Income, PlainOrder, Trade

UNFILLED_KEPT_MS = 3 * DAY_MS
KEPT_MS = 90 * DAY_MS


def is_kept(row: PlainOrder | AlgoOrder | Trade | Income, now_ms: int, limit_ms: int | None = None) -> bool:
    """Whether a row can still be asked for: 90 days, 3 days for orders that ended without a fill.

    `limit_ms` shortens both, never for open orders.
    """
    if isinstance(row, (Trade, Income)):  # every row passes here, and a union would be made anew for each
        return now_ms - row.time_ms <= (KEPT_MS if limit_ms is None else limit_ms)
    if row.is_open:
        return True
    age_ms = now_ms - row.update_time_ms
    if limit_ms is not None and age_ms > limit_ms:
        return False
    if isinstance(row, PlainOrder):
        is_unfilled = row.status is not OrderStatus.FILLED and not row.executed_quantity
    else:
        is_unfilled = row.status is not AlgoStatus.FINISHED
    return age_ms <= (UNFILLED_KEPT_MS if is_unfilled else KEPT_MS)
