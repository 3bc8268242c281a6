"""Lifecycle table, sizing, filters, guards, halts, days, marks: the small pure parts, branch by branch."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from core.enums import (
    Direction,
    Leg,
    LiquiditySide,
    MarginType,
    OrderType,
    PositionMode,
    PositionSide,
    Side,
    SymbolStatus,
    TimeInForce,
)
from core.errors import IllegalTransition
from core.events import MarkPriceUpdated, PriceUpdated
from core.limits import RiskLimits, SizingPolicy, StrategyLimits, SymbolLimits
from core.orders import Approved, FillReport, LeverageBracket
from core.records import HaltRecord, TradeState
from executor.days import DayLedger, utc_day
from executor.denials import DenialCode, Denied, limit_scope
from executor.filters import (
    EntryPlan,
    approve_entry,
    band_close,
    market_close,
    position_side_for,
    protective_order,
    stop_trigger_price,
    target_trigger_price,
)
from executor.halts import Halts
from executor.lifecycle import TERMINAL, TRANSITIONS, TradeEvent, next_state
from executor.marks import Market, MoveWindow, SymbolMarket
from executor.risk import EntryView, OrderView, check_entry, check_order, guard_drawdown, liquidation_price
from executor.sizing import Sized, SizingInput, bracket_notional_cap, risk_budget, size_entry
from executor.trade import Trade
from tests.unit.executor.lab import BTC, bare_trade, instrument

D = Decimal

# --- lifecycle ------------------------------------------------------------------------------------------------


def test_lifecycle_pair_outside_the_table_raises() -> None:
    for state in TradeState:
        for event in TradeEvent:
            if (state, event) not in TRANSITIONS:
                with pytest.raises(IllegalTransition, match=state.value):
                    next_state(state, event)


def test_lifecycle_closed_is_final_and_refused_only_revives_by_a_fill() -> None:
    leaving = {(s, e) for s, e in TRANSITIONS if s in TERMINAL}
    assert leaving == {
        (TradeState.REFUSED, TradeEvent.PARTLY_FILLED),
        (TradeState.REFUSED, TradeEvent.ENTRY_COMPLETE),
    }


def test_lifecycle_every_state_is_reachable_and_every_open_one_can_end() -> None:
    reached = {TradeState.INTENT}
    for _ in TradeState:
        reached |= {TRANSITIONS[s, e] for s, e in TRANSITIONS if s in reached}
    assert reached == set(TradeState)
    ending = set(TERMINAL)
    for _ in TradeState:
        ending |= {s for s, e in TRANSITIONS if TRANSITIONS[s, e] in ending}
    assert ending == set(TradeState)


# --- sizing ---------------------------------------------------------------------------------------------------


def sizing_input(**changes: object) -> SizingInput:
    base = SizingInput(
        direction=Direction.LONG,
        price=D(100),
        stop_price=D(99),
        equity=D(10_000),
        available=D(10_000),
        taker_fee_rate=D("0.0005"),
        leverage=5,
        brackets=(),
        symbol_exposure=D(0),
        total_exposure=D(0),
        max_position_notional=D(1_000_000),
        max_exposure_fraction=D(100),
        max_total_exposure_fraction=None,
    )
    return replace(base, **changes)


def bracket(leverage: int, floor: int, cap: int, mmr: str = "0.004", cum: str = "0") -> LeverageBracket:
    return LeverageBracket(1, leverage, D(floor), D(cap), D(mmr), D(cum))


def test_size_when_fixed_risk_loses_exactly_the_budget_at_the_stop() -> None:
    sized = size_entry(SizingPolicy(risk_usd=D(10), slippage_fraction=D("0.0005")), sizing_input())
    assert isinstance(sized, Sized)
    loss = sized.quantity * (1 + D(199) * D("0.001"))
    assert abs(loss - 10) < D("1e-20")
    assert sized.bound_by == "risk"


def test_size_when_percent_of_equity_scales_with_equity() -> None:
    policy = SizingPolicy(risk_usd=None, risk_percent=D(1))
    assert risk_budget(policy, D(10_000)) == 100
    assert risk_budget(SizingPolicy(risk_usd=None), D(10_000)) == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"stop_price": D(101)}, DenialCode.STOP_WRONG_SIDE),
        ({"stop_price": D(100)}, DenialCode.STOP_WRONG_SIDE),
        ({"direction": Direction.SHORT}, DenialCode.STOP_WRONG_SIDE),
        ({"max_position_notional": D(0)}, DenialCode.MAX_POSITION_NOTIONAL),
        ({"symbol_exposure": D(2), "max_exposure_fraction": D("0.0002")}, DenialCode.SYMBOL_EXPOSURE),
        ({"available": D(0)}, DenialCode.MARGIN_INSUFFICIENT),
        ({"max_total_exposure_fraction": D(1), "total_exposure": D(10_000)}, DenialCode.TOTAL_EXPOSURE),
        ({"brackets": (bracket(4, 0, 1000),)}, DenialCode.LEVERAGE_BRACKET),
    ],
)
def test_size_when_no_room_is_left_names_the_limit(changes: dict[str, object], code: DenialCode) -> None:
    result = size_entry(SizingPolicy(), sizing_input(**changes))
    assert isinstance(result, Denied)
    assert result.code is code
    assert result.context


def test_size_when_budget_is_zero_is_denied() -> None:
    result = size_entry(SizingPolicy(risk_usd=D(0)), sizing_input())
    assert isinstance(result, Denied)
    assert result.code is DenialCode.NO_RISK_BUDGET


@pytest.mark.parametrize(
    ("changes", "bound_by", "notional"),
    [
        ({"max_position_notional": D(50)}, "max_position_notional", D(50)),
        ({"max_exposure_fraction": D("0.004")}, "symbol_exposure", D(40)),
        ({"max_total_exposure_fraction": D("0.003")}, "total_exposure", D(30)),
        ({"brackets": (bracket(10, 0, 20), bracket(5, 20, 60), bracket(2, 60, 999))}, "leverage_bracket", D(60)),
        ({"available": D(10)}, "margin_insufficient", D("9.5") / D("0.201")),
    ],
)
def test_size_when_a_cap_is_tighter_takes_the_cap(changes: dict[str, object], bound_by: str, notional: Decimal) -> None:
    sized = size_entry(SizingPolicy(risk_usd=D(1000)), sizing_input(**changes))
    assert isinstance(sized, Sized)
    assert sized.bound_by == bound_by
    assert abs(sized.quantity * 100 - notional) < D("1e-20")


def test_bracket_cap_when_ladder_is_unknown_is_none() -> None:
    assert bracket_notional_cap((), 5) is None


# --- filters --------------------------------------------------------------------------------------------------


def plan(**changes: object) -> EntryPlan:
    base = EntryPlan(
        side=Side.BUY,
        position_side=PositionSide.BOTH,
        quantity=D("1.23456"),
        price=D(100),
        mark_price=D(100),
        stop_price=D(99),
        client_order_id="ft-1-1-E0",
    )
    return replace(base, **changes)


def test_entry_when_it_fits_is_rounded_down_to_the_lot() -> None:
    approved = approve_entry(instrument(), plan())
    assert isinstance(approved, Approved)
    assert approved.order.quantity == D("1.234")
    assert approved.order.type is OrderType.MARKET
    assert not approved.order.reduce_only


def test_entry_when_larger_than_the_largest_market_order_is_cut() -> None:
    approved = approve_entry(instrument(), plan(quantity=D(5_000)))
    assert isinstance(approved, Approved)
    assert approved.order.quantity == 120


HEDGE = {"position_side": PositionSide.LONG}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"quantity": D("0.0009")}, DenialCode.QUANTITY_TOO_SMALL),
        ({"quantity": D("0.04")}, DenialCode.NOTIONAL_TOO_SMALL),
        ({"quantity": D("0.0505"), "mark_price": D(98), "stop_price": D(97)}, DenialCode.NOTIONAL_TOO_SMALL),
        ({"quantity": D("1"), "smallest_exit_fraction": D("0.0001")}, DenialCode.QUANTITY_TOO_SMALL),
        ({**HEDGE, "quantity": D("0.1"), "smallest_exit_fraction": D("0.1")}, DenialCode.NOTIONAL_TOO_SMALL),
        ({**HEDGE, "quantity": D("0.05"), "stop_price": D(96)}, DenialCode.NOTIONAL_TOO_SMALL),
        ({"price": D(2_000_000), "mark_price": D(2_000_000)}, DenialCode.PRICE_OUT_OF_RANGE),
        ({"stop_price": D("0.5")}, DenialCode.PRICE_OUT_OF_RANGE),
        ({"mark_price": D(94)}, DenialCode.PRICE_OUT_OF_BAND),
        ({"mark_price": D(106)}, DenialCode.PRICE_OUT_OF_BAND),
    ],
)
def test_entry_when_a_filter_refuses_names_it(changes: dict[str, object], code: DenialCode) -> None:
    result = approve_entry(instrument(), plan(**changes))
    assert isinstance(result, Denied)
    assert result.code is code


EXACT = instrument(market_min_quantity=D("0.05"), min_quantity=D("0.05"), min_price=D(99), max_price=D(100))


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": D("0.05")},
        {"quantity": D("0.1"), "smallest_exit_fraction": D("0.5")},
        {"mark_price": D(100) / D("1.05")},
        {"mark_price": D(100) / D("0.95")},
    ],
    ids=["quantity-and-notional", "part", "upper-band", "lower-band"],
)
def test_entry_exactly_on_a_filter_is_approved(changes: dict[str, object]) -> None:
    assert isinstance(approve_entry(EXACT, plan(**changes)), Approved)


def test_entry_exactly_at_the_exit_s_minimum_in_hedge_mode_is_approved() -> None:
    assert isinstance(approve_entry(instrument(), plan(**HEDGE, quantity=D("0.08"), stop_price=D("62.5"))), Approved)
    assert isinstance(approve_entry(instrument(), plan(**HEDGE, quantity=D("0.079"), stop_price=D("62.5"))), Denied)


def test_entry_is_cut_to_the_smaller_maximum_on_the_grid_of_market_orders() -> None:
    coarse = instrument(max_quantity=D("50.555"), step_size=D("0.001"), market_step_size=D("0.5"))
    approved = approve_entry(coarse, plan(quantity=D(5_000)))
    assert isinstance(approved, Approved)
    assert approved.order.quantity == D("50.5")
    in_parts = approve_entry(coarse, plan(quantity=D(1), smallest_exit_fraction=D("0.4")))
    assert isinstance(in_parts, Denied)
    assert in_parts.context["exit_quantity"] == "0.0"


def test_refused_price_is_named() -> None:
    result = approve_entry(instrument(), plan(price=D(2_000_000), mark_price=D(2_000_000)))
    assert isinstance(result, Denied)
    assert result.context == {"price": "2000000", "min_price": "1", "max_price": "1000000"}


def test_trigger_price_on_an_end_of_the_range_stays() -> None:
    assert stop_trigger_price(EXACT, D(99), Direction.LONG) == 99
    assert target_trigger_price(EXACT, D(100), Direction.LONG) == 100


def test_entry_in_hedge_mode_that_reaches_the_minimum_everywhere_is_approved() -> None:
    assert isinstance(approve_entry(instrument(), plan(**HEDGE)), Approved)


def test_position_side_follows_the_mode() -> None:
    assert position_side_for(Direction.LONG, PositionMode.ONEWAY) is PositionSide.BOTH
    assert position_side_for(Direction.SHORT, PositionMode.HEDGE) is PositionSide.SHORT


@pytest.mark.parametrize(
    ("direction", "stop", "target"),
    [(Direction.LONG, D("99.8"), D("100.3")), (Direction.SHORT, D("99.7"), D("100.4"))],
)
def test_trigger_prices_round_towards_the_entry(direction: Direction, stop: Decimal, target: Decimal) -> None:
    assert stop_trigger_price(instrument(), D("99.75"), direction) == stop
    assert target_trigger_price(instrument(), D("100.35"), direction) == target


def test_trigger_price_outside_the_range_is_clamped() -> None:
    assert stop_trigger_price(instrument(), D("0.01"), Direction.LONG) == 1
    assert target_trigger_price(instrument(), D(9_999_999), Direction.LONG) == 1_000_000


def test_protective_orders_close_the_position_without_quantity() -> None:
    for leg, kind in ((Leg.STOP, OrderType.STOP_MARKET), (Leg.TARGET, OrderType.TAKE_PROFIT_MARKET)):
        order = protective_order(BTC, Direction.SHORT, PositionSide.BOTH, leg, D(101), "ft-1-1-S0").order
        assert (order.type, order.side, order.close_position, order.quantity) == (kind, Side.BUY, True, None)
        assert not order.reduce_only


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [(D("1.2345"), D("1.234")), (D(500), D(120)), (D("0.0004"), D("0.0004"))],
)
def test_market_close_never_denies(quantity: Decimal, expected: Decimal) -> None:
    order = market_close(instrument(), Direction.LONG, PositionSide.BOTH, quantity, "ft-1-1-C0").order
    assert (order.quantity, order.side, order.reduce_only) == (expected, Side.SELL, True)


def test_market_close_in_hedge_mode_carries_no_reduce_only() -> None:
    order = market_close(instrument(), Direction.SHORT, PositionSide.SHORT, D(1), "ft-1-1-C0").order
    assert (order.side, order.position_side, order.reduce_only) == (Side.BUY, PositionSide.SHORT, False)


@pytest.mark.parametrize(("direction", "price"), [(Direction.LONG, D("95.3")), (Direction.SHORT, D("104.7"))])
def test_band_close_sits_just_inside_the_edge_of_the_band(direction: Direction, price: Decimal) -> None:
    order = band_close(instrument(), direction, PositionSide.BOTH, D(1), D("100.03"), "ft-1-1-C1").order
    assert (order.price, order.time_in_force, order.reduce_only) == (price, TimeInForce.IOC, True)


# --- guards ---------------------------------------------------------------------------------------------------

LIMITS = RiskLimits(
    max_daily_loss=D(100),
    max_strategy_daily_loss=D(50),
    max_consecutive_losses=3,
    funding_window_before_ms=60_000,
    funding_window_after_ms=30_000,
)
SYMBOL = SymbolLimits(BTC, max_daily_quantity=D(10), max_position_notional=D(5_000), max_daily_loss=D(30))
NONE_LIMITS = RiskLimits(
    max_total_exposure_fraction=None,
    max_open_positions=None,
    max_daily_loss=None,
    max_daily_loss_fraction=None,
    max_drawdown_fraction=None,
    min_balance=None,
)


def entry_view(**changes: object) -> EntryView:
    base = EntryView(
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
    return replace(base, **changes)


def test_guards_when_all_is_well_pass() -> None:
    assert check_entry(entry_view(), LIMITS, SYMBOL) is None
    assert check_entry(entry_view(), NONE_LIMITS, SYMBOL) is None
    assert check_entry(entry_view(next_funding_time_ms=2_000_000, last_funding_time_ms=1), LIMITS, SYMBOL) is None
    assert check_entry(entry_view(target_price=None, peak_equity=D(0)), LIMITS, SYMBOL) is None
    short = entry_view(direction=Direction.SHORT, stop_price=D(101), target_price=D(98))
    assert check_entry(short, LIMITS, SYMBOL) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"is_stopping": True}, DenialCode.STOPPING),
        ({"is_lease_lost": True}, DenialCode.LEASE_LOST),
        ({"is_degraded": True}, DenialCode.DEGRADED),
        ({"is_duplicate": True}, DenialCode.SIGNAL_DUPLICATE),
        ({"signal_age_ms": 60_001}, DenialCode.SIGNAL_STALE),
        ({"is_reconciled": False}, DenialCode.NOT_RECONCILED),
        ({"streams_ready": False}, DenialCode.STREAM_DOWN),
        ({"clock_offset_ms": None}, DenialCode.CLOCK_OFFSET),
        ({"clock_offset_ms": -1_001}, DenialCode.CLOCK_OFFSET),
        ({"blocked_reason": "foreign"}, DenialCode.SYMBOL_BLOCKED),
        ({"symbol_status": SymbolStatus.SETTLING}, DenialCode.SYMBOL_NOT_TRADING),
        ({"halt_reason": "volatility"}, DenialCode.HALTED),
        ({"has_position": True}, DenialCode.POSITION_OPEN),
        ({"has_unresolved_order": True}, DenialCode.ORDER_UNRESOLVED),
        ({"price": None}, DenialCode.STALE_DATA),
        ({"price_age_ms": None}, DenialCode.STALE_DATA),
        ({"price_age_ms": 15_001}, DenialCode.STALE_DATA),
        ({"next_funding_time_ms": 1_059_999}, DenialCode.FUNDING_WINDOW),
        ({"last_funding_time_ms": 970_001}, DenialCode.FUNDING_WINDOW),
        ({"stop_price": None}, DenialCode.STOP_MISSING),
        ({"stop_price": D(100)}, DenialCode.STOP_WRONG_SIDE),
        ({"stop_price": D("99.96")}, DenialCode.STOP_TOO_CLOSE),
        ({"target_price": D(100)}, DenialCode.TARGET_WRONG_SIDE),
        ({"equity": None}, DenialCode.EQUITY_UNKNOWN),
        ({"equity": D(49)}, DenialCode.MIN_BALANCE),
        ({"day_net_pnl": D(-100)}, DenialCode.DAILY_LOSS),
        ({"day_net_pnl": D(-60), "unrealized_pnl": D(-40)}, DenialCode.DAILY_LOSS),
        ({"day_net_pnl": D(-60), "day_start_equity": D(1000)}, DenialCode.DAILY_LOSS),
        ({"strategy_day_net_pnl": D(-50)}, DenialCode.STRATEGY_DAILY_LOSS),
        (
            {"strategy_day_net_pnl": D(-20), "strategy_limits": StrategyLimits(max_daily_loss=D(20))},
            DenialCode.STRATEGY_DAILY_LOSS,
        ),
        ({"symbol_day_net_pnl": D(-30)}, DenialCode.SYMBOL_DAILY_LOSS),
        ({"equity": D(8_000)}, DenialCode.DRAWDOWN),
        ({"consecutive_losses": 3}, DenialCode.CONSECUTIVE_LOSSES),
        ({"open_positions": 10}, DenialCode.MAX_OPEN_POSITIONS),
    ],
)
def test_guard_when_its_limit_is_passed_denies_with_its_code(changes: dict[str, object], code: DenialCode) -> None:
    result = check_entry(entry_view(**changes), LIMITS, SYMBOL)
    assert result is not None
    assert result.code is code


@pytest.mark.parametrize(
    "changes",
    [
        {"signal_age_ms": 60_000},
        {"clock_offset_ms": 1_000},
        {"price_age_ms": 15_000},
        {"next_funding_time_ms": 1_060_000},
        {"next_funding_time_ms": 999_999},
        {"last_funding_time_ms": 970_000},
        {"stop_price": D("99.95")},
        {"equity": D("8000.01")},
        {"day_net_pnl": D("-99.99")},
        {"unrealized_pnl": D(500), "day_net_pnl": D(-99)},
        {"strategy_day_net_pnl": D("-49.99")},
        {"consecutive_losses": 2},
        {"open_positions": 9},
    ],
)
def test_guard_on_its_limit_passes(changes: dict[str, object]) -> None:
    assert check_entry(entry_view(**changes), LIMITS, SYMBOL) is None


def order_view(**changes: object) -> OrderView:
    base = OrderView(
        direction=Direction.LONG,
        price=D(100),
        stop_price=D(99),
        quantity=D(10),
        equity=D(10_000),
        margin_available=D(10_000),
        leverage=5,
        margin_type=MarginType.ISOLATED,
        brackets=(bracket(20, 0, 50_000),),
        symbol_exposure=D(0),
        total_exposure=D(0),
        strategy_day_quantity=D(0),
    )
    return replace(base, **changes)


def test_order_guards_when_all_is_well_pass() -> None:
    assert check_order(order_view(), LIMITS, SYMBOL) is None
    assert check_order(order_view(brackets=()), NONE_LIMITS, SymbolLimits(BTC)) is None
    assert check_order(order_view(leverage=1, margin_type=MarginType.CROSSED), LIMITS, SYMBOL) is None
    assert check_order(order_view(direction=Direction.SHORT, stop_price=D(101)), LIMITS, SYMBOL) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol_exposure": D(4_001)}, DenialCode.MAX_POSITION_NOTIONAL),
        ({"symbol_exposure": D(1_501)}, DenialCode.SYMBOL_EXPOSURE),
        ({"total_exposure": D(19_001)}, DenialCode.TOTAL_EXPOSURE),
        ({"strategy_day_quantity": D("0.001")}, DenialCode.DAILY_QUANTITY),
        ({"strategy_limits": StrategyLimits(max_daily_quantity=D("9.9"))}, DenialCode.DAILY_QUANTITY),
        ({"leverage": 100}, DenialCode.LIQUIDATION_TOO_CLOSE),
        ({"leverage": 100, "direction": Direction.SHORT, "stop_price": D(101)}, DenialCode.LIQUIDATION_TOO_CLOSE),
    ],
)
def test_order_guard_when_its_limit_is_passed_denies(changes: dict[str, object], code: DenialCode) -> None:
    result = check_order(order_view(**changes), LIMITS, SYMBOL)
    assert result is not None
    assert result.code is code


def test_liquidation_price_follows_the_published_formula() -> None:
    view = order_view(brackets=(bracket(20, 0, 50_000, mmr="0.005", cum="3"),))
    # LP = (WB + cum - qEP) / (q mmr - q) with WB = 1000 / 5
    assert liquidation_price(view) == (D(200) + 3 - 1000) / (D(10) * D("0.005") - 10)
    short = replace(view, direction=Direction.SHORT)
    assert liquidation_price(short) == (D(200) + 3 + 1000) / (D(10) * D("0.005") + 10)
    assert liquidation_price(replace(view, quantity=D(0))) is None
    assert liquidation_price(replace(view, margin_type=MarginType.CROSSED)) is None


def test_limit_scope_names_whose_limit_a_denial_tells_of() -> None:
    assert limit_scope(DenialCode.DRAWDOWN, "vwap", BTC) == ""
    assert limit_scope(DenialCode.STRATEGY_DAILY_LOSS, "vwap", BTC) == "vwap"
    assert limit_scope(DenialCode.SYMBOL_EXPOSURE, "vwap", BTC) == BTC
    assert limit_scope(DenialCode.STALE_DATA, "vwap", BTC) is None


def test_drawdown_is_not_judged_while_equity_is_unknown() -> None:
    assert guard_drawdown(entry_view(equity=None), LIMITS, SYMBOL) is None


def test_losses_in_a_row_are_forgotten_at_the_start_of_a_day() -> None:
    days = DayLedger((), consecutive_losses=4)
    days.roll(86_400_000)
    assert days.consecutive_losses == 4
    days.roll(2 * 86_400_000)
    assert days.consecutive_losses == 0


# --- halts, days, marks ---------------------------------------------------------------------------------------


def test_halts_block_their_scope_once_and_are_lifted() -> None:
    halts = Halts([HaltRecord(BTC, "old", False, "", 0)])
    assert halts.blocking(BTC) is None
    first = halts.raise_halt(BTC, "volatility", "x", 10, until_ms=20)
    assert first is not None
    assert halts.raise_halt(BTC, "volatility", "x", 11) is None
    assert halts.blocking(BTC) == first
    assert halts.blocking("ETHUSDT") is None
    everything = halts.raise_halt("*", "kill", "x", 12)
    assert halts.blocking("ETHUSDT") == everything == halts.blocking(BTC)
    assert halts.next_end_ms() == 20
    assert halts.expire(19) == []
    assert [record.active for record in halts.expire(20)] == [False]
    assert halts.lift("*", "nothing") is None
    assert halts.lift("*", "kill") == replace(everything, active=False) if everything else False
    assert halts.active() == ()


def test_day_ledger_rolls_at_midnight_utc() -> None:
    ledger = DayLedger()
    noon = 1_760_054_400_000
    assert ledger.roll(noon)
    assert not ledger.roll(noon + 1)
    trade = _closed_trade(D(-5))
    ledger.closed(trade, noon)
    assert ledger.net_pnl() == D(-5) == ledger.strategy_net_pnl("vwap")
    assert ledger.strategy_net_pnl("other") == 0
    assert ledger.consecutive_losses == 1
    ledger.closed(_closed_trade(D(3)), noon)
    assert ledger.consecutive_losses == 0
    assert ledger.roll(noon + 86_400_000)
    assert ledger.net_pnl() == 0
    assert utc_day(noon) == "2025-10-10"


def _closed_trade(pnl: Decimal) -> Trade:
    trade = bare_trade()
    trade.realized_pnl = pnl
    return trade


def test_trade_books_fee_of_another_asset_without_mixing_it_in() -> None:
    trade = _closed_trade(D(0))
    fill = FillReport(
        symbol=BTC,
        trade_id=1,
        venue_order_id=1,
        client_order_id="web",
        side=Side.BUY,
        position_side=PositionSide.BOTH,
        price=D(100),
        quantity=D(1),
        fee=D("0.001"),
        fee_asset="BNB",
        realized_pnl=D(0),
        liquidity_side=LiquiditySide.TAKER,
        event_time_ms=5,
    )
    record = trade.book(fill, None, 5)
    assert trade.fees == 0
    assert record.fee_asset == "BNB"
    assert trade.leaves == 1
    assert trade.entry_price == 100


def test_move_window_forgets_what_is_older() -> None:
    window = MoveWindow(5_000)
    assert window.push(0, D(100)) == 0
    assert window.push(4_000, D(101)) == 1
    assert window.push(5_000, D(102)) == 2
    assert window.push(9_001, D(102)) == 0
    assert window.push(9_002, D(99)) == D(3) * 100 / 99


def test_move_window_keeps_what_is_exactly_as_old_as_it_is_long() -> None:
    window = MoveWindow(5_000)
    window.push(0, D(110))
    assert window.push(5_000, D(100)) == 10
    assert window.push(5_001, D(100)) == 0


def test_market_of_a_symbol_has_its_own_window_and_the_usual_one_else() -> None:
    market = Market({BTC: 3_000})
    assert (market.of(BTC).window.window_ms, market.of("ETHUSDT").window.window_ms) == (3_000, 5_000)
    assert market.of(BTC) is market.of(BTC)


def test_market_keeps_what_a_mark_says() -> None:
    market = SymbolMarket(5_000)
    assert (market.index_price, market.mark_received_ms, market.last_event_ms) == (None, None, 0)
    market.on_mark(MarkPriceUpdated(BTC, D(101), D(100), D(0), 50, 12, 13))
    assert (market.index_price, market.mark_received_ms) == (100, 13)
    market.on_mark(MarkPriceUpdated(BTC, D(101), D(100), D(0), 50, 14, 15))
    assert market.last_funding_time_ms is None, "the same funding is still to come"


def test_market_ignores_older_prices_and_falls_back() -> None:
    market = SymbolMarket(5_000)
    assert market.valuation_price is None
    assert market.price_age_ms(5) is None
    market.on_price(PriceUpdated(BTC, D(100), 10, 10))
    market.on_price(PriceUpdated(BTC, D(90), 9, 11))
    assert market.trading_price == market.valuation_price == 100
    market.on_mark(MarkPriceUpdated(BTC, D(101), D(101), D(0), 50, 12, 12))
    assert market.valuation_price == 101
    market.on_mark(MarkPriceUpdated(BTC, D(102), D(101), D(0), 90, 60, 60))
    assert market.last_funding_time_ms == 50
