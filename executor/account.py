"""Wallet, equity, its peak and its value at the start of the day; what the venue says each position is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from core.enums import PositionSide
from core.orders import BalanceReport, PositionReport

ZERO = Decimal(0)
TRANSFER_REASONS = frozenset({"DEPOSIT", "WITHDRAW", "ADMIN_DEPOSIT", "ADMIN_WITHDRAW", "ASSET_TRANSFER"})
"""Reasons of an account event for money that came or went without trading."""
LegKey = tuple[str, PositionSide]


@dataclass(slots=True)
class PositionFact:
    """The venue's word about one position leg.

    `quantity` is signed. `as_of_ms` (our clock) is a moment at which it certainly held: the arrival of a stream
    event, or the sending of the query that read it.
    """

    quantity: Decimal
    as_of_ms: int
    event_time_ms: int
    from_stream: bool
    liquidation_price: Decimal | None = None


class Positions:
    """Newest fact of each position leg. A leg that was never told is unknown, not flat."""

    def __init__(self) -> None:
        self.facts: dict[LegKey, PositionFact] = {}
        self._activity_ms: dict[str, int] = {}

    def note_activity(self, symbol: str, now_ms: int) -> None:
        """Something happened on the symbol now: queries sent before can no longer tell its position."""
        if now_ms >= self._activity_ms.get(symbol, 0):
            self._activity_ms[symbol] = now_ms

    def from_stream(self, report: PositionReport, event_time_ms: int, now_ms: int) -> None:
        key = (report.symbol, report.position_side)
        known = self.facts.get(key)
        if known is not None and known.from_stream and known.event_time_ms > event_time_ms:
            return
        self.note_activity(report.symbol, now_ms)
        self.facts[key] = PositionFact(report.quantity, now_ms, event_time_ms, from_stream=True)

    def from_query(
        self, rows: Iterable[PositionReport], legs: Iterable[LegKey], issued_ms: int, event_time_ms: int
    ) -> set[LegKey]:
        """Take a query's answer about `legs` (legs without a row are flat) and return the legs it could tell.

        An answer whose query was sent no later than the symbol's last activity may be older than that activity: it
        tells nothing.
        """
        by_leg = {(row.symbol, row.position_side): row for row in rows}
        told: set[LegKey] = set()
        for key in sorted({*legs, *by_leg}):
            if issued_ms <= self._activity_ms.get(key[0], -1):
                continue
            row = by_leg.get(key)
            quantity = ZERO if row is None else row.quantity
            liquidation = None if row is None else row.liquidation_price
            self.facts[key] = PositionFact(quantity, issued_ms, event_time_ms, False, liquidation)
            told.add(key)
        return told

    def get(self, symbol: str, side: PositionSide) -> PositionFact | None:
        return self.facts.get((symbol, side))


class Account:
    """Balances of the quote asset and the equity that follows from them. Unknown until the venue has told."""

    def __init__(self, quote_asset: str, peak_equity: Decimal | None, day_start_equity: Decimal | None) -> None:
        self.quote_asset = quote_asset
        self.wallet: Decimal | None = None
        self._reported_available: Decimal | None = None
        self.unrealized_pnl = ZERO
        self.margin_used = ZERO
        self.peak_equity = peak_equity or ZERO
        self.day_start_equity = day_start_equity

    def on_balances(self, balances: Iterable[BalanceReport]) -> None:
        for balance in balances:
            if balance.asset == self.quote_asset:
                self.wallet = balance.wallet_balance
                self._reported_available = balance.available

    def on_transfer(self, balances: Iterable[BalanceReport]) -> None:
        """Move peak and day's start with money that a person put in or took out: that is neither gain nor loss."""
        for balance in balances:
            if balance.asset == self.quote_asset:
                self.peak_equity = max(ZERO, self.peak_equity + balance.balance_change)
                if self.day_start_equity is not None:
                    self.day_start_equity = max(ZERO, self.day_start_equity + balance.balance_change)

    def restart_drawdown(self) -> None:
        """Count the drawdown from the equity of now."""
        if self.equity is not None:
            self.peak_equity = self.equity

    @property
    def equity(self) -> Decimal | None:
        """Wallet plus unrealised result; None while the wallet is unknown."""
        return None if self.wallet is None else self.wallet + self.unrealized_pnl

    @property
    def available(self) -> Decimal:
        """Margin free for new positions: equity (gains not counted) less margin in use, or less if the venue said so.

        The venue's own figure is used only while it is newer than the last balance change.
        """
        if self.wallet is None:
            return ZERO
        own = self.wallet + min(ZERO, self.unrealized_pnl) - self.margin_used
        if self._reported_available is not None:
            own = min(own, self._reported_available)
        return max(ZERO, own)

    def value(self, unrealized_pnl: Decimal, margin_used: Decimal) -> None:
        """Set the open positions' result and margin, and follow the peak."""
        self.unrealized_pnl = unrealized_pnl
        self.margin_used = margin_used
        if self.wallet is None:
            return
        equity = self.wallet + unrealized_pnl
        self.peak_equity = max(self.peak_equity, equity)
        if self.day_start_equity is None:
            self.day_start_equity = equity

    def start_day(self) -> None:
        """A new UTC day: its limits count from the equity of now."""
        self.day_start_equity = self.equity
