"""Lock-step replay, the trader's side: asks the embedded exchange to go on whenever there is nothing left to act on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp
import orjson

from core.bus import Bus
from core.clock import Clock
from core.errors import RuntimeFailure
from core.events import Tick
from core.ports import VenueTime
from core.signal import Signal
from exchange.binance.market_stream import BinanceMarketStream
from exchange.binance.user_stream import BinanceUserStream
from executor.shell import Executor
from simulator.options import STEP_MARKET
from strategies.feed import CandleFeed
from strategies.runner import StrategyRunner

PAUSE_S = 0.001
PATIENCE_MS = 60_000
PARKED_MAX = 1_000
"""More requests under way than that are no orders that wait for the next open."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the trader that may still have something to do."""

    executor: Executor
    runner: StrategyRunner
    feed: CandleFeed
    signals: Bus[Signal]
    market: BinanceMarketStream
    user: BinanceUserStream

    def waits_for(self) -> int | None:
        """Return how many answers of the venue the trader waits for when it has nothing else to do, else None."""
        under_way = self.executor.health()["requests_under_way"] or 0
        rests = not (self.runner.depth or self.signals.depth or self.feed.waiting())
        return under_way if rests and self.executor.is_idle(under_way) else None


async def keep_pace(rest_url: str, parts: Parts, clock: Clock, venue_time: VenueTime) -> None:
    """Step the market at `rest_url` until its recording is over.

    The exchange steps only when the trader has handled all frames and waits for nothing but orders that the exchange
    holds. Raises RuntimeFailure when nothing has moved for a minute, or when the exchange is gone.
    """
    moved_ms = clock.now_ms()
    async with aiohttp.ClientSession() as session:
        while True:
            waits_for = parts.waits_for()
            if waits_for is not None and waits_for <= PARKED_MAX:
                answer = await _step(session, rest_url, parts, waits_for)
                if answer["ended"]:
                    return
                if answer["stepped"]:
                    moved_ms = clock.now_ms()
                    await _handled(parts, answer, clock, moved_ms)
                    parts.executor.offer(Tick(venue_time.venue_time_ms(), clock.now_ms()))
                    continue
            _refuse_standstill(clock, moved_ms)
            await asyncio.sleep(PAUSE_S)


async def _handled(parts: Parts, answer: dict[str, int], clock: Clock, moved_ms: int) -> None:
    """Return when every frame of the step has been handled: only then does a tick know the market's time."""
    while parts.market.frames_handled < answer["market"] or parts.user.frames_handled < answer["private"]:
        _refuse_standstill(clock, moved_ms)
        await asyncio.sleep(0)


def _refuse_standstill(clock: Clock, moved_ms: int) -> None:
    if clock.now_ms() - moved_ms > PATIENCE_MS:
        raise RuntimeFailure(
            f"the lock-step replay has stood still for {PATIENCE_MS // 1000} s; see the log, then start it again"
        )


async def _step(session: aiohttp.ClientSession, rest_url: str, parts: Parts, in_flight: int) -> dict[str, int]:
    told = {
        "inFlight": in_flight,
        "market": parts.market.frames_handled,
        "private": parts.user.frames_handled,
    }
    try:
        async with session.post(f"{rest_url}{STEP_MARKET}", params=told) as response:
            answer: dict[str, int] = orjson.loads(await response.read())
            if response.status != 200:
                raise RuntimeFailure(f"the exchange does not play in lock-step: {answer}; start it with --lockstep")
            return answer
    except (aiohttp.ClientError, ValueError) as error:
        raise RuntimeFailure(f"the lock-step replay lost its exchange ({error}); start it again") from None
