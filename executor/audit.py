"""The exchange is right about quantity: legs whose venue quantity differs from our book are explained or adopted.

A difference must last, survive a fresh read of fills and position, and survive it again, before a flagged correction is
booked. A position that no trade of ours explains is somebody else's: its symbol takes no entries and it is left alone.
"""

from __future__ import annotations

from decimal import Decimal

from core.commands import FetchPositions
from core.enums import Severity
from core.records import TradeState
from executor.account import LegKey, PositionFact
from executor.corrections import correct
from executor.desk import Desk, Suspicion
from executor.ledger import fills_command
from executor.trade import Trade

ZERO = Decimal(0)


def audit(desk: Desk) -> list[Trade]:
    """Look at every suspected leg once; returns the trades that were corrected."""
    corrected = []
    for key, suspicion in list(desk.suspects.items()):
        fact = desk.positions.facts.get(key)
        if fact is None or fact.quantity == desk.expected(key):
            _clear(desk, key)
        elif desk.now_ms - suspicion.since_ms >= desk.policy.audit_after_ms:
            trade = _explain(desk, key, suspicion, fact)
            if trade is not None:
                corrected.append(trade)
    return corrected


def _clear(desk: Desk, key: LegKey) -> None:
    del desk.suspects[key]
    facts = (desk.positions.get(key[0], side) for side in desk.position_sides())
    if all(fact is None or fact.quantity == 0 for fact in facts):
        desk.foreign_positions.pop(key[0], None)


def _explain(desk: Desk, key: LegKey, suspicion: Suspicion, fact: PositionFact) -> Trade | None:
    """Ask, wait for both answers, and adopt what is confirmed often enough."""
    symbol, policy = key[0], desk.policy
    if suspicion.asked_ms is None or desk.now_ms - suspicion.asked_ms >= policy.audit_retry_ms:
        suspicion.asked_ms = desk.now_ms
        desk.ask(symbol, FetchPositions(symbol))
        desk.ask(symbol, fills_command(desk, symbol))
        return None
    fills_ms = desk.fills_read_ms.get(symbol, -1)
    # An answer about one of our orders may be newer than what the position read saw: such a read proves nothing.
    told_ms = max((o.confirmed_ms or 0 for t in desk.book.of_symbol(symbol) for o in t.orders.values()), default=0)
    is_answered = fact.as_of_ms >= max(suspicion.asked_ms, told_ms + 1) and fills_ms >= suspicion.asked_ms
    if not is_answered or _waits_for_fills(desk, key):
        return None
    suspicion.confirmations += 1
    suspicion.asked_ms = None
    if suspicion.confirmations < policy.audit_confirmations:
        return None
    del desk.suspects[key]
    return _adopt(desk, key, fact)


def _waits_for_fills(desk: Desk, key: LegKey) -> bool:
    """True while executions are known of that are not booked: a correction must stand for none of them."""
    if any(held.fill.symbol == key[0] for held in desk.held.values()):
        return True
    trade = desk.book.open_on(*key)
    return trade is not None and trade.lacks_fills


def _adopt(desk: Desk, key: LegKey, fact: PositionFact) -> Trade | None:
    symbol, side = key
    trade = desk.book.open_on(symbol, side)
    if trade is None or trade.entered == 0 or trade.state is TradeState.CLOSED:
        _block_foreign(desk, symbol, fact.quantity)
        return None
    wanted = max(ZERO, fact.quantity * trade.direction.sign)
    if wanted == trade.leaves or _is_opened_after(desk, trade, fact):
        # Our part is gone: the rest points the other way (one-way mode), or a stranger has opened it since.
        _block_foreign(desk, symbol, fact.quantity)
        return None
    correct(desk, trade, wanted - trade.leaves)
    return trade


def _is_opened_after(desk: Desk, trade: Trade, fact: PositionFact) -> bool:
    """True when the trade is flat and all that the leg holds are a stranger's fills after its last one."""
    if trade.leaves or trade.entry is None or not trade.entry.has_ended:
        return False
    key = (trade.symbol, trade.position_side)
    return desk.strangers.opened_after(key, fact.quantity, trade.last_fill_time_ms)


def _block_foreign(desk: Desk, symbol: str, quantity: Decimal) -> None:
    desk.foreign_positions[symbol] = f"position of {quantity} that is not ours"
    desk.alert(
        f"foreign-position:{symbol}:{desk.days.day}",
        Severity.CRITICAL,
        f"{symbol}: position that is not ours",
        f"The venue holds {quantity}, which no order of this trader explains. It is left alone and the symbol takes no "
        "entries until it is gone.",
        symbol=symbol,
    )
