"""What a denial tells: the numbers that were compared, so that a person sees how far from the limit it was."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from core.enums import Direction, Leg, MarginType, OrderType, PositionSide, Side, SymbolStatus, WorkingType
from core.limits import RiskLimits, StrategyLimits, SymbolLimits
from core.orders import AlgoOrderRequest, LeverageBracket, OrderRequest
from executor.denials import DenialCode, Denied
from executor.filters import EntryPlan, approve_entry, band_close, market_close, protective_order
from executor.risk import EntryView, OrderView, check_entry, check_order, drawdown_hit, liquidation_price
from tests.unit.executor.lab import BTC, instrument

D = Decimal

LIMITS = RiskLimits(
    max_daily_loss=D(100),
    max_strategy_daily_loss=D(50),
    max_consecutive_losses=3,
    funding_window_before_ms=60_000,
    funding_window_after_ms=30_000,
)
SYMBOL = SymbolLimits(BTC, max_daily_quantity=D(10), max_position_notional=D(5_000), max_daily_loss=D(30))
BRACKET = LeverageBracket(1, 20, D(0), D(50_000), D("0.004"), D(0))
ENTRY = EntryView(
    symbol=BTC,
    strategy="vwap",
    direction=Direction.LONG,
    price=D(100),
    stop_price=D(99),
    target_price=D(102),
    venue_time_ms=1_000_000,
    signal_age_ms=0,
    equity=D(10_000),
    peak_equity=D(10_000),
    day_start_equity=D(10_000),
)
ORDER = OrderView(
    direction=Direction.LONG,
    price=D(100),
    stop_price=D(99),
    quantity=D(10),
    equity=D(10_000),
    margin_available=D(10_000),
    leverage=5,
    margin_type=MarginType.ISOLATED,
    brackets=(BRACKET,),
    symbol_exposure=D(0),
    total_exposure=D(0),
    strategy_day_quantity=D(0),
)
PLAN = EntryPlan(Side.BUY, PositionSide.BOTH, D(1), D(100), D(100), D(99), "ft-1-1-E0")


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({"is_stopping": True}, {}),
        ({"clock_offset_ms": -1_001}, {"offset_ms": "-1001", "max_ms": "1000"}),
        ({"clock_offset_ms": None}, {"offset_ms": "None", "max_ms": "1000"}),
        ({"blocked_reason": "foreign order 7"}, {"reason": "foreign order 7"}),
        ({"symbol_status": SymbolStatus.SETTLING}, {"status": "SETTLING"}),
        ({"halt_reason": "volatility"}, {"reason": "volatility"}),
        ({"signal_age_ms": 60_001}, {"age_ms": "60001", "max_ms": "60000"}),
        ({"price_age_ms": 15_001}, {"age_ms": "15001", "max_ms": "15000"}),
        ({"price": None, "price_age_ms": None}, {"age_ms": "None", "max_ms": "15000"}),
        ({"next_funding_time_ms": 1_000_000}, {"ms_before": "0"}),
        ({"next_funding_time_ms": 1_059_999}, {"ms_before": "59999"}),
        ({"last_funding_time_ms": 1_000_000}, {"ms_after": "0"}),
        ({"last_funding_time_ms": 970_001}, {"ms_after": "29999"}),
        ({"stop_price": D(101)}, {"price": "100", "stop_price": "101"}),
        ({"stop_price": D("99.96")}, {"distance": "0.04", "min_fraction": "0.0005"}),
        ({"target_price": D(98)}, {"price": "100", "target_price": "98"}),
        ({"equity": D(49)}, {"equity": "49", "min_balance": "50"}),
        ({"day_net_pnl": D(-60), "unrealized_pnl": D(-40)}, {"loss": "100", "limit": "100"}),
        ({"day_net_pnl": D(-60), "day_start_equity": D(1000)}, {"loss": "60", "limit": "50.00"}),
        ({"equity": D(8_000)}, {"drawdown_fraction": "0.2", "limit": "0.20"}),
        ({"strategy_day_net_pnl": D(-51)}, {"net_pnl": "-51", "limit": "50"}),
        (
            {"strategy_day_net_pnl": D(-21), "strategy_limits": StrategyLimits(max_daily_loss=D(20))},
            {"net_pnl": "-21", "limit": "20"},
        ),
        ({"symbol_day_net_pnl": D(-31)}, {"net_pnl": "-31", "limit": "30"}),
        ({"consecutive_losses": 4}, {"losses": "4", "limit": "3"}),
        ({"open_positions": 11}, {"open_positions": "11", "limit": "10"}),
    ],
)
def test_entry_guard_that_denies_tells_the_numbers_it_compared(
    changes: dict[str, object], numbers: dict[str, str]
) -> None:
    result = check_entry(replace(ENTRY, **changes), LIMITS, SYMBOL)
    assert result is not None and dict(result.context) == numbers


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({"symbol_exposure": D("4000.5")}, {"notional": "1000", "limit": "5000"}),
        ({"symbol_exposure": D(1_501)}, {"notional": "2501", "limit": "2500.00"}),
        ({"total_exposure": D(19_001)}, {"notional": "20001", "limit": "20000.0"}),
        ({"strategy_day_quantity": D("0.5")}, {"quantity": "10.5", "limit": "10"}),
        ({"strategy_limits": StrategyLimits(max_daily_quantity=D("9.9"))}, {"quantity": "10", "limit": "9.9"}),
    ],
)
def test_order_guard_that_denies_tells_the_numbers_it_compared(
    changes: dict[str, object], numbers: dict[str, str]
) -> None:
    result = check_order(replace(ORDER, **changes), LIMITS, SYMBOL)
    assert result is not None and dict(result.context) == numbers


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol_exposure": D(1_500)},
        {"total_exposure": D(19_000)},
        {"quantity": D(9), "strategy_day_quantity": D(1)},
    ],
)
def test_order_guard_exactly_at_its_limit_passes(changes: dict[str, object]) -> None:
    assert check_order(replace(ORDER, **changes), LIMITS, SYMBOL) is None


def test_position_limit_exactly_reached_passes() -> None:
    roomy = replace(SYMBOL, max_exposure_fraction=D(1))
    assert check_order(replace(ORDER, symbol_exposure=D(4_000)), LIMITS, roomy) is None


def test_balance_exactly_at_its_minimum_passes() -> None:
    view = replace(ENTRY, equity=D(50), peak_equity=D(50), day_start_equity=D(50))
    assert check_entry(view, LIMITS, SYMBOL) is None


def test_liquidation_too_close_tells_both_prices() -> None:
    view = replace(ORDER, leverage=100)
    price = liquidation_price(view)
    result = check_order(view, LIMITS, SYMBOL)
    assert result == Denied(
        DenialCode.LIQUIDATION_TOO_CLOSE, {"liquidation_price": str(price), "stop_price": str(view.stop_price)}
    )


def test_drawdown_of_a_tiny_account_counts_like_any_other() -> None:
    assert drawdown_hit(D("0.4"), D(1), RiskLimits()) == Denied(
        DenialCode.DRAWDOWN, {"drawdown_fraction": "0.6", "limit": "0.20"}
    )


@pytest.mark.parametrize(
    ("changes", "code", "numbers"),
    [
        ({"quantity": D("0.0009")}, "quantity_too_small", {"quantity": "0.000", "min_quantity": "0.001"}),
        ({"quantity": D("0.04")}, "notional_too_small", {"notional": "4.000", "min_notional": "5"}),
        (
            {"smallest_exit_fraction": D("0.0001")},
            "quantity_too_small",
            {"exit_quantity": "0.000", "min_quantity": "0.001"},
        ),
        (
            {"position_side": PositionSide.LONG, "quantity": D("0.05"), "stop_price": D(96)},
            "notional_too_small",
            {"exit_notional": "4.800", "min_notional": "5"},
        ),
        (
            {"stop_price": D("0.5")},
            "price_out_of_range",
            {"stop_price": "0.5", "min_price": "1", "max_price": "1000000"},
        ),
        ({"mark_price": D(94)}, "price_out_of_band", {"price": "100", "low": "89.30", "high": "98.70"}),
    ],
)
def test_filter_that_denies_tells_the_numbers_it_compared(
    changes: dict[str, object], code: str, numbers: dict[str, str]
) -> None:
    assert approve_entry(instrument(), replace(PLAN, **changes)) == Denied(DenialCode(code), numbers)


def test_filter_exactly_at_its_limits_approves() -> None:
    assert not isinstance(approve_entry(instrument(), replace(PLAN, quantity=D("0.05"))), Denied)
    edge = replace(PLAN, price=D("105.00"), mark_price=D(100))
    assert not isinstance(approve_entry(instrument(), edge), Denied)
    assert not isinstance(approve_entry(instrument(), replace(PLAN, stop_price=D(1))), Denied)


def test_entry_order_is_the_plan_on_the_lot_grid() -> None:
    assert approve_entry(instrument(), replace(PLAN, quantity=D("1.2349"))).order == OrderRequest(  # type: ignore[union-attr]
        symbol=BTC,
        side=Side.BUY,
        position_side=PositionSide.BOTH,
        type=OrderType.MARKET,
        quantity=D("1.234"),
        client_order_id="ft-1-1-E0",
        leg=Leg.ENTRY,
    )


def test_protective_order_is_triggered_by_the_contract_price_and_closes_all() -> None:
    approved = protective_order(BTC, Direction.LONG, PositionSide.LONG, Leg.TARGET, D(102), "ft-1-1-T0")
    assert approved.order == AlgoOrderRequest(
        symbol=BTC,
        side=Side.SELL,
        position_side=PositionSide.LONG,
        type=OrderType.TAKE_PROFIT_MARKET,
        trigger_price=D(102),
        client_order_id="ft-1-1-T0",
        leg=Leg.TARGET,
        close_position=True,
        working_type=WorkingType.CONTRACT_PRICE,
    )


def test_market_close_is_rounded_to_the_lots_of_market_orders() -> None:
    coarse = instrument(market_step_size=D("0.01"))
    approved = market_close(coarse, Direction.LONG, PositionSide.BOTH, D("1.239"), "ft-1-1-C0")
    assert approved.order == OrderRequest(
        symbol=BTC,
        side=Side.SELL,
        position_side=PositionSide.BOTH,
        type=OrderType.MARKET,
        quantity=D("1.23"),
        client_order_id="ft-1-1-C0",
        leg=Leg.CLOSE,
        reduce_only=True,
    )


def test_band_close_is_rounded_to_the_lots_of_limit_orders_and_keeps_its_side() -> None:
    coarse = instrument(market_step_size=D("0.01"))
    order = band_close(coarse, Direction.SHORT, PositionSide.SHORT, D("1.239"), D(100), "ft-1-1-C1").order
    assert (order.symbol, order.quantity, order.position_side, order.leg) == (
        BTC,
        D("1.239"),
        PositionSide.SHORT,
        Leg.CLOSE,
    )


def test_close_of_a_fraction_of_a_lot_above_zero_is_rounded_not_passed_through() -> None:
    order = market_close(instrument(), Direction.LONG, PositionSide.BOTH, D("0.9999"), "ft-1-1-C0").order
    assert order.quantity == D("0.999")
