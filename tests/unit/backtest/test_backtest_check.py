"""The checks find a strategy that cheats, and pass those that are shipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from backtest.candles import ReplayCandles
from backtest.check import check_lookahead, check_warmup
from backtest.parameters import active_strategies
from backtest.signals import decide
from core.enums import Direction
from core.errors import ConfigurationError
from core.signal import ExitPlan
from strategies.base import CandleColumns, Entry, GatedStrategy, History, Indicators, Values
from strategies.conditions import Gate, Setup, both
from strategies.evaluate import Evaluator, decide_columns
from strategies.indicators import (
    CandleShape,
    Fibonacci,
    Macd,
    OpeningRange,
    PivotPoints,
    Pivots,
    RollingVwapBands,
    SwingStructure,
)
from strategies.loader import ActiveStrategy
from strategies.params import StrategyParams
from strategies.registry import discover
from tests.unit.backtest.support import D, candles_of

ROOT = Path(__file__).resolve().parents[3] / "strategies"


class Cheat(GatedStrategy):
    """Compares with the mean of all closes, also those to come."""

    name = "cheat"

    def derive(self, v: Values) -> None:
        v.mean = np.mean(v.close) if isinstance(v.close, np.ndarray) else v.close

    def gates(self) -> Sequence[Gate]:
        return ()

    def setup(self) -> Setup:
        return Setup("mean", lambda v: v.close < v.mean, lambda v: v.close > v.mean, "", "")

    def exits(self, v: Values, direction: Direction) -> ExitPlan:
        return ExitPlan(D("0.01"))


class Forgetful(Cheat):
    """Asks for one candle of history and needs all of them."""

    name = "forgetful"

    def derive(self, v: Values) -> None:
        v.mean = np.cumsum(v.close) / np.arange(1, len(v.close) + 1)

    def history(self, indicators: Indicators) -> History:
        return History(5)


def walk(count: int = 3_000, seed: int = 5) -> ReplayCandles:
    steps = np.random.default_rng(seed).integers(-12, 13, count)
    closes = 10_000 + np.cumsum(steps)
    bars = []
    for before, close in zip(np.concatenate(([10_000], closes[:-1])), closes, strict=True):
        high, low = max(before, close) + 5, min(before, close) - 5
        bars.append(tuple(f"{value / 100:.2f}" for value in (before, high, low, close)))
    return candles_of(bars)


def test_lookahead_check_finds_a_strategy_that_sees_the_future() -> None:
    result = check_lookahead(ActiveStrategy("cheat", "ETHUSDT", Cheat, StrategyParams()), walk())
    assert not result.passed
    assert "from all data" in result.faults[0]


def test_warmup_check_finds_a_strategy_that_asks_for_too_little() -> None:
    result = check_warmup(ActiveStrategy("forgetful", "ETHUSDT", Forgetful, StrategyParams()), walk())
    assert not result.passed
    assert "from 5 candles" in result.faults[0]


@pytest.mark.parametrize("name", sorted(discover(ROOT)))
@pytest.mark.parametrize("checker", [check_lookahead, check_warmup])
def test_shipped_strategy_passes_both_checks(name, checker) -> None:
    (active,) = active_strategies(ROOT, [name], ["ETHUSDT"], ["interval=1m"])
    candles = walk(4_500)
    assert len(decide(active, candles).indices) > 10, "the checks must see signals"
    result = checker(active, candles)
    assert result.passed, result.faults[:3]
    assert result.cuts == 200


class ChartReader(GatedStrategy):
    """A user's strategy on every indicator that reads a chart: all have to agree for a signal."""

    name = "chart_reader"

    def indicators(self) -> Indicators:
        return {
            ("high_pivot", "low_pivot"): Pivots(2, 2),
            ("swing_high", "swing_low", "highs", "lows", "trend"): SwingStructure(2, 2, 120),
            ("leg", "shallow", "deep"): Fibonacci(2, 2, 120, (0.382, 0.618)),
            ("pivot", "r1", "s1", "r2", "s2", "r3", "s3"): PivotPoints(),
            ("range_high", "range_low"): OpeningRange(60),
            ("body", "upper_wick", "lower_wick"): CandleShape(),
            ("macd", "signal", "histogram"): Macd(),
            ("vwap", "band_above", "band_below"): RollingVwapBands(60, 1.0),
        }

    def setup(self) -> Setup:
        return Setup(
            "chart",
            long=lambda v: both(v.close > v.pivot, v.range_high > 0.0, v.histogram > 0.0, v.body > 0.1, v.leg > 0.0),
            short=lambda v: both(v.close < v.band_above, v.trend < 0.0, v.close < v.deep, v.range_low > 0.0),
            refusal="no",
            reason="yes",
        )

    def exits(self, v: Values, direction: Direction) -> ExitPlan:
        return ExitPlan(D("0.01"))


@pytest.mark.parametrize("checker", [check_lookahead, check_warmup])
def test_strategy_on_the_chart_indicators_passes_both_checks(checker) -> None:
    active = ActiveStrategy("chart_reader", "ETHUSDT", ChartReader, StrategyParams())
    candles = walk(7_000)
    decisions = decide(active, candles)
    assert len(decisions.indices) > 50, "the checks must see signals"
    result = checker(active, candles)
    assert result.passed, result.faults[:3]


def test_strategy_on_the_chart_indicators_decides_live_as_over_columns() -> None:
    columns = walk(5_000).columns
    whole = decide_columns(ChartReader(StrategyParams()), columns)
    evaluator = Evaluator(ChartReader(StrategyParams()))
    sides = []
    for row in zip(*(getattr(columns, name).tolist() for name in CandleColumns.__slots__), strict=True):
        evaluator.update(*row)
        decision = evaluator.decide()
        sides.append(decision.direction.sign if isinstance(decision, Entry) else 0)
    assert sides == whole.sides.tolist()
    assert {-1, 1} <= set(sides)


def test_warmup_option_counts_the_candles_before_the_first_signal() -> None:
    active = ActiveStrategy("forgetful", "ETHUSDT", Forgetful, StrategyParams())
    assert int(decide(active, walk(), warmup=7).indices[0]) >= 7
    free = decide(active, walk(), warmup=0)
    assert int(free.indices[0]) <= 1


def test_day_anchored_strategy_waits_for_its_first_whole_day() -> None:
    (active,) = active_strategies(ROOT, ["vwap_reversion"], ["ETHUSDT"])
    candles = candles_of([("100", "100.1", "99.9", "100")] * 10, times=range(5, 15))
    assert not len(decide(active, candles).indices)


def test_unknown_strategy_and_parameter_are_refused_kindly() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'vwap_reversion'"):
        active_strategies(ROOT, ["vwap_revision"], ["ETHUSDT"])
    with pytest.raises(ConfigurationError, match="--set adx_mx"):
        active_strategies(ROOT, ["vwap_reversion"], ["ETHUSDT"], ["adx_mx=3"])
    with pytest.raises(ConfigurationError, match="write key=value"):
        active_strategies(ROOT, ["vwap_reversion"], ["ETHUSDT"], ["adx_max"])
    (active,) = active_strategies(ROOT, ["vwap_reversion"], ["ETHUSDT"], ["adx_max=33.5"])
    assert active.params.model_dump()["adx_max"] == 33.5
