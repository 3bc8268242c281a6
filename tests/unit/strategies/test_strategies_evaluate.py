"""One strategy in its live and its column form, and its warm-up."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from core.enums import Direction
from strategies.base import WARMING_UP, Entry, GatedStrategy, History, Refusal, Strategy
from strategies.conditions import Gate, Setup
from strategies.evaluate import Evaluator, decide_columns, decide_each, measure, value_at
from strategies.indicators import Ema, SessionVwap, Sma
from strategies.vwap_reversion.strategy import Params, VwapReversion
from tests.unit.strategies.support import DAY, MINUTE, START, columns, rows, walk

DATA = columns(walk(3_000, start=START + 500 * MINUTE))


def live(strategy: Strategy) -> list[object]:
    evaluator = Evaluator(strategy)
    decisions = []
    for row in rows(DATA):
        evaluator.update(*row)
        decisions.append(evaluator.decide())
    return decisions


def test_live_decisions_equal_column_decisions_gate_by_gate() -> None:
    strategy = VwapReversion(Params(k=1.5, adx_max=25))
    whole = decide_columns(strategy, DATA)
    names = {-1: "signal", **dict(enumerate(whole.gate_names))}
    seen = set()
    for index, decision in enumerate(live(strategy)):
        gate = "signal" if isinstance(decision, Entry) else decision.gate
        assert gate == names[int(whole.refused_by[index])], index
        if isinstance(decision, Entry):
            assert decision.direction.sign == whole.sides[index]
        else:
            assert whole.sides[index] == 0
        seen.add(gate)
    assert seen >= {"signal", "warming_up", "adx_below", "outside_band"}


def test_decide_each_equals_live_decisions() -> None:
    strategy = VwapReversion(Params(k=1.5))
    for (index, each), decision in zip(decide_each(strategy, DATA), live(strategy), strict=True):
        assert type(each) is type(decision), index
        if isinstance(each, Entry):
            assert (each.direction, each.exits) == (decision.direction, decision.exits)
            assert each.numbers == pytest.approx(decision.numbers, rel=1e-12)
        else:
            assert (each.gate, each.numbers) == (decision.gate, pytest.approx(decision.numbers, rel=1e-12))


def test_first_candle_of_a_day_is_refused_because_the_band_has_no_width() -> None:
    strategy = VwapReversion(Params(adx_max=100))
    whole = decide_columns(strategy, DATA, warmup=0)
    midnights = np.flatnonzero(DATA.open_time % DAY == 0)
    assert len(midnights) > 1
    assert {whole.gate_names[index] for index in whole.refused_by[midnights]} == {"band_has_width"}


def test_warm_up_is_told_with_its_progress() -> None:
    evaluator = Evaluator(VwapReversion(Params()))
    evaluator.update(*rows(DATA)[0])
    assert evaluator.decide() == Refusal(WARMING_UP, {"candles": 1.0, "candles_needed": 350.0})


def test_vwap_reversion_needs_the_day_and_the_memory_of_adx() -> None:
    strategy = VwapReversion(Params(adx_window=14))
    assert strategy.history(strategy.indicators()) == History(350, day_anchored=True)


def test_history_start_reaches_back_to_midnight_when_day_anchored() -> None:
    at = START + 900 * MINUTE
    assert History(350, True).start_before(at, "1m") == START
    assert History(350, True).start_before(START + 10 * MINUTE, "1m") == START + (10 - 349) * MINUTE
    assert History(350, False).start_before(at, "1m") == at - 349 * MINUTE
    assert History(350, True).most_candles("1m") == 1440
    assert History(350, True).most_candles("15m") == 350


class Counter(Strategy):
    """Enters at every third candle that it ever saw: a memory of its own."""

    name = "counter"

    def __init__(self, params: object) -> None:
        super().__init__(params)
        self.seen = 0

    def indicators(self):
        return {"slow": Sma(5)}

    def decide(self, v):
        self.seen += 1
        if self.seen % 3 == 0:
            return self.enter(Direction.LONG, stop_pct=Decimal("0.3"), target_pct=Decimal("0.6"), reason="third")
        return None


def test_plain_strategy_sees_every_candle_but_acts_only_when_warm() -> None:
    decisions = live(Counter(None))
    assert all(isinstance(decision, Refusal) for decision in decisions[:4])
    assert [index for index, decision in enumerate(decisions) if isinstance(decision, Entry)][:2] == [5, 8]
    assert decisions[5].exits.stop_fraction == Decimal("0.003")
    each = [decision for _, decision in decide_each(Counter(None), DATA)]
    assert each == decisions


def test_strategy_whose_indicator_has_no_name_in_python_is_refused_with_the_name() -> None:
    class Misnamed(Counter):
        def indicators(self):
            return {"slow line": Sma(5)}

    with pytest.raises(ValueError, match="'slow line'"):
        list(decide_each(Misnamed(None), DATA))


def test_new_parameters_keep_the_indicators_when_these_stay_the_same() -> None:
    evaluator = Evaluator(VwapReversion(Params(k=2.0)))
    for row in rows(DATA)[:500]:
        evaluator.update(*row)
    assert evaluator.adopt(VwapReversion(Params(k=0.1, adx_max=100)))
    assert evaluator.count == 500
    assert isinstance(evaluator.decide(), Entry)


def test_new_parameters_with_other_indicators_are_not_adopted() -> None:
    assert not Evaluator(VwapReversion(Params())).adopt(VwapReversion(Params(adx_window=7)))
    assert not Evaluator(Counter(None)).adopt(Counter(None))


class Several(GatedStrategy):
    name = "several"

    def indicators(self):
        return {"fast": Ema(3), ("vwap", "sd"): SessionVwap()}

    def derive(self, v):
        v.distance = v.fast - v.vwap

    def gates(self):
        return [Gate("busy", lambda v: v.volume > 1.0, "volume {volume} too low", shows=("volume",))]

    def setup(self):
        return Setup("far", long=lambda v: v.distance < 0, short=lambda v: v.distance > 0, refusal="", reason="")


def test_row_of_columns_equals_the_values_that_live_decisions_see() -> None:
    strategy = Several(None)
    whole = measure(strategy.indicators(), DATA)
    strategy.derive(whole)
    evaluator = Evaluator(Several(None))
    for index, row in enumerate(rows(DATA)[:1_500]):
        evaluator.update(*row)
        evaluator.strategy.derive(evaluator.values)
        if index % 250 == 0:
            assert vars(value_at(whole, index)) == pytest.approx(vars(evaluator.values), rel=1e-9, nan_ok=True)


def test_strategy_without_a_decision_says_what_is_missing() -> None:
    with pytest.raises(TypeError, match="does not define decide"):
        Strategy(None).decide(None)
