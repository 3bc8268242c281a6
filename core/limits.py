"""Limits and sizing policy as frozen values; `config` builds them from .env and YAML, `executor` obeys them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from core.enums import MarginType, PositionMode


@dataclass(frozen=True, slots=True)
class SizingPolicy:
    """How much to risk per trade: a fixed amount, or a percentage of equity when `risk_usd` is None.

    `reserve_fraction` of the available balance is never used for margin.
    """

    risk_usd: Decimal | None = Decimal("10")
    risk_percent: Decimal | None = None
    reserve_fraction: Decimal = Decimal("0.05")
    slippage_fraction: Decimal = Decimal("0.0005")
    fixed_quantity: Decimal | None = None
    """Enter this many units whatever the risk is; the limits still cap it."""


@dataclass(frozen=True, slots=True)
class SymbolLimits:
    """Per-symbol settings and limits. Notionals in quote asset; fractions of equity."""

    symbol: str
    leverage: int = 5
    margin_type: MarginType = MarginType.ISOLATED
    max_position_notional: Decimal = Decimal("5000")
    max_exposure_fraction: Decimal = Decimal("0.25")
    volatility_halt_pct: Decimal = Decimal("1.5")
    volatility_window_ms: int = 5_000
    volatility_rest_ms: int = 600_000
    max_daily_quantity: Decimal | None = None
    max_daily_loss: Decimal | None = None
    max_holding_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StrategyLimits:
    """Limits of one strategy on top of those of the account and of the symbol; None switches one off.

    The loss counts over all its symbols, the quantity (base asset) on each symbol.
    """

    max_daily_loss: Decimal | None = None
    max_daily_quantity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Account-wide limits. None switches a limit off. `*_fraction` of equity at 00:00 UTC or of peak equity."""

    max_total_exposure_fraction: Decimal | None = Decimal("2.0")
    max_open_positions: int | None = 10
    max_daily_loss: Decimal | None = None
    max_daily_loss_fraction: Decimal | None = Decimal("0.05")
    max_strategy_daily_loss: Decimal | None = None
    max_drawdown_fraction: Decimal | None = Decimal("0.20")
    max_consecutive_losses: int | None = None
    min_balance: Decimal | None = Decimal("50")
    min_stop_fraction: Decimal = Decimal("0.0005")
    liquidation_margin_fraction: Decimal = Decimal("0.002")
    signal_max_age_ms: int = 60_000
    stale_data_ms: int = 15_000
    max_clock_offset_ms: int = 1_000
    funding_window_before_ms: int = 0
    funding_window_after_ms: int = 0
    order_ttl_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class TradingConfig:
    """All that the executor needs to know, frozen at start (YAML edits make a new one)."""

    position_mode: PositionMode
    quote_asset: str
    sizing: SizingPolicy
    limits: RiskLimits
    symbols: dict[str, SymbolLimits] = field(default_factory=dict)
    strategies: dict[str, StrategyLimits] = field(default_factory=dict)
