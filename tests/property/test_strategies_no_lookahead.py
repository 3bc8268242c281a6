"""A decision at t follows from the candles up to t, from the documented warm-up on, live as in columns."""

from __future__ import annotations

import random

import numpy as np
import pytest

from core.records import DecisionRecord
from strategies.base import Entry, GatedStrategy, Refusal, Strategy
from strategies.evaluate import Evaluator, decide_columns
from strategies.loader import StrategyBook
from strategies.registry import discover
from strategies.runner import StrategyRunner
from tests.unit.strategies.support import MINUTE, START, Writer, closed, columns, head, recorded, rows, walk
from tests.unit.strategies.test_strategies_loader import SHIPPED

CUTS = 200
SYMBOLS = ["BTCUSDT", "SUIUSDT"]
WALK = "NEWUSDT"  # a random walk: keeps the proof where no recorded data is


def shipped(symbol: str) -> list[Strategy]:
    return [active.make() for active in StrategyBook(SHIPPED, [symbol]).on(symbol)]


@pytest.fixture(scope="module", params=[*SYMBOLS, WALK])
def market(request):
    symbol = request.param
    if symbol == WALK:
        candles = walk(12_000, symbol=WALK, start=START + 777 * MINUTE)
    else:
        folder = request.getfixturevalue("shared_data") / "klines/um_1m_2025-05"
        candles = recorded(folder / f"{symbol}-1m.csv.gz", limit=12_000)
    return symbol, columns(candles), candles


def test_signals_from_the_data_up_to_t_equal_those_from_all_data(market) -> None:
    symbol, data, _ = market
    rng = random.Random(20250531)
    for strategy in shipped(symbol):
        assert isinstance(strategy, GatedStrategy)
        whole = decide_columns(strategy, data)
        assert np.count_nonzero(whole.sides) > 10, "the test must see signals"
        signals = np.flatnonzero(whole.sides) + 1
        cuts = [*rng.sample(range(400, len(data)), CUTS - 10), *rng.sample(signals.tolist(), 10)]
        for cut in cuts:
            part = decide_columns(strategy, head(data, 0, cut))
            assert part.sides[-1] == whole.sides[cut - 1], cut
            np.testing.assert_array_equal(part.refused_by, whole.refused_by[:cut])


def test_live_runner_gives_the_signals_and_verdicts_of_the_columns(market) -> None:
    symbol, data, candles = market
    (strategy,) = shipped(symbol)
    whole = decide_columns(strategy, data)

    def offer(signals):
        raise AssertionError("not run here")

    async def publish(signals):
        raise AssertionError("not run here")

    writer = Writer()
    runner = StrategyRunner(StrategyBook(SHIPPED, [symbol]), writer, offer, publish)
    signals = [signal for one in candles for signal in runner.on_candle(closed(one))]
    found = np.flatnonzero(whole.sides)
    assert [s.candle_open_time_ms for s in signals] == data.open_time[found].tolist()
    assert [s.direction.sign for s in signals] == whole.sides[found].tolist()
    names = {-1: "signal", **dict(enumerate(whole.gate_names))}
    verdicts = [record.verdict.gate for record in writer.of(DecisionRecord)]
    assert verdicts == [names[index] for index in whole.refused_by.tolist()]


def test_warm_up_of_the_documented_length_gives_the_decision_of_the_full_history(market) -> None:
    symbol, data, _ = market
    rng = random.Random(7)
    (strategy,) = shipped(symbol)
    needed = strategy.history(strategy.indicators())
    whole = decide_columns(strategy, data)
    interval = strategy.params.interval
    signals = np.flatnonzero(whole.sides)
    for index in [*rng.sample(range(2_000, len(data)), 60), *signals[signals > 2_000][:20].tolist()]:
        start_time = needed.start_before(int(data.open_time[index]), interval)
        start = int(np.searchsorted(data.open_time, start_time))
        evaluator = Evaluator(shipped(symbol)[0])
        for row in rows(head(data, start, index + 1)):
            evaluator.update(*row)
        decision = evaluator.decide()
        gate = "signal" if isinstance(decision, Entry) else decision.gate
        expected = whole.refused_by[index]
        assert gate == ("signal" if expected < 0 else whole.gate_names[expected])
        assert evaluator.values.adx == pytest.approx(whole.values.adx[index], rel=1e-6)
        assert evaluator.values.vwap == pytest.approx(whole.values.vwap[index], rel=1e-12)


def test_one_candle_less_than_the_warm_up_is_refused(market) -> None:
    _, data, _ = market
    for strategy_class in discover(SHIPPED).values():
        strategy = strategy_class(strategy_class.Params())
        evaluator = Evaluator(strategy)
        for row in rows(head(data, 0, evaluator.history.candles - 1)):
            evaluator.update(*row)
        decision = evaluator.decide()
        assert isinstance(decision, Refusal) and decision.gate == "warming_up"
