"""The shape of `symbols.yaml`: what may stand in it, its ranges, and its defaults (those of `core.limits`).

Money is in quote asset, `*_fraction` a fraction of equity, `*_pct` a percentage, `*_ms` milliseconds of venue time.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.enums import MarginType
from core.limits import RiskLimits, SizingPolicy, StrategyLimits, SymbolLimits

_SYMBOL = SymbolLimits(symbol="")
_RISK = RiskLimits()
_SIZING = SizingPolicy()
_STRATEGY = StrategyLimits()
_NAME = re.compile(r"[^\sa-z_/-]{3,30}(_\d{6})?")

Money = Annotated[Decimal, Field(gt=0)]
Fraction = Annotated[Decimal, Field(gt=0, le=1)]
Exposure = Annotated[Decimal, Field(gt=0, le=125)]
Percent = Annotated[Decimal, Field(gt=0, le=100)]
Milliseconds = Annotated[int, Field(ge=0, le=30 * 86_400_000)]
PositiveMilliseconds = Annotated[int, Field(ge=1, le=30 * 86_400_000)]


class ClosedModel(BaseModel):
    """Frozen, refuses unknown keys, and takes no `true` for 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_numbers(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("must not be true or false")
        return value


class SymbolEntry(ClosedModel):
    """Settings and limits of one symbol; what is left out comes from `defaults`."""

    leverage: int = Field(
        default=_SYMBOL.leverage, ge=1, le=125, description="leverage set at the venue before the first entry"
    )
    margin_type: MarginType = Field(
        default=_SYMBOL.margin_type,
        description="ISOLATED: a position can lose only its own margin; CROSSED: the whole wallet",
    )
    max_position_notional: Money = Field(
        default=_SYMBOL.max_position_notional, description="largest value of one position, quote asset"
    )
    max_exposure_fraction: Exposure = Field(
        default=_SYMBOL.max_exposure_fraction,
        description="largest value of a symbol's positions as a fraction of equity",
    )
    volatility_halt_pct: Percent = Field(
        default=_SYMBOL.volatility_halt_pct,
        description="a move of this many percent within the window halts the symbol",
    )
    volatility_window_ms: PositiveMilliseconds = Field(
        default=_SYMBOL.volatility_window_ms, description="window of the volatility halt, ms"
    )
    volatility_rest_ms: PositiveMilliseconds = Field(
        default=_SYMBOL.volatility_rest_ms, description="how long a halted symbol rests, ms"
    )
    max_daily_quantity: Money | None = Field(
        default=_SYMBOL.max_daily_quantity,
        description="most that may be entered a UTC day, base asset; empty: no limit",
    )
    max_daily_loss: Money | None = Field(
        default=_SYMBOL.max_daily_loss,
        description="loss on the symbol that stops its entries until 00:00 UTC, quote asset; empty: no limit",
    )
    max_holding_ms: PositiveMilliseconds | None = Field(
        default=_SYMBOL.max_holding_ms, description="a position is closed after this long, ms; empty: no limit"
    )


class LimitsEntry(ClosedModel):
    """Account-wide limits; an empty value switches one off where that is allowed."""

    max_total_exposure_fraction: Exposure | None = Field(
        default=_RISK.max_total_exposure_fraction, description="largest value of all positions as a fraction of equity"
    )
    max_open_positions: Annotated[int, Field(ge=1)] | None = Field(
        default=_RISK.max_open_positions, description="most positions at a time"
    )
    max_daily_loss: Money | None = Field(
        default=_RISK.max_daily_loss, description="loss of a UTC day that ends trading"
    )
    max_daily_loss_fraction: Fraction | None = Field(
        default=_RISK.max_daily_loss_fraction, description="the same as a fraction of the equity at 00:00 UTC"
    )
    max_strategy_daily_loss: Money | None = Field(
        default=_RISK.max_strategy_daily_loss, description="loss of a UTC day that stops one strategy until the next"
    )
    max_drawdown_fraction: Fraction | None = Field(
        default=_RISK.max_drawdown_fraction, description="fall from the peak equity that ends trading"
    )
    max_consecutive_losses: Annotated[int, Field(ge=1)] | None = Field(
        default=_RISK.max_consecutive_losses, description="losses in a row that stop new entries until 00:00 UTC"
    )
    min_balance: Money | None = Field(default=_RISK.min_balance, description="no entries below this wallet balance")
    min_stop_fraction: Fraction = Field(
        default=_RISK.min_stop_fraction, description="nearest allowed stop, as a fraction of the entry price"
    )
    liquidation_margin_fraction: Fraction = Field(
        default=_RISK.liquidation_margin_fraction, description="how far the liquidation price must lie beyond the stop"
    )
    signal_max_age_ms: PositiveMilliseconds = Field(
        default=_RISK.signal_max_age_ms, description="older signals are dropped, ms"
    )
    stale_data_ms: PositiveMilliseconds = Field(
        default=_RISK.stale_data_ms, description="no entries when a symbol's market data is older than this, ms"
    )
    max_clock_offset_ms: PositiveMilliseconds = Field(
        default=_RISK.max_clock_offset_ms, description="no entries when our clock is further from the venue's, ms"
    )
    funding_window_before_ms: Milliseconds = Field(
        default=_RISK.funding_window_before_ms, description="no entries this long before funding, ms"
    )
    funding_window_after_ms: Milliseconds = Field(
        default=_RISK.funding_window_after_ms, description="no entries this long after funding, ms"
    )
    order_ttl_ms: PositiveMilliseconds = Field(
        default=_RISK.order_ttl_ms, description="a resting entry is cancelled after this"
    )


class StrategyEntry(ClosedModel):
    """Limits of one strategy, on top of those of the account and of the symbol."""

    max_daily_loss: Money | None = Field(
        default=_STRATEGY.max_daily_loss,
        description="loss of a UTC day over all symbols that stops this strategy until the next; empty: no own limit",
    )
    max_daily_quantity: Money | None = Field(
        default=_STRATEGY.max_daily_quantity,
        description="most that it may enter on a symbol in a UTC day, base asset; empty: no own limit",
    )


class SizingEntry(ClosedModel):
    """Risk a trade: a fixed amount or a percentage of equity. RISK_USD and RISK_PERCENT of `.env` override it."""

    risk_usd: Money | None = Field(default=None, description="fixed risk a trade, quote asset")
    risk_percent: Percent | None = Field(default=None, description="risk a trade in percent of equity")
    reserve_fraction: Annotated[Decimal, Field(ge=0, lt=1)] = Field(
        default=_SIZING.reserve_fraction, description="part of the available balance that is never used for margin"
    )
    slippage_fraction: Annotated[Decimal, Field(ge=0, lt=1)] = Field(
        default=_SIZING.slippage_fraction, description="slippage that sizing reckons with, as a fraction of the price"
    )

    @field_validator("risk_percent")
    @classmethod
    def _one_kind_of_risk(cls, value: Decimal | None, info: Any) -> Decimal | None:
        if value is not None and info.data.get("risk_usd") is not None:
            raise ValueError("cannot be combined with risk_usd; keep one of the two")
        return value


class SymbolsFile(ClosedModel):
    """The whole of `symbols.yaml`."""

    quote_asset: str = Field(default="USDT", pattern=r"^[A-Z]{3,10}$", description="asset that money is counted in")
    sizing: SizingEntry = Field(default_factory=SizingEntry, description="how much to risk a trade")
    limits: LimitsEntry = Field(default_factory=LimitsEntry, description="account-wide limits")
    defaults: SymbolEntry = Field(default_factory=SymbolEntry, description="what holds for every symbol")
    strategies: dict[str, StrategyEntry] = Field(
        default_factory=dict, description="limits of single strategies, by the name of their folder"
    )
    symbols: dict[str, SymbolEntry] = Field(min_length=1, description="the symbols traded, with what differs")

    @field_validator("symbols", mode="before")
    @classmethod
    def _bare_symbol_takes_the_defaults(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {symbol: {} if entry is None else entry for symbol, entry in value.items()}


def symbol_problem(symbol: str, quote_asset: str) -> str:
    """Return why `symbol` cannot be the name of a contract in `quote_asset`, or nothing."""
    if not _NAME.fullmatch(symbol):
        hint = f"; did you mean '{symbol.upper()}'?" if _NAME.fullmatch(symbol.upper()) else ""
        return f"is not a symbol such as BTC{quote_asset}{hint}"
    if not symbol.partition("_")[0].endswith(quote_asset):
        return f"is not quoted in {quote_asset}"
    return ""
