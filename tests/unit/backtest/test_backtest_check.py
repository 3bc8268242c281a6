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
from strategies.base import GatedStrategy, History, Indicators, Values
from strategies.conditions import Gate, Setup
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
