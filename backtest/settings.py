"""What a replay is run with: account, costs, rules. Everything has the value that the live trader would use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from core.enums import MarginType
from core.limits import RiskLimits, SymbolLimits, TradingConfig
from simulator.market.catalog import Bracket, SymbolSpec

DEPOSIT = Decimal(10_000)
DEPOSIT_WITHOUT_RISK = Decimal(1_000_000)
_NO_LIMIT = Decimal(10) ** 15
_FREE_LADDER = (Bracket(1, 1_000, Decimal(0), _NO_LIMIT, Decimal(0), Decimal(0)),)


class BothHitRule(StrEnum):
    """Which level counts when one candle touches both stop and target."""

    SL_FIRST = "SL_FIRST"
    TP_FIRST = "TP_FIRST"
    FINER = "FINER"
    """The first of the shorter candles inside it that touches one; the stop where they cannot tell."""


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """`fee_rate` (a fraction of the notional) replaces maker and taker rate of every contract, `tick_size` and
    `step_size` its grids; None keeps what the contract says. `slippage_bps` is in hundredths of a percent.

    `both_hit_rule` replaces that of the strategies' YAML files.

    `quantity` replaces sizing. Without `has_risk` no limit, margin rule or liquidation stands in the way of a signal.
    """

    deposit: Decimal = DEPOSIT
    fee_rate: Decimal | None = None
    slippage_bps: Decimal = Decimal(0)
    tick_size: Decimal | None = None
    step_size: Decimal | None = None
    quantity: Decimal | None = None
    has_risk: bool = True
    both_hit_rule: BothHitRule | None = None


def adapt_spec(spec: SymbolSpec, settings: ReplaySettings) -> SymbolSpec:
    """Return the contract with the settings' costs and grids."""
    tick = settings.tick_size or spec.instrument.tick_size
    step = settings.step_size or spec.instrument.step_size
    instrument = replace(
        spec.instrument,
        tick_size=tick,
        min_price=spec.instrument.min_price if settings.tick_size is None else tick,
        step_size=step,
        market_step_size=step,
        min_quantity=step,
        market_min_quantity=step,
        price_precision=max(spec.instrument.price_precision, _decimals(tick)),
        quantity_precision=max(spec.instrument.quantity_precision, _decimals(step)),
    )
    if settings.fee_rate is not None:
        spec = replace(spec, maker_fee=settings.fee_rate, taker_fee=settings.fee_rate)
    if not settings.has_risk:
        instrument = replace(
            instrument,
            min_notional=Decimal(0),
            max_quantity=_NO_LIMIT,
            market_max_quantity=_NO_LIMIT,
            max_price=_NO_LIMIT,
        )
        spec = replace(spec, brackets=_FREE_LADDER)
    return replace(spec, instrument=instrument)


def _decimals(grid: Decimal) -> int:
    exponent = grid.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def adapt_config(config: TradingConfig, settings: ReplaySettings) -> TradingConfig:
    """Return the trading configuration with the settings' sizing, and without limits where there is to be no risk."""
    sizing = config.sizing
    if settings.quantity is not None:
        sizing = replace(sizing, fixed_quantity=settings.quantity)
    if settings.has_risk:
        return replace(config, sizing=sizing)
    sizing = replace(sizing, reserve_fraction=Decimal(0))
    symbols = {name: _free_limits(limits) for name, limits in config.symbols.items()}
    return replace(config, sizing=sizing, limits=_FREE_RISK, symbols=symbols, strategies={})


def _free_limits(limits: SymbolLimits) -> SymbolLimits:
    return replace(
        limits,
        leverage=_FREE_LADDER[0].initial_leverage,
        margin_type=MarginType.CROSSED,
        max_position_notional=_NO_LIMIT,
        max_exposure_fraction=_NO_LIMIT,
        volatility_halt_pct=_NO_LIMIT,
        max_daily_quantity=None,
        max_daily_loss=None,
    )


_FREE_RISK = RiskLimits(
    max_total_exposure_fraction=None,
    max_open_positions=None,
    max_daily_loss=None,
    max_daily_loss_fraction=None,
    max_strategy_daily_loss=None,
    max_drawdown_fraction=None,
    max_consecutive_losses=None,
    min_balance=None,
    min_stop_fraction=Decimal(0),
    liquidation_margin_fraction=-_NO_LIMIT,
)
