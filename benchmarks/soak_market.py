"""A market for a month of virtual time: made-up contracts that wander around their reference price, cheap to play."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from random import Random

from core.candle import ClosedCandle
from simulator.engine.port import Levels
from simulator.market.catalog import SymbolSpec, generated_specs
from simulator.market.model import MarketTrade

MINUTE_MS = 60_000
FUNDING_MS = 8 * 3_600_000
SIGMA = 0.0004
"""Standard deviation of one step's return."""
PULL = 0.0003
"""Share of the way back to the reference price that a step goes: a month later prices are still of the same size."""
_RATES = (Decimal("0.0001"), Decimal("-0.00005"))


class SoakMarket:
    """Implements the engine's market port: one trade a symbol and step, four deep levels a side."""

    def __init__(self, symbols: int, seed: int, start_ms: int, step_ms: int) -> None:
        specs: list[SymbolSpec] = generated_specs(symbols)
        self.specs = {spec.symbol: spec for spec in specs}
        self.now_ms = start_ms
        self.thin = False
        self._rng = Random(f"soak market {seed}")
        self._step_ms = step_ms
        self._next_ms = start_ms + step_ms
        self._offset = dict.fromkeys(self.specs, 0.0)
        self._tick = {name: spec.instrument.tick_size for name, spec in self.specs.items()}
        self._ticks = {name: round(spec.reference_price / self._tick[name]) for name, spec in self.specs.items()}
        self._price = {name: self._ticks[name] * self._tick[name] for name in self.specs}
        self._candles: dict[str, list[Decimal]] = {name: [] for name in self.specs}
        self._agg_id = 0

    def advance(self, to_ms: int) -> Iterator[MarketTrade]:
        while self._next_ms <= to_ms:
            self.now_ms = self._next_ms
            self._next_ms += self._step_ms
            self._agg_id += 1
            gauss = self._rng.gauss
            for name, before in self._offset.items():
                offset = before + gauss(0.0, SIGMA) - PULL * before
                self._offset[name] = offset
                price = round(self._ticks[name] * math.exp(offset)) * self._tick[name]
                self._price[name] = price
                self._candles[name].append(price)
                number = self._agg_id
                yield MarketTrade(self.now_ms, name, price, Decimal(1_000_000), number % 2 == 0, number, number, number)
        self.now_ms = max(self.now_ms, to_ms)

    def jump(self, symbol: str, fraction: float) -> None:
        """Let the next price of a symbol be that much away."""
        self._offset[symbol] += fraction

    def close_candles(self, open_time_ms: int) -> list[ClosedCandle]:
        """Return the minute that has just ended, of every symbol."""
        closed = []
        for name, prices in self._candles.items():
            volume = Decimal(self._rng.randint(50, 500))
            closed.append(
                ClosedCandle(
                    name, "1m", open_time_ms, prices[0], max(prices), min(prices), prices[-1], volume,
                    volume * prices[-1], len(prices), volume / 2, volume * prices[-1] / 2,
                )
            )  # fmt: skip
            prices.clear()
        return closed

    def depth(self, symbol: str, limit: int) -> tuple[Levels, Levels]:
        price, tick = self._price[symbol], self._tick[symbol]
        quantity = self.specs[symbol].instrument.market_step_size * 5 if self.thin else Decimal(1_000_000)
        count = min(limit, 4)
        bids = [(price - i * tick, quantity) for i in range(count)]
        return bids, [(price + (i + 1) * tick, quantity) for i in range(count)]

    def last_price(self, symbol: str) -> Decimal:
        return self._price[symbol]

    def mark_price(self, symbol: str) -> Decimal:
        return self._price[symbol]

    def funding_rate(self, symbol: str) -> Decimal:
        return _RATES[len(symbol) % 2]

    def next_funding_ms(self, symbol: str) -> int:
        return (self.now_ms // FUNDING_MS + 1) * FUNDING_MS
