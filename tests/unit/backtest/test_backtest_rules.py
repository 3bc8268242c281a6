"""Each rule of docs/backtest.md on hand-made candles: entry at 100, stop 1 % and target 2 % away unless said."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from backtest.replay import ReplayResult
from backtest.run import replay as run_replay
from backtest.settings import BothHitRule, ReplaySettings
from backtest.trades import BacktestTrade
from core.enums import Direction, PositionMode
from core.errors import ConfigurationError
from core.limits import RiskLimits, StrategyLimits
from simulator.market.model import FundingPoint
from tests.unit.backtest.support import FLAT, LONG, SHORT, START_MS, candles_of, config_of, enter, play, told

D = Decimal
MINUTE_MS = 60_000


def only(result: ReplayResult) -> BacktestTrade:
    assert len(result.trades) == 1
    return result.trades[0]


def at(minute: int) -> int:
    return START_MS + minute * MINUTE_MS


def test_decision_at_close_fills_at_next_open_not_at_close() -> None:
    trade = only(play([("99", "101", "99", "101"), ("100", "100", "100", "100"), FLAT], {0: LONG}))
    assert (trade.signal_time_ms, trade.entry_time_ms) == (at(1) - 1, at(1))
    assert trade.entry_price == D(100)


def test_decision_on_last_candle_never_fills() -> None:
    result = play([FLAT, FLAT], {1: LONG})
    assert result.trades == ()
    assert result.wallet == result.deposit


def test_entry_pays_slippage_rounded_against_it() -> None:
    trade = only(play([FLAT, FLAT, FLAT], {0: LONG}, slippage_bps=D("1.5")))
    assert trade.entry_price == D("100.02")
    short = only(play([FLAT, FLAT, FLAT], {0: SHORT}, slippage_bps=D("1.5")))
    assert short.entry_price == D("99.98")


def test_stop_and_target_are_measured_from_the_actual_entry() -> None:
    trade = only(play([FLAT, ("110", "110", "110", "110"), ("110", "113", "110", "112.2")], {0: LONG}))
    assert trade.exit_price == D("112.2")


@pytest.mark.parametrize(
    ("plan", "bar", "price", "reason"),
    [
        (LONG, ("100", "100.5", "99", "100"), "99", "stop"),
        (LONG, ("100", "102", "99.5", "100"), "102", "target"),
        (SHORT, ("100", "101", "99.5", "100"), "101", "stop"),
        (SHORT, ("100", "100.5", "98", "100"), "98", "target"),
    ],
)
def test_touch_counts_already_in_the_entry_candle(plan, bar, price, reason) -> None:
    trade = only(play([FLAT, bar, FLAT], {0: plan}))
    assert (trade.exit_price, trade.exit_reason) == (D(price), reason)
    assert trade.entry_time_ms == trade.exit_time_ms == at(1)


@pytest.mark.parametrize(
    ("plan", "bar"),
    [(LONG, ("100", "101.99", "99.01", "100")), (SHORT, ("100", "100.99", "98.01", "100"))],
)
def test_one_tick_short_of_a_level_is_no_touch(plan, bar) -> None:
    trade = only(play([FLAT, bar, bar, bar], {0: plan}))
    assert not trade.is_closed


@pytest.mark.parametrize(
    ("plan", "open_", "reason"),
    [(LONG, "95", "stop"), (LONG, "105", "target"), (SHORT, "105", "stop"), (SHORT, "95", "target")],
)
def test_open_beyond_a_level_fills_at_the_open(plan, open_, reason) -> None:
    trade = only(play([FLAT, FLAT, (open_, "106", "94", open_), FLAT], {0: plan}))
    assert (trade.exit_price, trade.exit_reason, trade.ambiguous) == (D(open_), reason, False)
    assert trade.exit_time_ms == at(2)


BOTH = ("100", "103", "98", "100")


@pytest.mark.parametrize(
    ("plan", "rule", "price", "reason"),
    [
        (LONG, BothHitRule.SL_FIRST, "99", "stop"),
        (LONG, BothHitRule.TP_FIRST, "102", "target"),
        (SHORT, BothHitRule.SL_FIRST, "101", "stop"),
        (SHORT, BothHitRule.TP_FIRST, "98", "target"),
    ],
)
@pytest.mark.parametrize("bars_before", [[], [FLAT]])
def test_both_levels_in_one_candle_follow_the_rule_and_are_counted(plan, rule, price, reason, bars_before) -> None:
    result = play([FLAT, *bars_before, BOTH, FLAT], {0: plan}, both_hit_rule=rule)
    trade = only(result)
    assert (trade.exit_price, trade.exit_reason, trade.ambiguous) == (D(price), reason, True)
    assert result.ambiguous_exits == 1


def test_exit_candle_may_signal_again_at_its_close() -> None:
    result = play([FLAT, ("100", "102", "100", "100"), FLAT, FLAT], {0: LONG, 1: SHORT})
    assert [trade.direction for trade in result.trades] == [Direction.LONG, Direction.SHORT]
    assert result.trades[1].entry_time_ms == at(2)


def test_signal_while_in_a_trade_is_skipped_and_counted() -> None:
    result = play([FLAT] * 5, {0: LONG, 1: SHORT, 2: LONG})
    assert len(result.trades) == 1
    assert (result.signals, result.skipped) == (1, 2)


def test_fees_are_taker_fees_of_both_fills() -> None:
    result = play([FLAT, ("100", "102", "100", "100"), FLAT], {0: LONG})
    trade = only(result)
    assert trade.fee == D("0.202")
    assert trade.pnl == D(2) - D("0.202")
    assert result.wallet == D(10_000) + trade.pnl


def test_contract_fee_counts_without_override() -> None:
    trade = only(play([FLAT, ("100", "102", "100", "100"), FLAT], {0: LONG}, fee_rate=None))
    assert trade.fee == D(202) * D("0.0005")


def test_slippage_of_exits_is_lost_and_told() -> None:
    trade = only(play([FLAT, ("100", "100", "98", "100"), FLAT], {0: LONG}, slippage_bps=D(10), fee_rate=D(0)))
    assert trade.entry_price == D("100.10")
    assert trade.stop_price == D("99.10")
    assert trade.exit_price == D("99.00")  # 99.10 less 10 bps is 99.0009, rounded down
    assert trade.slippage == D("0.20")


def test_holding_time_ends_a_trade_at_the_open_of_its_minute() -> None:
    bars = [FLAT, FLAT, FLAT, ("100.5", "101", "100", "100.7"), FLAT]
    trade = only(play(bars, {0: LONG}, params={"max_holding_minutes": 2}))
    assert (trade.exit_price, trade.exit_time_ms, trade.exit_reason) == (D("100.5"), at(3), "max_holding")


def test_funding_is_paid_by_longs_on_the_recorded_mark_price() -> None:
    points = {"ETHUSDT": (FundingPoint(at(2), D("0.0001"), D("101")), FundingPoint(at(9), D("0.0001"), D(0)))}
    result = play([FLAT, FLAT, FLAT, ("100", "102", "100", "100"), FLAT], {0: LONG}, funding=points)
    trade = only(result)
    assert trade.funding == -D(101) * D("0.0001")
    assert trade.pnl == D(2) - trade.fee + trade.funding


def test_funding_is_earned_by_shorts_on_the_open_when_no_mark_is_known() -> None:
    points = {"ETHUSDT": (FundingPoint(at(2), D("0.0001"), D(0)),)}
    trade = only(play([FLAT, FLAT, ("100.4", "100.4", "100.4", "100.4"), FLAT], {0: SHORT}, funding=points))
    assert trade.funding == D("0.01004")
    assert not trade.is_closed


def test_trade_entered_at_the_funding_instant_does_not_pay() -> None:
    points = {"ETHUSDT": (FundingPoint(at(1), D("0.0001"), D(0)),)}
    assert only(play([FLAT, FLAT, FLAT], {0: LONG}, funding=points)).funding == 0


@pytest.mark.parametrize(
    ("decided", "denials"),
    [(1, {}), (2, {"funding_window": 1}), (3, {"funding_window": 1}), (4, {"funding_window": 1}), (5, {})],
)
def test_entries_around_known_funding_are_held_back_as_in_live_trading(decided: int, denials: dict[str, int]) -> None:
    # Funding at minute 4; candle 1 closes two minutes before it, candle 4 a minute after it: at the windows' edges.
    points = {"ETHUSDT": (FundingPoint(at(4), D("0.0001"), D(0)),)}
    windows = RiskLimits(
        max_total_exposure_fraction=None, funding_window_before_ms=120_000, funding_window_after_ms=60_001
    )
    config = config_of("ETHUSDT", limits=windows)
    result = play([FLAT] * 8, {decided: LONG}, config=config, funding=points)
    assert (result.denials, len(result.trades)) == (denials, 0 if denials else 1)
    assert not play([FLAT] * 8, {decided: LONG}, config=config).denials, "nothing is known of funding"
    assert not play([FLAT] * 8, {decided: LONG}, config=config, funding=points, has_risk=False).denials


def test_windows_around_each_funding_follow_one_another_without_any_signal_between() -> None:
    points = {"ETHUSDT": tuple(FundingPoint(at(minute), D("0.0001"), D(0)) for minute in (2, 4, 6))}
    windows = RiskLimits(max_total_exposure_fraction=None, funding_window_after_ms=60_001)
    config = config_of("ETHUSDT", limits=windows)
    assert play([FLAT] * 9, {6: LONG}, config=config, funding=points).denials == {"funding_window": 1}
    assert not play([FLAT] * 9, {7: LONG}, config=config, funding=points).denials


def test_position_far_from_its_stop_is_liquidated_first() -> None:
    plan = enter(Direction.LONG, stop="0.9", target=None)
    config = config_of("ETHUSDT", leverage=20, limits=RiskLimits(liquidation_margin_fraction=D(-10)))
    result = play([FLAT, FLAT, ("100", "100", "50", "60"), FLAT], {0: plan}, config=config, fee_rate=D("0.0005"))
    trade = only(result)
    assert trade.exit_reason == "liquidation"
    # No more than the isolated margin (5) and the fee of the entry can be lost.
    assert D("-5.06") < trade.pnl < D(-4)


def test_no_risk_lets_every_signal_through_that_limits_would_stop() -> None:
    config = config_of("ETHUSDT", limits=RiskLimits(max_open_positions=0))
    assert play([FLAT] * 3, {0: LONG}, config=config).denials == {"max_open_positions": 1}
    assert len(play([FLAT] * 3, {0: LONG}, config=config, has_risk=False).trades) == 1


@pytest.mark.parametrize(
    "limited",
    [
        {"symbols": {"ETHUSDT": replace(config_of("ETHUSDT").symbols["ETHUSDT"], max_daily_loss=D("0.5"))}},
        {"strategies": {"told": StrategyLimits(max_daily_loss=D("0.5"))}},
        {"strategies": {"told": StrategyLimits(max_daily_quantity=D(1))}},
        {"limits": RiskLimits(max_daily_loss=D("0.5"), max_total_exposure_fraction=None)},
        {"limits": RiskLimits(max_consecutive_losses=1, max_total_exposure_fraction=None)},
    ],
)
def test_no_risk_knows_no_limit_of_account_symbol_or_strategy(limited) -> None:
    config = replace(config_of("ETHUSDT"), **limited)
    bars, plans = [FLAT, ("100", "100", "98", "100"), FLAT, ("100", "100", "98", "100"), FLAT], {0: LONG, 2: LONG}
    assert len(play(bars, plans, config=config).trades) < 2, "the limit stops the second trade"
    assert len(play(bars, plans, config=config, has_risk=False).trades) == 2


@pytest.mark.parametrize(("halt", "denials"), [(None, {}), ("5", {"halted": 1})])
def test_volatility_halt_of_the_strategy_holds_as_in_live_trading(halt, denials) -> None:
    leap = ("110", "110", "108", "110")  # 10 % from a close to the next open, then the stop
    calm = ("110", "110", "110", "110")
    config = config_of("ETHUSDT", volatility_halt_pct=D(50))
    result = play([FLAT, leap, calm, calm], {0: LONG, 2: LONG}, config=config, params={"volatility_halt_pct": halt})
    assert result.denials == denials
    assert len(result.trades) == 2 - len(denials)


def test_quantity_comes_from_the_risk_at_the_stop_without_override() -> None:
    trade = only(play([FLAT, FLAT, FLAT], {0: LONG}, quantity=None))
    # 10 USDT over (1 + 199 * (0.001 fee + 0.0005 slippage allowance)) a unit, rounded down to 0.001.
    assert trade.quantity == D("7.701")


def test_step_and_tick_size_can_be_replaced() -> None:
    trade = only(play([FLAT, FLAT, FLAT], {0: LONG}, quantity=None, step_size=D(1), tick_size=D("0.5")))
    assert trade.quantity == D(7)
    assert trade.stop_price == D("99.0")


def test_finer_grids_than_the_contract_are_accepted_by_the_exchange() -> None:
    settings = {"quantity": D("0.123456"), "step_size": D("0.000001"), "tick_size": D("0.0001")}
    trade = only(play([FLAT, ("100.01", "103", "100.01", "103")], {0: LONG}, **settings))
    assert (trade.quantity, trade.exit_price) == (D("0.123456"), D("102.0102"))


def test_entry_that_the_exchange_refuses_at_the_open_is_counted() -> None:
    # 40 of margin fit into 45 at the close; the open asks for 52.
    limits = RiskLimits(min_balance=None, max_total_exposure_fraction=None)
    bars = [FLAT, ("130", "130", "130", "130"), FLAT]
    result = play(bars, {0: LONG}, config=config_of("ETHUSDT", limits=limits), quantity=D(2), deposit=D(45))
    assert result.trades == ()
    assert list(result.denials) == ["refused by the venue: -2019 Margin is insufficient."]


def test_daily_loss_stops_entries_until_the_next_utc_day() -> None:
    lose = ("100", "100", "98", "100")
    bars = [FLAT] * 1_436 + [lose, FLAT, FLAT, FLAT, FLAT, FLAT, FLAT, FLAT]
    config = config_of("ETHUSDT", limits=RiskLimits(max_daily_loss=D(1)))
    result = play(bars, {1_435: LONG, 1_437: LONG, 1_441: LONG}, config=config)
    assert result.denials == {"daily_loss": 1}
    assert [trade.entry_time_ms for trade in result.trades] == [at(1_436), at(1_442)]


def test_hedge_mode_is_refused() -> None:
    config = replace(config_of("ETHUSDT"), position_mode=PositionMode.HEDGE)
    with pytest.raises(ConfigurationError, match="POSITION_MODE"):
        play([FLAT] * 3, {0: LONG}, config=config)


def test_entry_before_a_gap_fills_at_the_next_candle_there_is() -> None:
    bars = [FLAT, ("101", "101", "101", "101"), FLAT]
    trade = only(play(bars, {0: LONG}, times=[0, 600, 601]))
    assert (trade.entry_price, trade.entry_time_ms) == (D(101), at(600))


def test_entry_before_a_gap_over_midnight_is_still_filled_once() -> None:
    bars = [FLAT, ("100", "102", "100", "100"), FLAT]
    result = play(bars, {0: LONG}, times=[0, 3_000, 3_001])
    assert only(result).exit_reason == "target"
    assert not result.alerts


def test_trade_left_open_is_told_as_open_and_adds_up() -> None:
    result = play([FLAT, FLAT, FLAT], {0: LONG})
    trade = only(result)
    assert (trade.exit_reason, trade.exit_price, trade.pnl) == ("open", None, D("-0.1"))
    assert result.wallet == D(10_000) - D("0.1")


def test_several_strategies_on_a_symbol_the_first_one_enters() -> None:
    candles = candles_of([FLAT] * 4)
    first, second = told("ETHUSDT", {0: LONG}), told("ETHUSDT", {0: SHORT})
    settings = ReplaySettings(quantity=D(1))
    _, result = run_replay([candles], [first, second], config_of("ETHUSDT"), settings)
    assert [trade.direction for trade in result.trades] == [Direction.LONG]
    assert result.skipped == 1
