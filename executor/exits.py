"""Leaving a position at market: ask, send, and repeat until the venue says that nothing is left.

A close only ever reduces, so while the position is certainly still open a second one may follow one in doubt.
"""

from __future__ import annotations

from core.commands import CancelOrder, FetchPositions, RefusalKind, Refused, SubmitOrder
from core.enums import Leg, Priority, Severity
from core.orders import Approved
from core.records import ExitReason, TradeState
from executor.desk import Desk
from executor.filters import band_close, market_close
from executor.lifecycle import TradeEvent
from executor.tracked import Phase, TrackedOrder, track_request
from executor.trade import Trade

REDUCE_ONLY_BLOCKED = -4118
"""The venue's code for a reducing order that finds the position taken up by other resting reducing orders."""

PRICE_OUT_OF_BAND = -4131
"""The venue's code for a market order whose price would leave the band around the mark."""


def request_close(desk: Desk, trade: Trade, reason: ExitReason) -> None:
    """Decide to leave `trade` at market now. The first reason stands."""
    if trade.exit_requested is None:
        trade.exit_requested = reason
        if trade.state is not TradeState.CLOSING:
            trade.advance(TradeEvent.EXIT_STARTED, f"close requested: {reason.value}")
        desk.touch(trade)
    press(desk, trade)


def press(desk: Desk, trade: Trade) -> None:
    """Send the next close order when none is under way and its time has come."""
    newest = trade.newest(Leg.CLOSE)
    if newest is not None and not newest.has_ended and not _may_repeat(desk, trade, newest):
        return
    if desk.now_ms < _due_ms(desk, trade, newest) or _is_flat_at_venue(desk, trade):
        return
    identity = trade.next_id(Leg.CLOSE, desk.epoch)
    approved = _close_order(desk, trade, newest, str(identity))
    if approved is None:
        return
    order = track_request(approved.order, identity, trade.strategy, desk.venue_ms, desk.now_ms)
    desk.book.add_order(trade, order)
    attempts = order.attempt + 1
    pause = min(desk.policy.close_retry_ms * attempts, desk.policy.close_retry_ms_max)
    trade.timers.close_retry_at_ms = desk.now_ms + pause
    desk.touch(trade, durable=True)
    desk.send(trade.symbol, SubmitOrder(approved, Priority.EXIT))
    if attempts == desk.policy.close_tries_alert:
        _alert_stuck(desk, trade, newest)


def _due_ms(desk: Desk, trade: Trade, newest: TrackedOrder | None) -> int:
    """Return when the next close may go (our clock): soon after one that filled in part, with growing pauses else."""
    if newest is not None and newest.has_ended and newest.executed > 0:
        return newest.sent_ms + desk.policy.close_progress_ms
    return trade.timers.close_retry_at_ms


def _close_order(desk: Desk, trade: Trade, newest: TrackedOrder | None, client_id: str) -> Approved | None:
    instrument = desk.instrument_for_exit(trade.symbol)
    if instrument is None:
        return None
    quantity = trade.leaves
    fact = desk.positions.get(trade.symbol, trade.position_side)
    if fact is not None and fact.as_of_ms > trade.last_change_ms and fact.quantity * trade.direction.sign > 0:
        quantity = min(quantity, abs(fact.quantity))
    mark = desk.market.of(trade.symbol).valuation_price
    if newest is not None and newest.refusal_code == PRICE_OUT_OF_BAND and mark is not None:
        return band_close(instrument, trade.direction, trade.position_side, quantity, mark, client_id)
    return market_close(instrument, trade.direction, trade.position_side, quantity, client_id)


def _may_repeat(desk: Desk, trade: Trade, order: TrackedOrder) -> bool:
    """A close in doubt may be followed by another: asked about, not found, and the position is still there since."""
    fact = desk.positions.get(trade.symbol, trade.position_side)
    return (
        order.phase is Phase.IN_DOUBT
        and order.not_found > 0
        and fact is not None
        and fact.as_of_ms > order.sent_ms
        and fact.quantity * trade.direction.sign > 0
    )


def _is_flat_at_venue(desk: Desk, trade: Trade) -> bool:
    """True when the venue says 0 while fills are still missing here: the audit reads them, nothing is sold twice."""
    fact = desk.positions.get(trade.symbol, trade.position_side)
    if fact is None or fact.quantity != 0 or fact.as_of_ms <= trade.last_change_ms:
        return False
    desk.suspect(trade.symbol, trade.position_side)
    return True


def on_close_refused(desk: Desk, trade: Trade, refused: Refused) -> None:
    """Nothing left to reduce is a question to the venue; everything else is tried again after the pause."""
    if refused.code == REDUCE_ONLY_BLOCKED:
        _clear_target(desk, trade)
    if refused.kind is RefusalKind.REDUCE_ONLY:
        desk.ask(trade.symbol, FetchPositions(trade.symbol, Priority.EXIT))
        desk.suspect(trade.symbol, trade.position_side)
    if refused.retry_after_s is not None:
        trade.timers.close_retry_at_ms = desk.now_ms + int(refused.retry_after_s * 1000)


def _clear_target(desk: Desk, trade: Trade) -> None:
    """Cancel a resting target whose quantity leaves no room for the close; the stop stays."""
    for order in trade.legs(Leg.TARGET):
        if not order.has_ended and not order.is_firing and desk.now_ms >= order.cancel_at_ms:
            order.cancel_at_ms = desk.now_ms + desk.policy.cancel_retry_ms
            order.cancel_asked = True
            desk.send(trade.symbol, CancelOrder(trade.symbol, order.client_order_id, order.service, Priority.EXIT))


def _alert_stuck(desk: Desk, trade: Trade, newest: TrackedOrder | None) -> None:
    desk.alert(
        f"close-stuck:{trade.epoch}:{trade.intent_id}",
        Severity.CRITICAL,
        f"{trade.symbol}: closing takes long",
        f"{desk.policy.close_tries_alert} close orders have not emptied the position of {trade.leaves}; "
        f"last answer: {newest.detail if newest is not None else 'none'}. It goes on trying.",
        symbol=trade.symbol,
    )
