"""A start into a venue that is busy: history that is refused is read again later, and then the symbol trades."""

from __future__ import annotations

import asyncio
import contextlib
import time
from decimal import Decimal

from aiohttp import web

from core.candle import ClosedCandle
from core.clock import SystemClock
from core.events import CandleClosed
from exchange.binance.gateway import BinanceGateway
from strategies.base import History
from strategies.feed import CandleFeed
from strategies.series import Phase
from tests.contract.venue_double import error, until, venue_double
from tests.unit.exchange.test_exchange_info import symbol

MINUTE_MS = 60_000
NOW_MS = 1_700_000_000_000 // MINUTE_MS * MINUTE_MS
REFUSED = 9
NEEDED = 3


def _row(open_ms: int) -> list[object]:
    return [open_ms, "1", "2", "0.5", "1.5", "10", open_ms + MINUTE_MS - 1, "15", 7, "4", "6", "0"]


async def _at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


async def test_history_refused_by_a_burst_of_429_is_read_later_and_the_symbol_trades() -> None:
    heard: list[tuple[int, Phase]] = []
    asked: list[str] = []
    async with venue_double() as venue:

        async def now(_: web.Request) -> web.Response:
            return web.json_response({"serverTime": time.time_ns() // 1_000_000})

        async def klines(request: web.Request) -> web.StreamResponse:
            asked.append(request.query["symbol"])
            if len(asked) <= REFUSED:
                refusal = error(429, -1003, "Too many requests.", **{"Retry-After": "0"})
                return await refusal(request)  # type: ignore[return-value]
            start = int(request.query["startTime"])
            return web.json_response([_row(open_ms) for open_ms in range(start, NOW_MS + 1, MINUTE_MS)])

        venue.answers["GET", "/fapi/v1/time"] = now
        venue.answers["GET", "/fapi/v1/exchangeInfo"] = {"symbols": [symbol()], "rateLimits": []}
        venue.answers["GET", "/fapi/v1/premiumIndex"] = {"symbol": "AAAUSDT", "time": NOW_MS}
        venue.answers["GET", "/fapi/v1/klines"] = klines
        gateway = BinanceGateway(venue.settings, SystemClock())
        await gateway.start()
        feed = CandleFeed(
            gateway,
            {"AAAUSDT": ("1m",)},
            lambda event, phase: heard.append((event.candle.open_time_ms, phase)),
            history_start=lambda _symbol, interval, at: History(NEEDED).start_before(at, interval),
            venue_time=gateway,
            clock=SystemClock(),
            sleep=_at_once,
        )
        failed = await feed.warm_up()
        assert "Too many requests" in failed["AAAUSDT"]
        assert feed.waiting() == ("AAAUSDT",)
        assert heard == []
        running = asyncio.create_task(feed.run())
        try:
            await until(lambda: feed.waiting() == ())
            assert len(asked) > REFUSED
            last_closed_ms = NOW_MS - MINUTE_MS
            assert (last_closed_ms, Phase.WARM_UP) in heard
            assert {phase for _, phase in heard} == {Phase.WARM_UP}
            one = Decimal(1)
            newest = ClosedCandle("AAAUSDT", "1m", NOW_MS, open=one, high=one, low=one, close=one, volume=one)
            feed.accept(CandleClosed(newest, NOW_MS + MINUTE_MS, 0))
            await until(lambda: (NOW_MS, Phase.LIVE) in heard)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            await gateway.close()
