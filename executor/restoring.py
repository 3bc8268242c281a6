"""From stored rows back to trades: what was under way when the process ended is in doubt until the venue answers."""

from __future__ import annotations

from core.enums import Leg, OrderType
from core.ids import ClientOrderId
from core.orders import OrderRequest
from core.records import ExitReason, FillRecord, IntentRecord, PositionRecord, TradeState
from core.restore import RestoredState
from core.signal import ExitPlan
from executor.lifecycle import TradeEvent
from executor.tracked import Phase, TrackedOrder, restore_order, track_request
from executor.trade import Trade

_STILL_OPEN = (TradeState.PARTIALLY_FILLED, TradeState.FILLED, TradeState.PROTECTED, TradeState.CLOSING)


def restore_trades(restored: RestoredState, quote_asset: str, now_ms: int) -> list[Trade]:
    """Return the unfinished trades of an earlier process, oldest first."""
    positions = {row.intent_id: row for row in restored.positions}
    trades = []
    for intent in sorted(restored.intents, key=lambda row: row.intent_id):
        trade = _restore_trade(intent, positions.get(intent.intent_id), quote_asset)
        for record in restored.orders:
            order = restore_order(record, now_ms) if record.intent_id == intent.intent_id else None
            if order is not None:
                trade.orders[order.client_order_id] = order
        for fill in sorted(restored.fills, key=lambda row: (row.event_time_ms, row.trade_id)):
            if fill.intent_id == intent.intent_id:
                _restore_fill(trade, fill, now_ms)
        _restore_state(trade, now_ms)
        trades.append(trade)
    return trades


def _restore_trade(intent: IntentRecord, position: PositionRecord | None, quote_asset: str) -> Trade:
    trade = Trade(
        intent_id=intent.intent_id,
        epoch=intent.epoch,
        signal_id=intent.signal_id,
        symbol=intent.symbol,
        strategy=intent.strategy,
        direction=intent.direction,
        position_side=intent.position_side,
        quantity=intent.quantity,
        reference_price=intent.reference_price,
        # Planned prices were rounded around the reference price; the row does not tell fractions.
        plan=ExitPlan(stop_price=intent.stop_price, target_price=intent.target_price),
        stop_price=intent.stop_price,
        target_price=intent.target_price,
        risk_usd=intent.risk_usd,
        client_order_id=intent.client_order_id,
        created_time_ms=intent.created_time_ms,
        quote_asset=quote_asset,
        max_holding_ms=intent.max_holding_ms,
        state=intent.state,
        evidence=intent.evidence,
    )
    if position is not None:
        if position.state is TradeState.CLOSED:
            # Only its sweep was not finished.
            trade.state, trade.closed_time_ms = TradeState.CLOSED, position.closed_time_ms
        trade.exit_reason = position.exit_reason
        trade.funding = position.funding
        trade.flagged = position.flagged
        trade.entry_counted = True
    return trade


def _restore_fill(trade: Trade, fill: FillRecord, now_ms: int) -> None:
    """Add a stored fill; which order made it stands in its row. It is not new, so it is not written again."""
    order = trade.orders.get(fill.client_order_id)
    cost = fill.price * fill.quantity
    is_entry = fill.leg is Leg.ENTRY if fill.leg is not None else fill.side is trade.direction.entry_side
    if order is not None:
        order.booked += fill.quantity
        order.booked_cost += cost
    elif is_entry:
        trade.added += fill.quantity
        trade.added_cost += cost
    else:
        trade.exited_elsewhere += fill.quantity
    if not is_entry:
        trade.exit_booked += fill.quantity
        trade.exit_cost += cost
        trade.exit_reason = trade.exit_reason or _reason(fill)
    trade.realized_pnl += fill.realized_pnl
    if fill.fee_asset == trade.quote_asset:
        trade.fees += fill.fee
    trade.fills.append(fill)
    trade.last_fill_time_ms = max(trade.last_fill_time_ms, fill.event_time_ms)
    trade.opened_time_ms = min(trade.opened_time_ms or fill.event_time_ms, fill.event_time_ms)
    trade.first_fill_ms = trade.first_fill_ms or now_ms


def _reason(fill: FillRecord) -> ExitReason:
    return {Leg.STOP: ExitReason.STOP, Leg.TARGET: ExitReason.TARGET}.get(fill.leg or Leg.ENTRY, ExitReason.RECONCILED)


def _presumed_entry(trade: Trade, now_ms: int) -> TrackedOrder:
    """Return the entry order that an intent without an order row may have sent."""
    identity = ClientOrderId.parse(trade.client_order_id)
    if identity is None:
        raise ValueError(f"client order id {trade.client_order_id!r} is not ours")
    request = OrderRequest(
        symbol=trade.symbol,
        side=trade.direction.entry_side,
        position_side=trade.position_side,
        type=OrderType.MARKET,
        quantity=trade.quantity,
        client_order_id=trade.client_order_id,
        leg=Leg.ENTRY,
    )
    return track_request(request, identity, trade.strategy, trade.created_time_ms, now_ms)


def _restore_state(trade: Trade, now_ms: int) -> None:
    """An intent that was never seen to reach the venue is in doubt; open ones go on where they were."""
    trade.recount()
    if trade.is_over:
        return
    if trade.entry is None and trade.state not in _STILL_OPEN:
        trade.orders[trade.client_order_id] = _presumed_entry(trade, now_ms)
    entry = trade.entry
    if entry is not None and trade.state not in _STILL_OPEN and not entry.has_ended:
        entry.phase = Phase.IN_DOUBT
    if trade.state in (TradeState.INTENT, TradeState.SUBMITTED):
        trade.advance(TradeEvent.OUTCOME_UNKNOWN, "the process ended before the answer")
    if trade.state is TradeState.ACCEPTED and entry is not None:
        trade.state = TradeState.IN_DOUBT
    closes = [order for order in trade.legs(Leg.CLOSE) if not order.has_ended]
    if closes:
        trade.exit_requested = ExitReason.RECONCILED
