"""The end of a trade: flat by our fills and by the venue's word, booked, and nothing of it left at the venue."""

from __future__ import annotations

from core.commands import CancelOrder, FetchPositions, QueryOrder
from core.enums import Leg, OrderService, Priority
from core.records import TradeState
from executor.desk import Desk
from executor.ledger import fills_command
from executor.lifecycle import TradeEvent
from executor.tracked import Phase, TrackedOrder
from executor.trade import Trade


def seek_fills(desk: Desk, trade: Trade) -> None:
    """The venue told of executions that the stream has not delivered: give it a moment, then read them."""
    timers = trade.timers
    if timers.fills_asked_ms is None:
        timers.fills_asked_ms = desk.now_ms
    if desk.now_ms - timers.fills_asked_ms >= desk.policy.fills_retry_ms:
        timers.fills_asked_ms = desk.now_ms
        desk.ask(trade.symbol, fills_command(desk, trade.symbol))


def settle(desk: Desk, trade: Trade) -> None:
    """Close the trade's books once nothing is open by our fills, the entry is over and the venue says flat."""
    entry = trade.entry
    if (entry is not None and not entry.has_ended) or trade.lacks_fills:
        return
    if trade.exited > trade.entered and desk.fills_read_ms.get(trade.symbol, -1) <= trade.last_fill_ms:
        # More left than came in: somebody added to the position and we have not heard of it.
        seek_fills(desk, trade)
        return
    if not _is_flat_confirmed(desk, trade):
        _ask_position(desk, trade)
        return
    if trade.state is not TradeState.CLOSING:
        trade.advance(TradeEvent.EXIT_STARTED)
    trade.advance(TradeEvent.FLAT_CONFIRMED, "fills add up and the venue says flat")
    trade.closed_time_ms = trade.last_fill_time_ms
    desk.trades_closed += 1
    row = desk.days.closed(trade, trade.closed_time_ms)
    if desk.policy.writes_orders:
        desk.write(trade.symbol, row)
    desk.touch(trade, durable=True)
    desk.stat_due = True
    sweep(desk, trade)


def _is_flat_confirmed(desk: Desk, trade: Trade) -> bool:
    """A stream position at or after the last fill's venue time, or a query sent after the last fill, says 0.

    Or what it says is all a stranger's: it points the other way (one-way mode), or he opened it after our last fill.
    Ours is over then, and our stop must not stay to close his.
    """
    key = (trade.symbol, trade.position_side)
    fact = desk.positions.get(*key)
    if fact is None:
        return False
    if fact.quantity * trade.direction.sign > 0:
        is_his = desk.strangers.opened_after(key, fact.quantity, trade.last_fill_time_ms)
        return is_his and fact.as_of_ms > trade.last_change_ms
    if fact.from_stream and fact.event_time_ms >= trade.last_fill_time_ms:
        return True
    return fact.as_of_ms > trade.last_change_ms


def _ask_position(desk: Desk, trade: Trade) -> None:
    timers = trade.timers
    if timers.confirm_at_ms is None:
        timers.confirm_at_ms = desk.now_ms + desk.policy.confirm_after_ms
    if desk.now_ms >= timers.confirm_at_ms:
        timers.confirm_at_ms = desk.now_ms + desk.policy.query_retry_ms
        desk.ask(trade.symbol, FetchPositions(trade.symbol))
        desk.suspect(trade.symbol, trade.position_side)


def sweep(desk: Desk, trade: Trade) -> None:
    """Cancel what a finished trade still has at the venue; retire it when nothing is left that could act."""
    for order in trade.orders.values():
        is_standing = order.phase is Phase.LIVE and order.leg is not Leg.ENTRY and not order.is_firing
        if is_standing and desk.now_ms >= order.cancel_at_ms:
            _cancel(desk, order)
    if trade.is_clear:
        desk.book.retire(trade)


def _cancel(desk: Desk, order: TrackedOrder) -> None:
    """Ask for the cancellation; when asked before, ask first what became of it."""
    order.cancel_at_ms = desk.now_ms + desk.policy.cancel_retry_ms
    if order.cancel_asked:
        desk.ask(order.symbol, QueryOrder(order.symbol, order.client_order_id, order.service))
    if order.service is OrderService.ALGO:
        order.cancel_asked = True
        desk.send(order.symbol, CancelOrder(order.symbol, order.client_order_id, order.service, Priority.EXIT))
