"""Which funding a recorded day paid, from the rates that were written down and from what the venue booked. Pure.

A booking tells more than a rate: it was reckoned on the venue's own mark price, so a replayed trade of the same size
pays the same to the last digit. A symbol of which no rate is known (an older version traded) still has funding times
where others booked some: at 00:00, 08:00 and 16:00 UTC every perpetual contract pays. At which rate is not known: 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from backtest.candles import MINUTE_MS, ReplayCandles
from simulator.market.model import FundingPoint

COMMON_MS = 8 * 3_600_000
"""The venue's longest funding interval: at its multiples contracts of every interval pay."""
MARK_APART_MAX = Decimal("0.05")
"""A mark price further from the candle's open belongs to another size than the trade had at its entry."""
RATE_MAX = Decimal("0.03")
"""No contract of the venue pays more at once."""
HALF_DIGIT = Decimal("5E-9")
"""Bookings are cut to eight decimals: what was reckoned lies between this one and the next, here in the middle."""


class Rate(NamedTuple):
    """A funding time (UTC milliseconds) of a symbol and the rate that the venue named: a fraction, longs pay it."""

    symbol: str
    time_ms: int
    rate: Decimal


class Booking(NamedTuple):
    """What the venue booked: `amount` in quote asset, positive when received; `quantity` held, negative for a short,
    None where it is not known."""

    symbol: str
    time_ms: int
    amount: Decimal
    quantity: Decimal | None


def funding_of(
    candles: Sequence[ReplayCandles], rates: Iterable[Rate], bookings: Iterable[Booking]
) -> dict[str, tuple[FundingPoint, ...]]:
    """Return the payments of each symbol that has candles, ascending; times are cut to the full minute.

    Each is reckoned on the open of its minute, as a replay does without a recorded mark price.
    """
    named: dict[str, dict[int, Decimal]] = {}
    booked: dict[str, dict[int, Booking]] = {}
    for rate in rates:
        named.setdefault(rate.symbol, {})[_minute(rate.time_ms)] = rate.rate
    for one in bookings:
        booked.setdefault(one.symbol, {})[_minute(one.time_ms)] = one
    common = {time for times in (*named.values(), *booked.values()) for time in times if time % COMMON_MS == 0}
    found = {}
    for one in candles:
        points = _points(one, named.get(one.symbol), booked.get(one.symbol, {}), common)
        if points:
            found[one.symbol] = points
    return found


def _points(
    candles: ReplayCandles, named: Mapping[int, Decimal] | None, booked: Mapping[int, Booking], common: Iterable[int]
) -> tuple[FundingPoint, ...]:
    points = []
    for time_ms in sorted({*(common if named is None else named), *booked}):
        at = int(np.searchsorted(candles.open_time, time_ms))
        if at < len(candles):
            price = candles.price(int(candles.open[at]))
            rate = None if named is None else named.get(time_ms)
            points.append(FundingPoint(time_ms, _rate(rate, booked.get(time_ms), price), price))
    return tuple(points)


def _rate(named: Decimal | None, booking: Booking | None, price: Decimal) -> Decimal:
    """Return the rate that pays at `price` what was booked; the one that was named where that cannot be told."""
    if booking is None or not booking.quantity or not booking.amount:
        return named or Decimal(0)
    middle = booking.amount + HALF_DIGIT.copy_sign(booking.amount)
    rate = -middle / booking.quantity / price
    if named is None:
        return rate if abs(rate) <= RATE_MAX else Decimal(0)
    return rate if abs(rate - named) <= MARK_APART_MAX * abs(named) else named


def _minute(time_ms: int) -> int:
    return time_ms - time_ms % MINUTE_MS
