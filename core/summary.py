"""What a run did, for the lines printed at its end."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Totals of one run. Money in quote asset; `fees` positive when paid, `funding` positive when received.

    `duration_ms` is wall time, `market_ms` how far the venue's time moved. `wallet_start` and `wallet_end` are the
    venue's own figures, None where it could not be asked.
    """

    mode: str
    symbols: int
    duration_ms: int
    market_ms: int = 0
    entries: int = 0
    closed_trades: int = 0
    wins: int = 0
    losses: int = 0
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    wallet_start: Decimal | None = None
    wallet_end: Decimal | None = None
    open_positions: int = 0
    denials: int = 0
    errors: int = 0

    @property
    def net_pnl(self) -> Decimal:
        """Realised PnL after fees and funding: what the wallet must have changed by."""
        return self.realized_pnl - self.fees + self.funding

    @property
    def wallet_change(self) -> Decimal | None:
        if self.wallet_start is None or self.wallet_end is None:
            return None
        return self.wallet_end - self.wallet_start

    @property
    def matches_wallet(self) -> bool | None:
        """True when the PnL equals the wallet's change to the last digit; None where the wallet is unknown."""
        change = self.wallet_change
        return None if change is None else change == self.net_pnl
