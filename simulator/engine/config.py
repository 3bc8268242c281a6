"""How an exchange starts: the account's deposit and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class ExchangeConfig:
    """Money in `asset`. From `margin_call_ratio` of maintenance margin to balance on, MARGIN_CALL is pushed."""

    deposit: Decimal = Decimal("10000")
    asset: str = "USDT"
    default_leverage: int = 20
    margin_call_ratio: Decimal = Decimal("0.8")
    max_algo_orders: int = 200
    seed: int = 1
    is_journalled: bool = True
    """False: nobody asks for `take_changes`, so changes are not collected."""
    tells_steps: bool = True
    """False: only executions, ends of orders and changes of the account are told, not that an order was accepted or
    triggers, for a caller to whom the answers of its requests tell that."""
    tells_market: bool = True
    """False: the market's own items are not told, for a caller who has the market at hand."""
    history_ms: int | None = None
    """How long ended orders, fills and ledger rows can be asked for; None: as long as the venue keeps them."""
