"""Candles shorter than a minute, and what they tell of a minute that touched both stop and target.

They decide the order of the two and nothing else: prices and fills stay those of the minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from backtest.settings import BothHitRule
from core.instrument import Rounding

IntArray = NDArray[np.int64]
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class FinerCandles:
    """Candles of `interval_ms`, ascending; gaps are possible. Prices are whole multiples of 10^-`decimals`."""

    interval_ms: int
    decimals: int
    open_time: IntArray
    low: IntArray
    high: IntArray

    def first_touches(self, minute_ms: int, below: Decimal, above: Decimal) -> tuple[int | None, int | None]:
        """Return when the candles of this minute first reach down to `below` and up to `above`: open times or None."""
        part = slice(*np.searchsorted(self.open_time, (minute_ms, minute_ms + _MINUTE_MS)).tolist())
        times = self.open_time[part]
        falls = times[self.low[part] <= self._units(below, Rounding.DOWN)]
        rises = times[self.high[part] >= self._units(above, Rounding.UP)]
        return int(falls[0]) if len(falls) else None, int(rises[0]) if len(rises) else None

    def _units(self, price: Decimal, rounding: Rounding) -> int:
        return int(price.scaleb(self.decimals).to_integral_value(rounding=rounding))


def target_comes_first(
    rule: BothHitRule, finer: FinerCandles | None, minute_ms: int, stop: Decimal, target: Decimal
) -> tuple[bool, bool]:
    """Return (whether the target counts, whether that was seen) for a minute that touched both levels.

    Seen is only what finer candles show: each level, one of them in an earlier candle than the other. Where they do
    not, the stop counts.
    """
    if rule is not BothHitRule.FINER:
        return rule is BothHitRule.TP_FIRST, False
    if finer is None:
        return False, False
    fell, rose = finer.first_touches(minute_ms, min(stop, target), max(stop, target))
    if fell is None or rose is None or fell == rose:
        return False, False
    return (fell < rose) == (target < stop), True
