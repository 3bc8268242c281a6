"""Fade moves away from the session VWAP while the market has no trend."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pydantic import Field

from core.enums import Direction
from core.signal import ExitPlan
from strategies.base import GatedStrategy, Indicators, Values, percent_exits
from strategies.conditions import Gate, Setup
from strategies.indicators import Adx, SessionVwap
from strategies.params import Percent, StrategyParams


class Params(StrategyParams):
    """Long below the band, short above it, both only while ADX is low."""

    k: float = Field(2.0, gt=0, le=10, description="Half-width of the band in volume-weighted standard deviations.")
    adx_window: int = Field(14, ge=2, le=200, description="Window of Wilder's ADX in candles.")
    adx_max: float = Field(20.0, gt=0, le=100, description="No entry at or above this ADX: the market trends.")
    target_pct: Percent = Field(Decimal("0.6"), description="Target in percent of the entry price.")
    stop_pct: Percent = Field(Decimal("0.3"), description="Stop in percent of the entry price.")


class VwapReversion(GatedStrategy):
    name = "vwap_reversion"
    Params = Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._exits = percent_exits(params.stop_pct, params.target_pct)  # the same for every entry

    def indicators(self) -> Indicators:
        return {"adx": Adx(self.params.adx_window), ("vwap", "sd"): SessionVwap()}

    def derive(self, v: Values) -> None:
        v.lower = v.vwap - self.params.k * v.sd
        v.upper = v.vwap + self.params.k * v.sd

    def gates(self) -> Sequence[Gate]:
        adx_max = self.params.adx_max
        return (
            Gate(
                "adx_below",
                lambda v: v.adx < adx_max,
                "ADX {adx:.1f} is not below {adx_max:g} (trend too strong for mean reversion)",
                shows=("adx",),
                limits={"adx_max": adx_max},
            ),
            # The first candle of a UTC day is its own mean: a band without width would let any close through.
            Gate("band_has_width", lambda v: v.sd > 0.0, "the VWAP band of the day has no width yet", shows=("sd",)),
        )

    def setup(self) -> Setup:
        return Setup(
            "outside_band",
            long=lambda v: v.close < v.lower,
            short=lambda v: v.close > v.upper,
            refusal="close {close:.8g} is inside the VWAP band {lower:.8g} to {upper:.8g}",
            reason="close {close:.8g} is outside the VWAP band {lower:.8g} to {upper:.8g} while ADX is {adx:.1f}",
            shows=("close", "lower", "upper", "adx"),
        )

    def exits(self, v: Values, direction: Direction) -> ExitPlan:
        return self._exits
