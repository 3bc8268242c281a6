"""One look at one trade: what is known decides what is due. Run after every piece of news and on every tick.

Steering is level-triggered: it looks at the state, not at how it came about, so that a restart, a lost event and a late
one all end in the same actions.
"""

from __future__ import annotations

from core.enums import Severity
from core.errors import IllegalTransition
from executor import doubt, exits, kill, progress, protection, settle
from executor.desk import Desk
from executor.trade import Trade


def steer(desk: Desk, trade: Trade) -> None:
    """Do what is due for `trade` now. A venue surprise that the lifecycle does not know halts its symbol."""
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


def wake(desk: Desk, trade: Trade) -> None:
    """Steer a trade after news; a retired one to which something happens after all comes back to the book."""
    if trade.intent_id not in desk.book.active and (not trade.is_clear or trade.leaves > 0):
        desk.book.revive(trade)
    if trade.intent_id in desk.book.active:
        steer(desk, trade)
