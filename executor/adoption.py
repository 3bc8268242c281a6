"""Orders and positions that carry our ids but are not in the book: a lost row, or a lost database."""

from __future__ import annotations

from decimal import Decimal

from core.enums import Direction, Leg, LiquiditySide, OrderService, OrderType, Severity
from core.ids import ClientOrderId
from core.orders import AlgoOrderReport, FillReport, OrderReport, PositionReport
from core.records import TradeState
from core.signal import ExitPlan
from executor.desk import Desk
from executor.doubt import apply_report
from executor.standing import correction_id
from executor.tracked import TrackedOrder
from executor.trade import Trade

ZERO = Decimal(0)
STRATEGY = "adopted"


def track_listed(desk: Desk, trade: Trade, report: OrderReport | AlgoOrderReport, identity: ClientOrderId) -> None:
    """Take an order of a known trade back into the book; its row was lost."""
    order = _order_of(trade, report, identity, desk.now_ms)
    desk.book.add_order(trade, order)
    apply_report(desk, trade, order, report)
    trade.flag("order found at the venue")
    desk.touch(trade, durable=True)


def adopt_position(
    desk: Desk, stop: AlgoOrderReport, positions: tuple[PositionReport, ...], read_ms: int
) -> Trade | None:
    """Make a trade of a position that no trade explains but that a stop of ours protects.

    So an open position survives the loss of the database. Its entry is a flagged correction at the venue's average
    price. Returns None where there is nothing to adopt.
    """
    row = next((p for p in positions if (p.symbol, p.position_side) == (stop.symbol, stop.position_side)), None)
    identity = ClientOrderId.parse(stop.client_order_id)
    if row is None or row.quantity == 0 or identity is None or desk.expected((row.symbol, row.position_side)) != 0:
        return None
    direction = Direction.LONG if row.quantity > 0 else Direction.SHORT
    if stop.side is not direction.exit_side:
        return None
    trade = _adopted_trade(desk, row, stop, direction)
    desk.next_intent += 1
    desk.book.add(trade)
    order = _order_of(trade, stop, identity, read_ms)
    desk.book.add_order(trade, order)
    apply_report(desk, trade, order, stop)
    fill = _adopted_fill(trade, row, desk.venue_ms)
    desk.book.mark_seen(fill.symbol, fill.trade_id)
    trade.book(fill, None, desk.now_ms, correction=True)
    trade.flag("adopted from the venue")
    desk.corrections += 1
    desk.touch(trade, durable=True)
    desk.alert(
        f"adopted:{stop.client_order_id}",
        Severity.WARNING,
        f"{row.symbol}: position adopted",
        f"{row.quantity} at {row.entry_price} is protected by our stop but was not in the database; it is managed on.",
        symbol=row.symbol,
    )
    return trade


def _adopted_trade(desk: Desk, row: PositionReport, stop: AlgoOrderReport, direction: Direction) -> Trade:
    quantity = abs(row.quantity)
    return Trade(
        intent_id=desk.next_intent,
        epoch=desk.epoch,
        signal_id=None,
        symbol=row.symbol,
        strategy=STRATEGY,
        direction=direction,
        position_side=row.position_side,
        quantity=quantity,
        reference_price=row.entry_price,
        plan=ExitPlan(stop_price=stop.trigger_price),
        stop_price=stop.trigger_price,
        target_price=None,
        risk_usd=abs(row.entry_price - stop.trigger_price) * quantity,
        client_order_id=str(ClientOrderId(desk.epoch, desk.next_intent, Leg.ENTRY, 0)),
        created_time_ms=desk.venue_ms,
        quote_asset=desk.config.quote_asset,
        max_holding_ms=desk.limits_of(row.symbol).max_holding_ms,
        state=TradeState.FILLED,
        entry_counted=True,
        evidence="adopted from the venue",
    )


def _adopted_fill(trade: Trade, row: PositionReport, time_ms: int) -> FillReport:
    return FillReport(
        symbol=row.symbol,
        trade_id=correction_id(trade),
        venue_order_id=0,
        client_order_id="",
        side=trade.direction.entry_side,
        position_side=row.position_side,
        price=row.entry_price,
        quantity=abs(row.quantity),
        fee=ZERO,
        fee_asset=trade.quote_asset,
        realized_pnl=ZERO,
        liquidity_side=LiquiditySide.TAKER,
        event_time_ms=time_ms,
    )


def _order_of(
    trade: Trade, report: OrderReport | AlgoOrderReport, identity: ClientOrderId, sent_ms: int
) -> TrackedOrder:
    is_algo = isinstance(report, AlgoOrderReport)
    return TrackedOrder(
        client_order_id=report.client_order_id,
        symbol=report.symbol,
        strategy=trade.strategy,
        intent_id=trade.intent_id,
        leg=identity.leg,
        attempt=identity.attempt,
        service=OrderService.ALGO if is_algo else OrderService.PLAIN,
        side=report.side,
        position_side=report.position_side,
        type=report.type if report.type is not OrderType.UNKNOWN else OrderType.MARKET,
        quantity=report.quantity or None,
        price=None if isinstance(report, AlgoOrderReport) else report.price,
        stop_price=report.trigger_price if isinstance(report, AlgoOrderReport) else None,
        reduce_only=report.reduce_only,
        close_position=report.close_position,
        created_time_ms=report.update_time_ms,
        sent_ms=sent_ms,
    )
