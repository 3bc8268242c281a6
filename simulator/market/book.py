"""Quotes and depth around the last price. A pure function of (symbol, touch, time): nothing is consumed.

The last trade stands on the touch: at the ask when its taker bought, at the bid when its taker sold; the other side is
the symbol's spread away. Each tick from the touch outwards is a level. Its quantity grows with the distance and varies
by level; each level is renewed every ten seconds, at its own moment.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from simulator.market.noise import bits_of, uniform_at

RENEWAL_MS = 10_000
_FEW = 8
"""Up to so many levels plain arithmetic is quicker than arrays."""
Level = tuple[Decimal, Decimal]


def touch(last_tick: int, taker_bought: bool, spread_ticks: int) -> tuple[int, int]:
    """Return best bid and best ask in ticks; 1 <= bid < ask."""
    if taker_bought and last_tick > spread_ticks:
        return last_tick - spread_ticks, last_tick
    return last_tick, last_tick + spread_ticks


def side_levels(
    key: int, best_tick: int, direction: int, *, count: int, level_steps: float, now_ms: int
) -> tuple[list[int], list[int]]:
    """Return ticks and quantities (in steps) of up to `count` levels from `best_tick` on, `direction` -1 or +1.

    Bids end at one tick above zero. Quantities are at least one step; `level_steps` is their mean at the touch.
    """
    if direction < 0:
        count = min(count, best_tick)
    side_key = key + (direction > 0)
    if count <= _FEW:
        ticks_few = [best_tick + direction * number for number in range(count)]
        return ticks_few, [
            _quantity(side_key, tick, number, level_steps, now_ms) for number, tick in enumerate(ticks_few)
        ]
    distance = np.arange(count, dtype=np.int64)
    ticks = best_tick + direction * distance
    renewal = (now_ms + ticks * 7919 % RENEWAL_MS) // RENEWAL_MS
    drawn = bits_of(side_key, ticks * 1_000_003 + renewal) >> np.uint64(11)
    part = drawn.astype(np.float64) / 2.0**53
    growth = np.minimum(1.0 + distance * 0.06, 4.0)
    quantity = np.maximum(1, np.rint(level_steps * growth * (0.3 + 1.4 * part))).astype(np.int64)
    return ticks.tolist(), quantity.tolist()


def _quantity(key: int, tick: int, distance: int, level_steps: float, now_ms: int) -> int:
    """Return the quantity of one level: the same as in the arrays of `side_levels`."""
    renewal = (now_ms + tick * 7919 % RENEWAL_MS) // RENEWAL_MS
    growth = min(1.0 + distance * 0.06, 4.0)
    return max(1, round(level_steps * growth * (0.3 + 1.4 * uniform_at(key, tick * 1_000_003 + renewal))))
