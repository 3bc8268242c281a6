"""Many symbols share one account: its margin, its limits, one order of events."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from backtest.candles import ReplayCandles
from backtest.replay import ReplayResult
from backtest.run import replay
from backtest.settings import ReplaySettings
from core.enums import MarginType
from core.limits import RiskLimits
from strategies.base import Entry
from tests.unit.backtest.support import FLAT, LONG, Bar, candles_of, config_of, told

D = Decimal
DEPOSIT = D(10_000)
DIP: Bar = ("100", "100", "98", "100")


def play_two(
    first: list[Bar],
    second: list[Bar],
    plans: tuple[dict[int, Entry], dict[int, Entry]],
    *,
    limits: RiskLimits | None = None,
    reverse: bool = False,
    deposit: Decimal = DEPOSIT,
    **symbol_limits: object,
) -> ReplayResult:
    candles: list[ReplayCandles] = [candles_of(first), candles_of(second, "SOLUSDT")]
    grid = replace(candles[1].spec.instrument, step_size=D("0.001"), market_step_size=D("0.001"), quantity_precision=3)
    candles[1] = replace(candles[1], spec=replace(candles[1].spec, instrument=grid))
    strategies = [told("ETHUSDT", plans[0]), told("SOLUSDT", plans[1])]
    if reverse:
        strategies.reverse()
    _, result = replay(
        candles,
        strategies,
        config_of("ETHUSDT", "SOLUSDT", limits=limits, **symbol_limits),
        ReplaySettings(quantity=D(1), fee_rate=D("0.001"), deposit=deposit),
    )
    return result


def test_signals_of_one_instant_are_taken_in_symbol_order() -> None:
    limits = RiskLimits(max_open_positions=1)
    plans = ({0: LONG}, {0: LONG})
    assert [t.symbol for t in play_two([FLAT] * 3, [FLAT] * 3, plans, limits=limits).trades] == ["ETHUSDT"]
    turned = play_two([FLAT] * 3, [FLAT] * 3, plans, limits=limits, reverse=True)
    assert [t.symbol for t in turned.trades] == ["SOLUSDT"]


def test_exit_inside_a_candle_frees_the_account_for_a_signal_at_its_close() -> None:
    limits = RiskLimits(max_open_positions=1)
    result = play_two([FLAT, DIP, FLAT, FLAT], [FLAT] * 4, ({0: LONG}, {1: LONG}), limits=limits)
    assert [t.symbol for t in result.trades] == ["ETHUSDT", "SOLUSDT"]
    assert not result.denials


def test_margin_of_one_position_is_missing_to_the_other() -> None:
    # A position of 100 takes 20 of margin: what 40 leave after a reserve carries less than a second one.
    limits = RiskLimits(min_balance=None, max_total_exposure_fraction=None)
    plans = ({0: LONG}, {1: LONG})
    rich = play_two([FLAT] * 4, [FLAT] * 4, plans, limits=limits, deposit=D(60))
    assert [trade.quantity for trade in rich.trades] == [D(1), D(1)]
    first, second = play_two([FLAT] * 4, [FLAT] * 4, plans, limits=limits, deposit=D(40)).trades
    assert first.quantity == D(1)
    assert D("0.9") < second.quantity < D(1)


def test_open_loss_of_one_symbol_counts_for_the_limits_of_the_other() -> None:
    fall: list[Bar] = [FLAT, FLAT, ("99.5", "99.5", "99.1", "99.1"), ("99.1", "99.1", "99.1", "99.1")]
    plans = ({0: LONG}, {2: LONG})
    free = play_two(fall, [FLAT] * 4, plans, limits=RiskLimits(max_daily_loss=D("1.1")))
    assert len(free.trades) == 2
    stopped = play_two(fall, [FLAT] * 4, plans, limits=RiskLimits(max_daily_loss=D("0.9")))
    assert stopped.denials == {"daily_loss": 1}


def test_wallet_is_the_deposit_and_all_trades_to_the_last_digit() -> None:
    result = play_two(
        [FLAT, DIP, FLAT, DIP, FLAT], [FLAT, FLAT, DIP, FLAT, FLAT], ({0: LONG, 2: LONG}, {1: LONG, 3: LONG})
    )
    assert len(result.trades) == 4
    assert result.wallet == result.deposit + sum(trade.pnl for trade in result.trades)


def test_crossed_positions_are_liquidated_together_when_the_shared_wallet_is_gone() -> None:
    far = LONG.exits.__class__(stop_fraction=D("0.9"))
    plans = {0: replace(LONG, exits=far)}
    crash: list[Bar] = [FLAT, FLAT, ("100", "100", "60", "60"), ("60", "60", "60", "60"), ("60", "60", "60", "60")]
    result = play_two(
        crash,
        crash,
        (plans, plans),
        limits=RiskLimits(liquidation_margin_fraction=D(-10), max_total_exposure_fraction=None),
        deposit=D(70),
        leverage=20,
        margin_type=MarginType.CROSSED,
    )
    assert {trade.exit_reason for trade in result.trades} == {"liquidation"}
    assert D(0) <= result.wallet < D(35)
