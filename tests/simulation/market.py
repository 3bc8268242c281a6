"""A cheap seeded market for the fault simulation: a random walk with a walkable book, per symbol one trade a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from core.enums import SymbolStatus
from core.instrument import Instrument
from simulator.market.model import MarketEvent, MarketTrade

D = Decimal
HOUR_MS = 3_600_000
Levels = list[tuple[Decimal, Decimal]]


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
    """Implements the engine's market port. `thin` leaves so little depth that market orders fill in part."""

    symbols: tuple[str, ...]
    seed: int
    now_ms: int
    step_ms: int = 1_000
    thin: bool = False
    jump: dict[str, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.specs = {symbol: Spec(instrument(symbol)) for symbol in self.symbols}
        self._rng = Random(f"market:{self.seed}")
        self._last = {symbol: D(100 + 50 * i) for i, symbol in enumerate(self.symbols)}
        self._next_ms = self.now_ms + self.step_ms
        self._ids = 0
        self._funding_ms = self.now_ms + 4 * 60_000

    def advance(self, to_ms: int) -> Iterator[MarketEvent]:
        while self._next_ms <= to_ms:
            self.now_ms = self._next_ms
            self._next_ms += self.step_ms
            for symbol in self.symbols:
                move = D(self._rng.randint(-60, 60)) / 100_000 + self.jump.pop(symbol, D(0))
                price = (self._last[symbol] * (1 + move)).quantize(D("0.01"))
                self._last[symbol] = max(price, D(10))
                self._ids += 1
                ids = (self._ids,) * 3
                yield MarketTrade(self.now_ms, symbol, self._last[symbol], D(5), bool(self._ids % 2), *ids)
        self.now_ms = max(self.now_ms, to_ms)

    def depth(self, symbol: str, limit: int) -> tuple[Levels, Levels]:
        last, tick = self._last[symbol], D("0.01")
        size = D("0.4") if self.thin else D(4)
        count = 3 if self.thin else min(limit, 100)
        bids = [(last - i * tick, size) for i in range(count)]
        return bids, [(last + (i + 1) * tick, size) for i in range(count)]

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
