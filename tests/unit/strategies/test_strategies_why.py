"""Verdicts in sentences."""

from __future__ import annotations

import pytest

from core.sentences import fill
from strategies.vwap_reversion.strategy import Params, VwapReversion
from strategies.why import explain

AT = 1_748_786_580_000  # 2025-06-01 14:03 UTC
TEXTS = VwapReversion(Params()).gate_texts()


def told(gate: str, **numbers: float | None) -> str:
    return explain(
        symbol="BTCUSDT", strategy="vwap_reversion", gate=gate, numbers=numbers, event_time_ms=AT, texts=TEXTS
    )


BEGIN = "BTCUSDT at 2025-06-01 14:03 UTC, vwap_reversion: "
CASES = [
    (
        "adx_below",
        {"adx": 31.21, "adx_max": 20.0},
        "no trade, ADX 31.2 is not below 20 (trend too strong for mean reversion)",
    ),
    (
        "outside_band",
        {"close": 104250.1, "lower": 104000.0, "upper": 104500.5},
        "no trade, close 104250.1 is inside the VWAP band 104000 to 104500.5",
    ),
    (
        "signal",
        {"close": 99.5, "lower": 100.0, "upper": 101.0, "adx": 12.0, "side": 1.0},
        "long signal, close 99.5 is outside the VWAP band 100 to 101 while ADX is 12.0",
    ),
    ("warming_up", {"candles": 12.0, "candles_needed": 350.0}, "no trade, warming up: 12 of 350 candles seen"),
    ("no_entry", {}, "no trade, the strategy saw no reason to enter"),
    ("gone_gate", {"rsi": 71.5, "limit": None}, "no trade, refused by gone_gate (rsi 71.5)"),
    (
        "adx_below",
        {"adx": None, "adx_max": 20.0},
        "no trade, ADX (unknown) is not below 20 (trend too strong for mean reversion)",
    ),
]


@pytest.mark.parametrize(("gate", "numbers", "sentence"), CASES)
def test_explain_verdict_is_one_readable_sentence(gate, numbers, sentence) -> None:
    assert told(gate, **numbers) == BEGIN + sentence


def test_explain_late_candle_says_that_it_would_have_entered() -> None:
    assert "would have entered" in told("late_candle", side=-1.0)


def test_fill_of_not_a_number_is_unknown() -> None:
    assert fill("{x:.2f} and {y}", {"x": float("nan")}) == "(unknown) and (unknown)"
