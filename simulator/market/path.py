"""The trades inside a candle: a deterministic walk whose candle is exactly the given one.

Prices go open, nearer extreme, farther extreme, close, with trades in between. The quantities are chosen so that base
volume, quote volume and both taker volumes come out to the last unit: most trades get a random share, and two balancing
trades on neighbouring ticks for buyers and two for sellers carry the rest at its mean price.

Where a candle has too few trades or too little volume for that (fewer than 8 trades, or a quote volume that no trades
on the grid can have), these are kept: open and close, high and low as far as there are trades for them, volume and
taker volume. Its quote volumes are then approximate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import NamedTuple

from simulator.market.columns import MINUTE_MS
from simulator.market.noise import bits_at, uniform_at

Trade = tuple[int, int, bool]
"""Price in ticks, quantity in steps, whether the taker buys."""
BALANCERS = 2
_SHARES = (0.7, 0.3, 0.0)


class Bar(NamedTuple):
    """One candle as integers; the fields of `Columns`, in their order. Quote volumes here are in ticks x steps.

    `quote` is -1 where the recorded quote volume lies off the grid of ticks x steps.
    """

    minute: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote: int
    trade_count: int
    taker_volume: int
    taker_quote: int
    parts: int
    first_trade: int
    first_part: int


class Print(NamedTuple):
    """One trade of the walk, as integers: price in ticks, quantity in steps, ids of its first and last single trade."""

    time_ms: int
    price: int
    quantity: int
    taker_buys: bool
    first_id: int
    last_id: int


def first_time_ms(key: int, bar: Bar) -> int:
    """Return the time of the first trade of `bar`: what is needed to queue it before its walk is made."""
    return bar.minute * MINUTE_MS + int(uniform_at(key, bar.minute) * MINUTE_MS / bar.parts)


def prints(key: int, bar: Bar, rng: Random) -> list[Print]:
    """Return the trades of `bar` in time order, `bar.parts` of them; a pure function of (key, bar).

    `rng` is only a tool to reuse: it is seeded anew from the key and the minute.
    """
    if not bar.parts:
        return []
    rng.seed(bits_at(key + 1, bar.minute))
    draw = rng.random
    trades = _exact(bar, rng) or _scattered(bar, rng)
    slot = MINUTE_MS / bar.parts
    start = bar.minute * MINUTE_MS
    time_ms = first_time_ms(key, bar)
    spare, next_id, done = bar.trade_count - bar.parts, bar.first_trade, 0
    result: list[Print] = []
    given = 0
    for number, (price, quantity, buys) in enumerate(trades, start=1):
        done += quantity
        share = spare * done // bar.volume
        last_id = next_id + share - given
        result.append(Print(time_ms, price, quantity, buys, next_id, last_id))
        next_id, given = last_id + 1, share
        time_ms = start + int((number + draw()) * slot)
    return result


def _waypoints(bar: Bar) -> list[int]:
    """Return the prices that must be traded, in order, without repeats side by side."""
    up, down = bar.high - bar.open, bar.open - bar.low
    low_first = down < up or (down == up and bar.close >= bar.open)
    middle = (bar.low, bar.high) if low_first else (bar.high, bar.low)
    points = [bar.open]
    for price in (*middle, bar.close):
        if price != points[-1]:
            points.append(price)
    return points


def _walk(points: list[int], count: int, rng: Random) -> list[int]:
    """Return `count` prices through all `points`, in order, never beyond the end points of a leg."""
    extra = count - len(points)
    if len(points) == 1:
        return points * count
    lengths = [abs(after - before) for before, after in pairwise(points)]
    total, used, passed = sum(lengths), 0, 0
    prices = [points[0]]
    for number, length in enumerate(lengths):
        before, after = points[number], points[number + 1]
        passed += length
        share = extra * passed // total - used
        used += share
        steps = sorted([rng.random() for _ in range(share)])
        prices.extend([before + int((after - before) * step + 0.5) for step in steps])
        prices.append(after)
    return prices


@dataclass(slots=True)
class _Split:
    """Trades in the making: fixed ones by position, and the balancing ones to be inserted between them."""

    prices: list[int]
    sides: list[bool]
    quantities: list[int]
    balancing: list[Trade]


def _exact(bar: Bar, rng: Random) -> list[Trade] | None:
    """Return (price, quantity, taker buys) with all four volumes exact, or None where that is not possible."""
    bought, sold = bar.taker_volume, bar.volume - bar.taker_volume
    points = _waypoints(bar)
    fixed = bar.parts - BALANCERS * ((bought > 0) + (sold > 0))
    if bar.quote < 0 or fixed < len(points):
        return None
    prices = _walk(points, fixed, rng)
    for sides in (_sides(bar, prices, rng), _nearer_sides(bar, prices)):
        split = _Split(prices, sides, [0] * fixed, [])
        if _fill(bar, split, True, rng.random) and _fill(bar, split, False, rng.random):
            trades = list(zip(prices, split.quantities, sides, strict=True))
            for trade in split.balancing:
                _insert(trades, trade, rng)
            return trades
    return None


def _sides(bar: Bar, prices: list[int], rng: Random) -> list[bool]:
    """Return who takes each fixed trade: mostly the buyer when the price rises, the seller when it falls."""
    draw, before = rng.random, bar.open
    sides = []
    for price in prices:
        sides.append(draw() < (0.8 if price > before else 0.2 if price < before else 0.5))
        before = price
    buyers = sum(sides)
    if bar.taker_volume < buyers + BALANCERS:
        return [False] * len(prices)
    if bar.volume - bar.taker_volume < len(prices) - buyers + BALANCERS:
        return [True] * len(prices)
    return sides


def _nearer_sides(bar: Bar, prices: list[int]) -> list[bool]:
    """Return sides by which mean price, the buyers' or the sellers', is nearer: for candles a few ticks wide."""
    bought, sold = bar.taker_volume, bar.volume - bar.taker_volume
    quote, sold_quote = bar.taker_quote, bar.quote - bar.taker_quote
    return [abs(price * bought - quote) * sold < abs(price * sold - sold_quote) * bought for price in prices]


def _fill(bar: Bar, split: _Split, buys: bool, draw: Callable[[], float]) -> bool:
    """Set the quantities of one side's trades and add its balancing trades; False where no exact split is found."""
    volume, quote = bar.taker_volume, bar.taker_quote
    if not buys:
        volume, quote = bar.volume - volume, bar.quote - quote
    members = [index for index, side in enumerate(split.sides) if side is buys]
    if volume == 0:
        return not members and quote == 0
    free = volume - len(members) - BALANCERS
    if free < 0:
        return False
    weights = [draw() + 0.05 for _ in members]
    total = sum(weights)
    for share in _SHARES:
        scale = free * share / total if members else 0.0
        rest, rest_quote = volume, quote
        for index, weight in zip(members, weights, strict=True):
            quantity = 1 + int(weight * scale)
            split.quantities[index] = quantity
            rest -= quantity
            rest_quote -= quantity * split.prices[index]
        price, above = divmod(rest_quote, rest)
        if bar.low <= price and price + (above > 0) <= bar.high:
            pieces = ((price + 1, above), (price, rest - above)) if above else _halves(price, rest)
            split.balancing.extend((at, quantity, buys) for at, quantity in pieces)
            return True
    return False


def _halves(price: int, quantity: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (price, quantity // 2), (price, quantity - quantity // 2)


def _insert(trades: list[Trade], trade: Trade, rng: Random) -> None:
    """Put `trade` between two neighbours that enclose its price: never first, never last."""
    price = trade[0]
    last = len(trades) - 1
    if last == 0:  # a flat candle with a single fixed trade
        trades.append(trade)
        return
    at = int(rng.random() * last)
    for _ in range(last):
        before, after = trades[at][0], trades[at + 1][0]
        if before <= price <= after or after <= price <= before:
            break
        at = at + 1 if at + 1 < last else 0
    trades.insert(at + 1, trade)


def _scattered(bar: Bar, rng: Random) -> list[Trade]:
    """Return the trades of a candle that is too small for an exact split: volume and taker volume are kept."""
    points = _waypoints(bar)
    if len(points) > bar.parts:  # keep open and close, then the extremes that there is room for
        points = [*points[: bar.parts - 1], bar.close]
    prices = _walk(points, bar.parts, rng)
    cuts = set(rng.sample(range(1, bar.volume), bar.parts - 1)) if bar.parts > 1 else set()
    if 0 < bar.taker_volume < bar.volume and bar.parts > 1 and bar.taker_volume not in cuts:
        cuts.remove(min(cuts, key=lambda cut: (abs(cut - bar.taker_volume), cut)))
        cuts.add(bar.taker_volume)
    edges = [0, *sorted(cuts), bar.volume]
    pieces = [(upper - lower, upper <= bar.taker_volume) for lower, upper in pairwise(edges)]
    rng.shuffle(pieces)
    return [(price, quantity, buys) for price, (quantity, buys) in zip(prices, pieces, strict=True)]
