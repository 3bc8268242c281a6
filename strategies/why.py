"""Explains a verdict in a sentence: why there was a trade, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from core.sentences import fill
from strategies.base import NO_ENTRY, SIGNAL, WARMING_UP

LATE_CANDLE = "late_candle"
STRATEGY_ERROR = "strategy_error"

COMMON_TEXTS: Mapping[str, str] = {
    WARMING_UP: "warming up: {candles:.0f} of {candles_needed:.0f} candles seen",
    NO_ENTRY: "the strategy saw no reason to enter",
    LATE_CANDLE: "it would have entered, but the candle arrived late (after a gap in the data) and its price is gone",
    STRATEGY_ERROR: "the strategy failed with an error (the log has it)",
}
"""Sentences for what the machinery itself says; a strategy's own texts come first."""


def explain(
    *,
    symbol: str,
    strategy: str,
    gate: str,
    numbers: Mapping[str, float | None],
    event_time_ms: int,
    texts: Mapping[str, str],
) -> str:
    """Return one sentence about a verdict, for example "BTCUSDT at 2026-01-31 14:03 UTC, vwap_reversion: no trade, ADX
    31.2 is not below 20 (trend too strong for mean reversion)".

    `texts` are the strategy's own (`StrategyBook.texts`). `event_time_ms` is the venue's time of the decision, which
    is at or just after the close of the candle. A gate that has no text (any more) is shown with its bare numbers.
    """
    when = datetime.fromtimestamp(event_time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    template = texts.get(gate, COMMON_TEXTS.get(gate))
    sentence = fill(template, numbers) if template is not None else _bare(gate, numbers)
    return f"{symbol} at {when}, {strategy}: {_outcome(gate, numbers)}, {sentence}"


def _outcome(gate: str, numbers: Mapping[str, float | None]) -> str:
    if gate != SIGNAL:
        return "no trade"
    side = numbers.get("side")
    return "signal" if not side else "long signal" if side > 0 else "short signal"


def _bare(gate: str, numbers: Mapping[str, float | None]) -> str:
    listed = ", ".join(f"{name} {value:.8g}" for name, value in numbers.items() if value is not None and name != "side")
    told = f"refused by {gate}" if gate != SIGNAL else "all gates passed"
    return f"{told} ({listed})" if listed else told
