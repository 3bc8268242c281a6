"""A cheap seeded market for the fault simulation: a random walk with a walkable book, per symbol one trade a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from random import Random

from core.enums import SymbolStatus
from core.instrument import Instrument
from simulator.market.model import MarketEvent, MarketTrade

D = Decimal
HOUR_MS = 3_600_000
LEVELS = 30
SIZE, VOLUME = D(8), D(5)
LOWEST = 1_000
"""Ticks below which no price falls."""
Levels = list[tuple[Decimal, Decimal]]


@cache
def _price(ticks: int) -> Decimal:
    return D(ticks).scaleb(-2)


@lru_cache(maxsize=8)
def _book(ticks: int, count: int) -> tuple[Levels, Levels]:
    """Return the levels around a price; whoever looks at them changes nothing, and an order looks several times."""
    bids = [(_price(ticks - i), SIZE) for i in range(count)]
    return bids, [(_price(ticks + i), SIZE) for i in range(1, count + 1)]


def instrument(symbol: str) -> Instrument:
    return Instrument(
        symbol=symbol,
        base_asset=symbol[:-4],
        quote_asset="USDT",
        status=SymbolStatus.TRADING,
        tick_size=D("0.01"),
        min_price=D("1"),
        max_price=D("1000000"),
        step_size=D("0.001"),
        min_quantity=D("0.001"),
        max_quantity=D("10000"),
        market_step_size=D("0.001"),
        market_min_quantity=D("0.001"),
        market_max_quantity=D("1000"),
        min_notional=D("5"),
        multiplier_up=D("1.05"),
        multiplier_down=D("0.95"),
        market_take_bound=D("0.05"),
        trigger_protect=D("0.05"),
    )


@dataclass(frozen=True)
class Bracket:
    bracket: int
    initial_leverage: int
    notional_floor: Decimal
    notional_cap: Decimal
    maint_margin_ratio: Decimal
    cum: Decimal


@dataclass(frozen=True)
class Spec:
    instrument: Instrument
    brackets: tuple[Bracket, ...] = (Bracket(1, 50, D(0), D(10_000_000), D("0.005"), D(0)),)
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")
    funding_interval_hours: int = 8
    liquidation_fee: Decimal = Decimal("0.01")


@dataclass
class WalkMarket:
    """Implements the engine's market port. Prices are whole ticks of 0.01, each symbol's walk has its own."""

    symbols: tuple[str, ...]
    seed: int
    now_ms: int
    step_ms: int = 1_000

    def __post_init__(self) -> None:
        self.specs = {symbol: Spec(instrument(symbol)) for symbol in self.symbols}
        self._draw = Random(f"market:{self.seed}").random
        self._ticks = {symbol: 10_000 + 5_000 * i for i, symbol in enumerate(self.symbols)}
        self._last = {symbol: _price(ticks) for symbol, ticks in self._ticks.items()}
        self._next_ms = self.now_ms + self.step_ms
        self._untold_ms = 0
        self._drawn = dict(self._ticks)
        self._ahead: deque[dict[str, int]] = deque()
        """Steps that were drawn before their time, the nearest first; `_drawn` is the last of them."""
        self._ids = 0
        self._funding_ms = self.now_ms + 4 * 60_000
        self.heeds: Callable[[str], bool] = lambda _: True
        """Whether anybody would do anything about a trade of a symbol: none is made where nobody would."""

    def advance(self, to_ms: int) -> Iterator[MarketEvent]:
        if self._next_ms <= to_ms:
            return self._walk(to_ms)
        if to_ms > self.now_ms:
            self.now_ms = to_ms
        return iter(())

    def _walk(self, to_ms: int) -> Iterator[MarketEvent]:
        """One trade after the other: what a trade causes sees the older prices of the symbols after it."""
        ticks_of, last, ahead, heeds = self._ticks, self._last, self._ahead, self.heeds
        while self._next_ms <= to_ms:
            now_ms = self.now_ms = self._next_ms
            self._next_ms += self.step_ms
            if not ahead:
                self._draw_step()
            is_told = now_ms > self._untold_ms
            for symbol, ticks in ahead.popleft().items():
                ticks_of[symbol] = ticks
                price = last[symbol] = _price(ticks)
                number = self._ids = self._ids + 1
                if is_told and heeds(symbol):
                    yield MarketTrade(now_ms, symbol, price, VOLUME, number % 2 == 1, number, number, number)
        self.now_ms = max(self.now_ms, to_ms)

    def _draw_step(self) -> None:
        draw, drawn = self._draw, {}
        for symbol, ticks in self._drawn.items():
            moved = ticks + round(ticks * (draw() * 0.0012 - 0.0006))
            drawn[symbol] = moved if moved > LOWEST else LOWEST
        self._drawn = drawn
        self._ahead.append(drawn)

    def rest(self, bands: Mapping[str, tuple[Decimal, Decimal]], until_ms: int) -> tuple[int, bool]:
        """Return the first step to come in which a price will be on an end of its band or beyond, and True; `until_ms`
        and False when that is none of the steps until then. Looking ahead changes nothing: the walk is its own.

        The trades until then are not told, as they cause nothing; prices follow them all the same. `end_rest` takes
        that back, when something happens that may make them matter.
        """
        ahead = self._ahead
        for number, at_ms in enumerate(range(self._next_ms, until_ms + 1, self.step_ms) if bands else ()):
            if number == len(ahead):
                self._draw_step()
            drawn = ahead[number]
            for symbol, (low, high) in bands.items():
                if not low < _price(drawn[symbol]) < high:
                    self._untold_ms = at_ms - 1
                    return at_ms, True
        self._untold_ms = until_ms
        return until_ms, False

    def end_rest(self) -> None:
        self._untold_ms = 0

    def depth(self, symbol: str, limit: int) -> tuple[Levels, Levels]:
        return _book(self._ticks[symbol], min(limit, LEVELS))

    def last_price(self, symbol: str) -> Decimal:
        return self._last[symbol]

    def mark_price(self, symbol: str) -> Decimal:
        return self._last[symbol]

    def funding_rate(self, symbol: str) -> Decimal:
        return D("0.0001") if symbol == self.symbols[0] else D("-0.0002")

    def next_funding_ms(self, symbol: str) -> int:
        due = self._funding_ms
        while due <= self.now_ms:
            due += 8 * HOUR_MS
        return due
