"""The rules of vwap_reversion, at their edges."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.enums import Direction
from strategies.base import Entry, Values
from strategies.vwap_reversion.strategy import Params, VwapReversion


def decide(*, close: float, adx: float = 10.0, sd: float = 1.0, **params: object) -> object:
    values = Values()
    values.close, values.adx, values.vwap, values.sd = close, adx, 100.0, sd
    return VwapReversion(Params(**params)).decide(values)


CASES = [
    (97.99, {}, Direction.LONG),
    (98.0, {}, "outside_band"),  # on the band is not beyond it
    (100.0, {}, "outside_band"),
    (102.0, {}, "outside_band"),
    (102.01, {}, Direction.SHORT),
    (97.0, {"adx": 19.99}, Direction.LONG),
    (97.0, {"adx": 20.0}, "adx_below"),
    (97.0, {"adx": float("nan")}, "adx_below"),
    (97.0, {"sd": 0.0}, "band_has_width"),
    (97.0, {"sd": float("nan")}, "band_has_width"),
    (97.0, {"k": 3.0}, "outside_band"),
    (96.99, {"k": 3.0}, Direction.LONG),
    (97.0, {"adx": 24.0, "adx_max": 25.0}, Direction.LONG),
]


@pytest.mark.parametrize(("close", "given", "outcome"), CASES)
def test_decision_follows_the_rule(close, given, outcome) -> None:
    decision = decide(close=close, **given)
    assert (decision.direction if isinstance(decision, Entry) else decision.gate) == outcome


def test_exits_are_exact_fractions_of_the_entry_price() -> None:
    entry = decide(close=97.0, target_pct=Decimal("0.6"), stop_pct=Decimal("0.3"))
    assert (entry.exits.target_fraction, entry.exits.stop_fraction) == (Decimal("0.006"), Decimal("0.003"))
    assert entry.exits.stop_for(Decimal("20000"), Direction.LONG) == Decimal("19940.000")
    assert entry.exits.target_for(Decimal("20000"), Direction.SHORT) == Decimal("19880.000")


def test_refusal_holds_the_numbers_that_were_compared() -> None:
    assert decide(close=97.0, adx=31.2).numbers == {"adx": 31.2, "adx_max": 20.0}
    assert decide(close=100.0).numbers == {"close": 100.0, "lower": 98.0, "upper": 102.0, "adx": 10.0}
