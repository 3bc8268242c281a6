"""The trades of a replay, from what the core wrote and what the market did to them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.enums import Direction
from core.frozen import quick_init

ZERO = Decimal(0)
STILL_OPEN = "open"


@quick_init
@dataclass(frozen=True, slots=True)
class BacktestTrade:
    """One trade. Times are UTC milliseconds: `signal_time_ms` the close that decided, the others the open of the
    candle in which it happened. `exit_time_ms` and `exit_price` are None while it is open at the end of the data.

    `pnl` is net: realised - `fee` + `funding`. `r_multiple` is `pnl` over the planned loss `risk`. `slippage` is what
    the fills lost against the candle's prices. `ambiguous`: stop and target were both touched by the exit candle.
    """

    symbol: str
    strategy: str
    direction: Direction
    signal_time_ms: int
    entry_time_ms: int
    entry_price: Decimal
    exit_time_ms: int | None
    exit_price: Decimal | None
    quantity: Decimal
    fee: Decimal
    funding: Decimal
    pnl: Decimal
    risk: Decimal
    exit_reason: str
    ambiguous: bool
    slippage: Decimal = ZERO
    stop_price: Decimal | None = None
    target_price: Decimal | None = None

    @property
    def r_multiple(self) -> float:
        return float(self.pnl / self.risk) if self.risk else 0.0

    @property
    def is_closed(self) -> bool:
        return self.exit_time_ms is not None

    @property
    def turnover(self) -> Decimal:
        """Traded notional, in and out."""
        return self.quantity * (self.entry_price + (self.exit_price or ZERO))
