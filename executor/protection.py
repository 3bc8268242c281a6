"""Protection is a lease: an open position has a live stop at the venue, or is being closed.

Stop and target close the whole position, priced from the actual average entry. The stop counts only while the venue
confirms it. Bounded tries, then a market close, a halt of the symbol and an alert.
"""

from __future__ import annotations

from decimal import Decimal

from core.commands import FetchPositions, RefusalKind, Refused, SubmitOrder
from core.enums import Direction, Leg, Priority, Severity
from core.instrument import Instrument
from core.records import ExitReason, TradeState
from executor.desk import Desk
from executor.exits import request_close
from executor.filters import protective_order, stop_trigger_price, target_trigger_price
from executor.halts import ALL
from executor.lifecycle import TradeEvent
from executor.tracked import Phase, TrackedOrder, track_request
from executor.trade import Trade

CONDITIONAL_NOT_HERE = -4120
"""The venue's code for "conditional orders live elsewhere": protection is impossible for every symbol."""

FRESH_PRICE_MS = 5_000
_STOP, _TARGET, _LONG = Leg.STOP, Leg.TARGET, Direction.LONG


def guard(desk: Desk, trade: Trade) -> None:
    """Keep an open trade protected; leave it when that fails, when a stop does not work, or when its time is over."""
    stop = trade.standing(_STOP)
    if _is_firing(trade):
        _watch_firing(desk, trade)
    elif stop is not None and stop.phase is Phase.LIVE:
        _confirm(desk, trade)
        _watch_price(desk, trade, stop)
    else:
        _cover(desk, trade, stop)
    if trade.exit_requested is None and trade.state is not TradeState.CLOSING:
        _tend_target(desk, trade)
    if trade.exit_requested is None and is_held_too_long(desk, trade):
        request_close(desk, trade, ExitReason.MAX_HOLDING)


def _confirm(desk: Desk, trade: Trade) -> None:
    trade.timers.naked_since_ms = None
    if trade.state in (TradeState.PARTIALLY_FILLED, TradeState.FILLED):
        trade.advance(TradeEvent.STOP_CONFIRMED, "stop confirmed by the venue")
        desk.touch(trade)


# --- placing --------------------------------------------------------------------------------------------------


def _cover(desk: Desk, trade: Trade, pending: TrackedOrder | None) -> None:
    """No live stop: place one, within bounds of time and tries."""
    timers, policy = trade.timers, desk.policy
    if trade.state is TradeState.PROTECTED:
        _note_lost(desk, trade)
    if timers.naked_since_ms is None:
        timers.naked_since_ms = desk.now_ms
    if desk.now_ms - timers.naked_since_ms >= policy.naked_ms_max:
        give_up(desk, trade, f"no stop confirmed within {policy.naked_ms_max} ms")
    elif pending is None and _failures(trade) >= policy.stop_tries:
        give_up(desk, trade, f"{policy.stop_tries} stops were refused")
    elif pending is None and desk.now_ms >= timers.stop_retry_at_ms and _is_priced(desk, trade):
        place_stop(desk, trade)


def _note_lost(desk: Desk, trade: Trade) -> None:
    """The venue ended the stop by itself or a person removed it: say so, and see whether the position still is."""
    lost = trade.newest(Leg.STOP)
    trade.advance(TradeEvent.STOP_LOST, f"stop lost: {lost.status if lost is not None else 'unknown'}")
    trade.timers.naked_since_ms = desk.now_ms
    trade.timers.stop_retry_at_ms = desk.now_ms + desk.policy.lost_leg_grace_ms
    desk.touch(trade)
    desk.ask(trade.symbol, FetchPositions(trade.symbol, Priority.EXIT))
    losses = sum(1 for order in trade.legs(Leg.STOP) if order.phase is Phase.DONE)
    if losses >= desk.policy.stop_losses_max:
        give_up(desk, trade, f"the stop was lost {losses} times")


def _failures(trade: Trade) -> int:
    """Refused or vanished stops since the newest one that lived."""
    orders = sorted(trade.legs(Leg.STOP), key=lambda order: order.attempt, reverse=True)
    count = 0
    for order in orders:
        if order.phase not in (Phase.REFUSED, Phase.ABSENT):
            break
        count += 1
    return count


def _is_priced(desk: Desk, trade: Trade) -> bool:
    """Wait a moment for the rest of the entry, so that one stop fits the final average."""
    entry = trade.entry
    if entry is None or (entry.has_ended and trade.entry_price is not None):
        return True
    since = trade.first_fill_ms if trade.first_fill_ms is not None else trade.timers.naked_since_ms
    return since is not None and desk.now_ms - since >= desk.policy.entry_fill_grace_ms


def place_stop(desk: Desk, trade: Trade) -> None:
    """Send a stop at the planned distance from the average entry; leave at once when the market is beyond it."""
    instrument = desk.instrument_for_exit(trade.symbol)
    if instrument is None:
        give_up(desk, trade, "the instrument is no longer listed")
        return
    price = _stop_price(instrument, trade)
    last = _current_price(desk, trade)
    if last is not None and (last - price) * trade.direction.sign <= 0:
        request_close(desk, trade, ExitReason.STOP)
        return
    _send_leg(desk, trade, _STOP, price)
    trade.timers.stop_retry_at_ms = desk.now_ms + desk.policy.stop_retry_ms


def _stop_price(instrument: Instrument, trade: Trade) -> Decimal:
    entry_price = trade.entry_price or trade.reference_price
    planned = trade.plan.stop_for(entry_price, trade.direction)
    return stop_trigger_price(instrument, planned if planned is not None else trade.stop_price, trade.direction)


def _send_leg(desk: Desk, trade: Trade, leg: Leg, price: Decimal) -> None:
    client_id = trade.next_id(leg, desk.epoch)
    approved = protective_order(trade.symbol, trade.direction, trade.position_side, leg, price, str(client_id))
    order = track_request(approved.order, client_id, trade.strategy, desk.venue_ms, desk.now_ms)
    desk.book.add_order(trade, order)
    desk.out.touch(trade, durable=True)
    desk.send(trade.symbol, SubmitOrder(approved, Priority.EXIT))


def give_up(desk: Desk, trade: Trade, why: str) -> None:
    """The position cannot be protected: close it, rest the symbol, tell people."""
    newest = trade.newest(Leg.STOP)
    code = newest.refusal_code if newest is not None else 0
    detail = f"{why}; last answer: {newest.detail if newest is not None else 'none'}"
    scope = ALL if code == CONDITIONAL_NOT_HERE else trade.symbol
    desk.halt(scope, "stop_failed", detail, desk.policy.stop_failed_rest_ms)
    desk.alert(
        f"stop-failed:{trade.epoch}:{trade.intent_id}",
        Severity.CRITICAL,
        f"{trade.symbol}: no stop, closing at market",
        f"{detail}. The position of {trade.leaves} is being closed and the symbol takes no entries.",
        symbol=trade.symbol,
    )
    request_close(desk, trade, ExitReason.STOP_FAILED)


def on_protection_refused(desk: Desk, trade: Trade, order: TrackedOrder, refused: Refused) -> None:
    """A level that the market has passed already is left at market; other refusals are tried again."""
    if trade.leaves == 0:
        return
    is_stop = order.leg is Leg.STOP
    if refused.kind is RefusalKind.WOULD_TRIGGER:
        request_close(desk, trade, ExitReason.STOP if is_stop else ExitReason.TARGET)
        return
    if refused.kind is RefusalKind.REDUCE_ONLY:
        desk.ask(trade.symbol, FetchPositions(trade.symbol, Priority.EXIT))
    if not is_stop:
        trade.timers.target_retry_at_ms = desk.now_ms + desk.policy.target_retry_ms


# --- target ---------------------------------------------------------------------------------------------------


def _tend_target(desk: Desk, trade: Trade) -> None:
    """Keep one target live beside the stop; after bounded tries go on with the stop alone."""
    if trade.target_abandoned or trade.standing(_STOP) is None or trade.standing(_TARGET) is not None:
        return
    instrument = desk.instrument_for_exit(trade.symbol)
    entry_price = trade.entry_price
    if instrument is None or entry_price is None or desk.now_ms < trade.timers.target_retry_at_ms:
        return
    planned = trade.plan.target_for(entry_price, trade.direction)
    if planned is None:
        return
    if sum(1 for _ in trade.legs(_TARGET)) >= desk.policy.target_tries:
        _abandon_target(desk, trade)
        return
    price = target_trigger_price(instrument, planned, trade.direction)
    last = _current_price(desk, trade)
    if last is not None and (last - price) * trade.direction.sign >= 0:
        request_close(desk, trade, ExitReason.TARGET)
        return
    _send_leg(desk, trade, _TARGET, price)
    trade.timers.target_retry_at_ms = desk.now_ms + desk.policy.target_retry_ms


def _abandon_target(desk: Desk, trade: Trade) -> None:
    trade.target_abandoned = True
    trade.flag("no target")
    newest = trade.newest(Leg.TARGET)
    desk.touch(trade)
    desk.alert(
        f"target-failed:{trade.epoch}:{trade.intent_id}",
        Severity.WARNING,
        f"{trade.symbol}: position goes on without a target",
        f"{desk.policy.target_tries} targets failed; last answer: {newest.detail if newest is not None else 'none'}. "
        "The stop stays.",
        symbol=trade.symbol,
    )


# --- watching -------------------------------------------------------------------------------------------------


def _is_firing(trade: Trade) -> bool:
    for order in trade.orders.values():
        if order.is_firing and (order.leg is Leg.STOP or order.leg is Leg.TARGET):
            return True
    return False


def _watch_firing(desk: Desk, trade: Trade) -> None:
    """A leg has triggered: its fills must follow soon, else close at market (stuck trigger, thin book, remainder)."""
    timers = trade.timers
    if trade.state is not TradeState.CLOSING:
        trade.advance(TradeEvent.EXIT_STARTED, "a protective order has triggered")
        desk.touch(trade)
    if timers.firing_since_ms is None:
        timers.firing_since_ms = desk.now_ms
    if not trade.lacks_fills and any(order.has_plain_ended for order in trade.orders.values()):
        # Its order is over and the position is not: a thin book, the remainder goes at market at once.
        request_close(desk, trade, _fired_reason(trade))
    elif desk.now_ms - timers.firing_since_ms >= desk.policy.firing_ms_max:
        _alert_dead_stop(desk, trade, "it triggered, but the position is still open")
        request_close(desk, trade, _fired_reason(trade))


def _fired_reason(trade: Trade) -> ExitReason:
    return ExitReason.TARGET if any(order.is_firing for order in trade.legs(Leg.TARGET)) else ExitReason.STOP


def _watch_price(desk: Desk, trade: Trade, stop: TrackedOrder) -> None:
    """A price beyond the stop for long, with the position open, means that the stop does not work."""
    timers = trade.timers
    if not is_beyond(desk, trade, stop):
        timers.beyond_since_ms = None
        return
    if timers.beyond_since_ms is None:
        timers.beyond_since_ms = desk.now_ms
    if desk.now_ms - timers.beyond_since_ms >= desk.policy.beyond_ms_max:
        _alert_dead_stop(desk, trade, f"price {_current_price(desk, trade)} is beyond {stop.stop_price}")
        request_close(desk, trade, ExitReason.STOP)


def is_beyond(desk: Desk, trade: Trade, stop: TrackedOrder) -> bool:
    """True while the price that the stop watches has passed it."""
    price, trigger = _current_price(desk, trade), stop.stop_price
    if price is None or trigger is None:
        return False
    return price < trigger if trade.direction is _LONG else price > trigger


def is_held_too_long(desk: Desk, trade: Trade) -> bool:
    """True once the trade's longest holding time is over."""
    limit, opened = trade.max_holding_ms, trade.opened_time_ms
    return limit is not None and opened is not None and desk.venue_ms - opened >= limit


def _current_price(desk: Desk, trade: Trade) -> Decimal | None:
    """Last price (what the stop's working type watches), or the mark where the last price is old."""
    market = desk.market.of(trade.symbol)
    told_ms = market.last_received_ms
    if told_ms is not None and desk.now_ms - told_ms <= FRESH_PRICE_MS:
        return market.last_price
    return market.mark_price


def _alert_dead_stop(desk: Desk, trade: Trade, why: str) -> None:
    desk.alert(
        f"stop-dead:{trade.epoch}:{trade.intent_id}",
        Severity.CRITICAL,
        f"{trade.symbol}: protective order does not work",
        f"{why}. The position of {trade.leaves} is being closed at market.",
        symbol=trade.symbol,
    )
