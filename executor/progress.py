"""After the entry order has left: what its reports and answers make of the trade and of its signal."""

from __future__ import annotations

from core.commands import RefusalKind, Refused
from core.enums import Severity
from core.records import SignalRecord, SignalStatus, TradeState
from executor.desk import Desk
from executor.halts import ALL
from executor.lifecycle import TradeEvent
from executor.tracked import Phase, TrackedOrder
from executor.trade import Trade


def sync_state(desk: Desk, trade: Trade) -> None:
    """Bring the trade's state to what is known of its entry order."""
    entry = trade.entry
    if entry is None:
        return
    event = _entry_event(trade, entry)
    if event is not None:
        trade.advance(event, entry.detail)
        desk.touch(trade)
        _record_signal(desk, trade)
    if trade.entry_counted or trade.lacks_fills or trade.entered <= 0:
        return
    if entry.has_ended or (entry.quantity is not None and entry.executed >= entry.quantity):
        trade.entry_counted = True
        desk.entries_filled += 1
        row = desk.days.entered(trade, desk.venue_ms)
        if desk.policy.writes_orders:
            desk.write(trade.symbol, row)


_DONE, _REFUSED, _ENTRY_COMPLETE = Phase.DONE, TradeState.REFUSED, TradeEvent.ENTRY_COMPLETE
_PARTLY = TradeState.PARTIALLY_FILLED
_BEFORE_FILL = frozenset({TradeState.INTENT, TradeState.SUBMITTED, TradeState.IN_DOUBT, TradeState.ACCEPTED})


def _entry_event(trade: Trade, entry: TrackedOrder) -> TradeEvent | None:
    """Return the news that the entry order holds for the trade's state, or None."""
    if trade.entered > 0:
        return _filled_event(trade, entry)
    return _unfilled_event(trade.state, entry) if trade.state in _BEFORE_FILL else None


def _filled_event(trade: Trade, entry: TrackedOrder) -> TradeEvent | None:
    is_complete = entry.phase is _DONE or entry.executed >= trade.quantity
    if trade.state in _BEFORE_FILL or trade.state is _REFUSED:
        return _ENTRY_COMPLETE if is_complete else TradeEvent.PARTLY_FILLED
    return _ENTRY_COMPLETE if is_complete and trade.state is _PARTLY else None


def _unfilled_event(state: TradeState, entry: TrackedOrder) -> TradeEvent | None:
    if entry.phase is Phase.IN_DOUBT and state in (TradeState.INTENT, TradeState.SUBMITTED):
        return TradeEvent.OUTCOME_UNKNOWN
    if entry.phase is Phase.LIVE and state is not TradeState.ACCEPTED:
        return TradeEvent.ACKNOWLEDGED
    if entry.phase is Phase.ABSENT:
        return TradeEvent.PROVED_ABSENT
    # An entry that ended at the venue without a fill is as good as refused.
    return TradeEvent.ENTRY_REFUSED if entry.has_ended else None


def _record_signal(desk: Desk, trade: Trade) -> None:
    """Write what became of the signal, once it is known."""
    signal = desk.signals.get(trade.intent_id)
    if signal is None:
        return
    if trade.state is TradeState.REFUSED:
        desk.write(trade.symbol, SignalRecord(signal, SignalStatus.REFUSED, trade.evidence[:200]))
    elif trade.entered > 0:
        if desk.policy.writes_orders:
            desk.write(trade.symbol, SignalRecord(signal, SignalStatus.ENTERED))
    else:
        return
    del desk.signals[trade.intent_id]


def on_entry_refused(desk: Desk, trade: Trade, refused: Refused) -> None:
    """Entries are not sent again: the signal's moment is over. A refused key stops all entries."""
    if refused.kind is RefusalKind.AUTHENTICATION:
        desk.halt(ALL, "authentication", refused.message, desk.policy.authentication_rest_ms)
        desk.alert(
            f"authentication:{desk.epoch}",
            Severity.CRITICAL,
            "The venue refuses our key",
            f"Code {refused.code}: {refused.message}. No entries; check the key, its permissions and the IP list.",
        )
    elif refused.kind is RefusalKind.BUSINESS:
        desk.alert(
            f"entry-refused:{trade.symbol}:{refused.code}:{desk.days.day}",
            Severity.WARNING,
            f"{trade.symbol}: entry refused by the venue",
            f"Code {refused.code}: {refused.message}",
            symbol=trade.symbol,
        )
