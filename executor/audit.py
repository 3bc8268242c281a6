"""The exchange is right about quantity: legs whose venue quantity differs from our book are explained or adopted.

A difference must last, survive a fresh read of fills and position, and survive it again, before a flagged correction is
booked. A position that no trade of ours explains is somebody else's: its symbol takes no entries and it is left alone.
"""

from __future__ import annotations

from decimal import Decimal

from core.commands import FetchPositions
from core.enums import LiquiditySide, Severity
from core.orders import FillReport
from core.records import TradeState
from executor.account import LegKey, PositionFact
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
    if not is_answered or any(held.fill.symbol == symbol for held in desk.held.values()):
        return None
    suspicion.confirmations += 1
    suspicion.asked_ms = None
    if suspicion.confirmations < policy.audit_confirmations:
        return None
    del desk.suspects[key]
    return _adopt(desk, key, fact)


def _adopt(desk: Desk, key: LegKey, fact: PositionFact) -> Trade | None:
    symbol, side = key
    trade = desk.book.open_on(symbol, side)
    if trade is None or trade.entered == 0 or trade.state is TradeState.CLOSED:
        _block_foreign(desk, symbol, fact.quantity)
        return None
    wanted = max(ZERO, fact.quantity * trade.direction.sign)
    if wanted == trade.leaves:
        # One-way mode: our part is gone and the rest points the other way.
        _block_foreign(desk, symbol, fact.quantity)
        return None
    _correct(desk, trade, wanted - trade.leaves)
    return trade


def _correct(desk: Desk, trade: Trade, difference: Decimal) -> None:
    """Book a flagged fill over `difference` at the current price, with no fee: its true price is not known."""
    price = desk.market.of(trade.symbol).valuation_price or trade.entry_price or trade.reference_price
    is_exit = difference < 0
    quantity = abs(difference)
    direction = trade.direction
    entry_price = trade.entry_price or price
    realized = (price - entry_price) * quantity * direction.sign if is_exit else ZERO
    desk.corrections += 1
    fill = FillReport(
        symbol=trade.symbol,
        # Negative, so that it can never meet a venue id; unique by trade and number.
        trade_id=-(trade.intent_id * 1_000 + len(trade.fills) + 1),
        venue_order_id=0,
        client_order_id="",
        side=direction.exit_side if is_exit else direction.entry_side,
        position_side=trade.position_side,
        price=price,
        quantity=quantity,
        fee=ZERO,
        fee_asset=trade.quote_asset,
        realized_pnl=realized,
        liquidity_side=LiquiditySide.TAKER,
        event_time_ms=desk.venue_ms,
    )
    desk.book.mark_seen(fill.symbol, fill.trade_id)
    trade.book(fill, None, desk.now_ms, correction=True)
    trade.flag("corrected to the venue's quantity")
    desk.touch(trade, durable=True)
    desk.alert(
        f"corrected:{trade.intent_id}:{len(trade.fills)}",
        Severity.CRITICAL,
        f"{trade.symbol}: book corrected to the venue's position",
        f"{'less' if is_exit else 'more'} by {quantity} than our fills say; booked at {price} and flagged.",
        symbol=trade.symbol,
    )


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
