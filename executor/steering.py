"""One look at one trade: what is known decides what is due. Run after every piece of news and on every tick.

Steering is level-triggered: it looks at the state, not at how it came about, so that a restart, a lost event and a late
one all end in the same actions.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.enums import Leg, OrderService, Severity
from core.errors import IllegalTransition
from core.records import TradeState
from executor import doubt, exits, kill, progress, protection, settle
from executor.desk import Desk
from executor.tracked import ENDED, FIRING, Phase, TrackedOrder
from executor.trade import Trade

_LIVE, _ALGO, _STOP, _TARGET, _PROTECTED = Phase.LIVE, OrderService.ALGO, Leg.STOP, Leg.TARGET, TradeState.PROTECTED
"""By names of this module: looking a member up in its enumeration costs as much as a call, and this is every look."""


def steer(desk: Desk, trade: Trade) -> None:
    """Do what is due for `trade` now. A venue surprise that the lifecycle does not know halts its symbol."""
    if desk.put_off is not None:
        desk.put_off[trade.intent_id] = trade
        return
    if is_at_rest(desk, trade):
        return
    try:
        _steer(desk, trade)
    except IllegalTransition as error:
        desk.halt(trade.symbol, "illegal_transition", str(error), desk.policy.stop_failed_rest_ms)
        desk.demand_reconcile("illegal transition")
        desk.alert(
            f"illegal:{trade.intent_id}:{trade.state.value}",
            Severity.CRITICAL,
            f"{trade.symbol}: impossible order event",
            f"Trade {trade.intent_id}: {error}. The symbol takes no entries; everything is read again.",
            symbol=trade.symbol,
        )


def _steer(desk: Desk, trade: Trade) -> None:
    doubt.chase(desk, trade)
    progress.sync_state(desk, trade)
    if trade.is_over:
        settle.sweep(desk, trade)
        return
    kill.unwind(desk, trade)
    if trade.lacks_fills:
        settle.seek_fills(desk, trade)
    elif trade.leaves > 0:
        trade.timers.fills_asked_ms = None
    if trade.leaves > 0:
        if trade.exit_requested is None:
            protection.guard(desk, trade)
        else:
            exits.press(desk, trade)
    elif trade.entered > 0:
        settle.settle(desk, trade)


def steer_all(desk: Desk, trades: Iterable[Trade]) -> None:
    for trade in trades:
        steer(desk, trade)


def steer_put_off(desk: Desk) -> None:
    """Look once at every trade of which the events taken together told something."""
    put_off, desk.put_off = desk.put_off, None
    for trade in (put_off or {}).values():
        if trade.intent_id in desk.book.active:
            steer(desk, trade)


def is_at_rest(desk: Desk, trade: Trade) -> bool:
    """True when a look at `trade` would change nothing: entered, booked, guarded by a live stop, and no time is up."""
    return stop_at_rest(desk, trade) is not None


def stop_at_rest(desk: Desk, trade: Trade) -> TrackedOrder | None:
    """Return the live stop of a trade at rest, None for any other trade.

    That is what most trades are at most looks. It is read from the state itself, so that nothing can be forgotten by a
    change that fails to announce itself; in doubt the answer is None, which only costs the look.
    """
    if trade.state is not _PROTECTED or not trade.entry_counted or desk.unwinding:
        return None
    timers = trade.timers
    if timers.naked_since_ms is not None or timers.beyond_since_ms is not None or timers.fills_asked_ms is not None:
        return None
    if trade.exit_requested is not None or trade.lacks_fills or trade.leaves <= 0:  # what is open has an entry price
        return None
    legs = _resting_legs(trade)
    if legs is None:
        return None
    stop, target = legs
    if target is None and not trade.target_abandoned and not trade.plan.is_without_target:
        return None
    is_due = protection.is_beyond(desk, trade, stop) or protection.is_held_too_long(desk, trade)
    return None if is_due else stop


def _resting_legs(trade: Trade) -> tuple[TrackedOrder, TrackedOrder | None] | None:
    """Return the one live stop and the live target, if any; None when an order of the trade needs attention."""
    stop = target = None
    for order in trade.orders.values():
        if order.venue_status in FIRING:
            return None
        if order.phase is not _LIVE:
            if order.phase in ENDED:
                continue
            return None
        if order.service is not _ALGO:
            return None
        if order.leg is _STOP and stop is None:
            stop = order
        elif order.leg is _TARGET and target is None:
            target = order
        else:
            return None
    return None if stop is None else (stop, target)


def wake(desk: Desk, trade: Trade) -> None:
    """Steer a trade after news; a retired one to which something happens after all comes back to the book."""
    if trade.intent_id not in desk.book.active and (not trade.is_clear or trade.leaves > 0):
        desk.book.revive(trade)
    if trade.intent_id in desk.book.active:
        steer(desk, trade)
