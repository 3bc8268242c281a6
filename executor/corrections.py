"""Flagged corrections: booked for what nobody told us, undone to the last digit when the real fills turn up."""

from __future__ import annotations

from decimal import Decimal

from core.enums import LiquiditySide, Severity, Side
from core.orders import FillReport
from executor.desk import Desk
from executor.standing import Standing, correction_id, reversal, standing
from executor.trade import Trade

ZERO = Decimal(0)


def correct(desk: Desk, trade: Trade, difference: Decimal) -> None:
    """Bring the trade's open quantity `difference` further.

    Where a stranger's fills on the leg make exactly that much, our entry has met his position: they become the trade's.
    Corrections of the other direction were wrong or are over: they are undone first. The rest becomes a flagged fill at
    the current price, with no fee: its true price is not known yet.
    """
    theirs = desk.strangers.take((trade.symbol, trade.position_side), difference * trade.direction.sign)
    if theirs:
        _adopt_fills(desk, trade, theirs)
        return
    is_exit = difference < 0
    direction = trade.direction
    opposite = direction.entry_side if is_exit else direction.exit_side
    quantity = abs(difference)
    quantity -= _undo(desk, trade, [left for left in standing(trade) if left.row.side is opposite], quantity)
    if quantity > 0:
        _book(desk, trade, quantity, is_exit=is_exit)
    _forget_explained(desk, trade)
    desk.touch(trade, durable=True)


def _adopt_fills(desk: Desk, trade: Trade, fills: list[FillReport]) -> None:
    """Make the fills of a stranger's position the trade's, with their own prices and fees."""
    for fill in fills:
        trade.book(fill, None, desk.now_ms)
    trade.flag("met a position that was not ours")
    desk.alert(
        f"met:{trade.intent_id}:{len(trade.fills)}",
        Severity.CRITICAL,
        f"{trade.symbol}: position of somebody else adopted",
        f"Our entry met a position that was not ours; its {len(fills)} fills are the trade's now, and it is protected.",
        symbol=trade.symbol,
    )
    desk.touch(trade, durable=True)


def _book(desk: Desk, trade: Trade, quantity: Decimal, *, is_exit: bool) -> None:
    price = desk.market.of(trade.symbol).valuation_price or trade.entry_price or trade.reference_price
    direction = trade.direction
    entry_price = trade.entry_price or price
    realized = (price - entry_price) * quantity * direction.sign if is_exit else ZERO
    desk.corrections += 1
    fill = FillReport(
        symbol=trade.symbol,
        trade_id=correction_id(trade),
        venue_order_id=0,
        client_order_id="",
        side=direction.exit_side if is_exit else direction.entry_side,
        position_side=trade.position_side,
        price=price,
        quantity=quantity,
        fee=ZERO,
        fee_asset=trade.quote_asset,
        # The venue's own precision: what is added and taken away again must leave no rounding behind.
        realized_pnl=round(realized, 8),
        liquidity_side=LiquiditySide.TAKER,
        event_time_ms=desk.venue_ms,
    )
    desk.book.mark_seen(fill.symbol, fill.trade_id)
    trade.book(fill, None, desk.now_ms, correction=True)
    desk.book.unexplained[trade.intent_id] = trade
    trade.flag("corrected to the venue's quantity")
    desk.alert(
        f"corrected:{trade.intent_id}:{len(trade.fills)}",
        Severity.CRITICAL,
        f"{trade.symbol}: book corrected to the venue's position",
        f"{'less' if is_exit else 'more'} by {quantity} than our fills say; booked at {price} and flagged.",
        symbol=trade.symbol,
    )


def explain(desk: Desk, trade: Trade, fill: FillReport) -> None:
    """Undo what `fill`, booked just now, shows the corrections to have stood for.

    A correction is booked only when everything told was booked, so that a fill from before it, told after it, is one
    that it stood for. A trade that has left more than it entered tells the same of its corrected exits.
    """
    if trade.intent_id not in desk.book.unexplained:
        return
    same = [left for left in standing(trade) if left.row.side is fill.side]
    _undo(desk, trade, [each for each in same if fill.event_time_ms <= each.row.event_time_ms], fill.quantity)
    excess = trade.exited - trade.entered
    if excess > 0:
        exit_side = trade.direction.exit_side
        _undo(desk, trade, [left for left in standing(trade) if left.row.side is exit_side], excess)
    _forget_explained(desk, trade)


def _forget_explained(desk: Desk, trade: Trade) -> None:
    if not standing(trade):
        desk.book.unexplained.pop(trade.intent_id, None)


def _undo(desk: Desk, trade: Trade, corrections: list[Standing], quantity: Decimal) -> Decimal:
    """Reverse up to `quantity` of the corrections, oldest first; returns how much."""
    left = quantity
    for each in corrections:
        part = min(left, each.quantity)
        if part <= 0:
            break
        undo = reversal(trade, each, part)
        desk.book.mark_seen(undo.symbol, undo.trade_id)
        reason = trade.exit_reason
        trade.book(undo, None, desk.now_ms, correction=True)
        trade.exit_reason = reason if trade.exit_booked else None
        left -= part
    if left < quantity:
        trade.flag("correction undone")
        desk.alert(
            f"uncorrected:{trade.intent_id}:{len(trade.fills)}",
            Severity.INFO,
            f"{trade.symbol}: correction undone",
            f"{quantity - left} is explained by now; the rows are those of the real fills.",
            symbol=trade.symbol,
        )
    return quantity - left


def claimant(desk: Desk, fill: FillReport) -> Trade | None:
    """Return the trade, open or over, one of whose corrections stands for this fill of somebody else.

    A fill from before the trade was decided may be an earlier process's, whose row stands: it is claimed only when it
    happened while this one ran.
    """
    for trade in desk.book.unexplained.values():
        is_its_leg = trade.symbol == fill.symbol and trade.position_side is fill.position_side
        if not is_its_leg or fill.event_time_ms <= min(trade.created_time_ms, desk.start_ms):
            continue
        if _stands_for(trade, fill.side, fill.event_time_ms):
            return trade
    return None


def _stands_for(trade: Trade, side: Side, time_ms: int) -> bool:
    return any(left.row.side is side and time_ms <= left.row.event_time_ms for left in standing(trade))


def watched_symbols(desk: Desk) -> set[str]:
    """Return the symbols on which a correction waits for its fills; the wait ends with the lists' reach back."""
    oldest_ms = desk.venue_ms - desk.policy.fills_reread_ms
    for trade in list(desk.book.unexplained.values()):
        if trade.last_fill_time_ms < oldest_ms:
            del desk.book.unexplained[trade.intent_id]
    return {trade.symbol for trade in desk.book.unexplained.values()}
