"""The market's clock: maps wall time to market time and moves the exchange in short slices.

Requests are answered between slices. If the machine cannot keep up, the market runs slower; nothing is skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core.clock import Clock
from simulator.engine.events import ExchangeEvent
from simulator.engine.exchange import Exchange
from simulator.market.live import LiveMarket

TICK_S = 0.010
SLICE_NS = 5_000_000
LAG_MAX_MS = 250
"""Wall time that the market may lag behind before the lag is given up: the market then just runs slower."""

Publisher = Callable[[list[ExchangeEvent]], None]


class MarketDriver:
    """Moves `exchange` at `speed` market milliseconds a wall millisecond, up to `end_ms` if the market has an end,
    every `tick_s` seconds of wall time."""

    def __init__(
        self,
        exchange: Exchange,
        publish: Publisher,
        clock: Clock,
        *,
        speed: float,
        end_ms: int | None = None,
        tick_s: float = TICK_S,
    ) -> None:
        self._exchange = exchange
        self._publish = publish
        self._clock = clock
        self._speed = speed
        self._end_ms = end_ms
        self._tick_s = tick_s
        self._step_ms = max(1, round(speed * tick_s * 1000))
        self._anchor_wall_ns = clock.monotonic_ns()
        self._anchor_market_ms = exchange.now_ms

    async def run(self, tick: Callable[[], None]) -> None:
        """Move the market until cancelled; `tick` runs after every slice, and every `tick_s` when there is none."""
        while True:
            target_ms = self.target_ms()
            if self._exchange.now_ms < target_ms:
                self.step(target_ms)
            tick()
            await asyncio.sleep(0 if self._exchange.now_ms < target_ms else self._tick_s)

    def step(self, target_ms: int) -> None:
        """Play one slice towards `target_ms` and adapt the slice to its cost."""
        started = self._clock.monotonic_ns()
        to_ms = min(self._exchange.now_ms + self._step_ms, target_ms)
        self._publish(self._exchange.advance(to_ms))
        spent = self._clock.monotonic_ns() - started
        if spent > SLICE_NS:
            self._step_ms = max(1, self._step_ms // 2)
        elif spent < SLICE_NS // 4:
            self._step_ms = min(self._step_ms * 2, max(1, round(self._speed * LAG_MAX_MS)))

    def target_ms(self) -> int:
        """Return where the market should be now; beyond the allowed lag the past is given up."""
        now_ns = self._clock.monotonic_ns()
        target = self._anchor_market_ms + int((now_ns - self._anchor_wall_ns) * self._speed / 1_000_000)
        lag_ms = (target - self._exchange.now_ms) / self._speed
        if lag_ms > LAG_MAX_MS:
            target = self._exchange.now_ms + int(LAG_MAX_MS * self._speed)
            self._anchor_wall_ns, self._anchor_market_ms = now_ns, target
        return target if self._end_ms is None else min(target, self._end_ms)


class LiveDriver:
    """Lets `exchange` live through what a live market has been told, every 10 ms, in its order."""

    def __init__(self, exchange: Exchange, market: LiveMarket, publish: Publisher) -> None:
        self._exchange = exchange
        self._market = market
        self._publish = publish

    async def run(self, tick: Callable[[], None]) -> None:
        """Follow the market until cancelled; `tick` runs every round."""
        while True:
            self._publish(self._exchange.advance(max(self._market.newest_ms, self._exchange.now_ms)))
            tick()
            await asyncio.sleep(TICK_S)
