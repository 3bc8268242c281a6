"""What is open is worth now: exposure, margin, unrealised result, and the rows that show them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from core.records import AccountStatRecord, PositionMarkRecord
from executor.desk import Desk
from executor.tracked import ENDED
from executor.trade import Trade

ZERO = Decimal(0)


def _open_quantity(trade: Trade) -> Decimal:
    """What a trade holds or may still get: an entry that has not ended counts in full."""
    return ZERO if trade.is_over else _live_quantity(trade)


def _live_quantity(trade: Trade) -> Decimal:
    """The same of a trade that is not over."""
    entry = trade.orders.get(trade.client_order_id)
    if entry is not None and entry.phase not in ENDED:
        return max(trade.quantity - trade.exited, ZERO)
    return trade.leaves


def _notional(desk: Desk, trade: Trade) -> Decimal:
    price = desk.market.of(trade.symbol).valuation_price or trade.reference_price
    return _open_quantity(trade) * price


def symbol_exposure(desk: Desk, symbol: str) -> Decimal:
    """Return the absolute notional open or pending on a symbol, both directions added."""
    return _notional_of(desk, desk.book.of_symbol(symbol))


def total_exposure(desk: Desk) -> Decimal:
    """Return the absolute notional open or pending on all symbols."""
    return _notional_of(desk, desk.book.active.values())


def _notional_of(desk: Desk, trades: Iterable[Trade]) -> Decimal:
    total = ZERO
    for trade in trades:
        total += _notional(desk, trade)
    return total


Valued = tuple[Trade, Decimal, Decimal]
"""A trade that holds a position, the price that it is valued at, and its unrealised result."""


def revalue(desk: Desk) -> list[Valued]:
    """Bring unrealised result, margin in use, equity and its peak up to date; returns what every position is worth."""
    valued: list[Valued] = []
    unrealized = margin = ZERO
    markets, setups = desk.market, desk.setup
    for trade in desk.book.active.values():
        symbol = trade.symbol
        price = markets.of(symbol).valuation_price
        result = trade.unrealized_pnl(price)
        if price is not None and trade.leaves > 0:
            valued.append((trade, price, result))
        if trade.is_over:
            continue
        unrealized += result
        setup = setups.get(symbol) or desk.setup_of(symbol)
        margin += _live_quantity(trade) * (price or trade.reference_price) / setup.leverage
    desk.account.value(unrealized, margin)
    return valued


def count_entry(desk: Desk, trade: Trade) -> None:
    """Add the margin of an entry that was just decided to the last valuation, without valuing everything again."""
    desk.account.margin_used += _notional(desk, trade) / desk.setup_of(trade.symbol).leverage


def write_marks(desk: Desk, valued: Iterable[Valued]) -> None:
    """Write the live valuation of every open position."""
    for trade, price, result in valued:
        desk.out.write(trade.symbol, PositionMarkRecord(trade.intent_id, price, result, desk.venue_ms))


def write_account_stat(desk: Desk) -> None:
    """Write the account's valuation; nothing while the wallet is unknown."""
    account = desk.account
    equity = account.equity
    if account.wallet is None or equity is None:
        return
    desk.write(
        "",
        AccountStatRecord(
            event_time_ms=desk.venue_ms,
            wallet_balance=account.wallet,
            equity=equity,
            available=account.available,
            unrealized_pnl=account.unrealized_pnl,
            open_positions=sum(1 for trade in desk.book.active.values() if trade.leaves > 0),
            peak_equity=account.peak_equity,
        ),
    )
