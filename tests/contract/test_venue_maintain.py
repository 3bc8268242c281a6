"""The gateway's upkeep on a virtual clock: time every five minutes, instruments every hour, jumps at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from core.clock import VirtualClock
from core.events import ClockJumped, Event, InstrumentsRefreshed
from exchange.binance.gateway import BinanceGateway
from tests.contract.venue_double import VenueDouble, raw, until, venue_double
from tests.unit.exchange.test_exchange_info import symbol

START_MS = 1_700_000_000_000
TIME, INFO = ("GET", "/fapi/v1/time"), ("GET", "/fapi/v1/exchangeInfo")


@dataclass
class Stage:
    """A started gateway whose upkeep advances a virtual second per step, up to `limit_ms`."""

    venue: VenueDouble
    clock: VirtualClock
    gateway: BinanceGateway
    events: list[Event] = field(default_factory=list)
    limit_ms: int = START_MS
    server_offset_ms: int = 0

    async def live_until(self, time_ms: int) -> None:
        self.limit_ms = time_ms
        await until(lambda: self.clock.now_ms() >= time_ms, within_s=60)
        await asyncio.sleep(0.1)  # whatever was due at the end finishes

    def at(self, target: tuple[str, str]) -> int:
        return len(self.venue.to(*target))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    clock = VirtualClock(START_MS)
    events: list[Event] = []
    async with venue_double() as venue:
        wait: Callable[[float], Awaitable[None]]

        async def step(seconds: float) -> None:
            while clock.now_ms() >= found.limit_ms:  # noqa: ASYNC110 - the test lets time go on
                await asyncio.sleep(0.002)
            clock.advance_to(clock.now_ms() + int(seconds * 1000))
            await asyncio.sleep(0)

        wait = step
        gateway = BinanceGateway(venue.settings, clock, on_event=events.append, wait=wait)
        found = Stage(venue, clock, gateway, events)

        async def now(_: web.Request) -> web.Response:
            return web.json_response({"serverTime": clock.now_ms() + found.server_offset_ms})

        venue.answers[TIME] = now
        venue.answers[INFO] = {"symbols": [symbol()]}
        venue.answers["GET", "/fapi/v1/premiumIndex"] = {"symbol": "AAAUSDT", "time": START_MS}
        await gateway.start()
        events.clear()
        venue.hits.clear()
        task = asyncio.create_task(gateway.maintain())
        yield found
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await gateway.close()


async def test_upkeep_refreshes_time_every_five_minutes_and_instruments_every_hour(stage: Stage) -> None:
    await stage.live_until(START_MS + 3_590_000)
    assert 11 * 4 <= stage.at(TIME) <= 12 * 4
    assert stage.at(INFO) == 0
    await stage.live_until(START_MS + 3_620_000)
    assert stage.at(INFO) == 1
    assert [type(event) for event in stage.events] == [InstrumentsRefreshed]


async def test_upkeep_tries_a_failed_refresh_again_in_seconds(stage: Stage) -> None:
    stage.venue.answers[INFO] = raw(400, '{"code":-1121,"msg":"Invalid symbol."}')
    await stage.live_until(START_MS + 3_640_000)
    assert 3 <= stage.at(INFO) <= 5
    assert stage.gateway.instruments()  # the old ones stay


async def test_step_of_the_wall_clock_is_told_and_time_is_measured_again(stage: Stage) -> None:
    stage.clock.skew_wall(3_600_000)
    await stage.live_until(START_MS + 5_000)
    assert [event.jump_ms for event in stage.events if isinstance(event, ClockJumped)] == [3_600_000]
    assert stage.at(TIME) == 4


async def test_venue_clock_that_moved_is_followed_and_told(stage: Stage) -> None:
    stage.server_offset_ms = 7_000
    await stage.live_until(START_MS + 310_000)
    assert [event.jump_ms for event in stage.events if isinstance(event, ClockJumped)] == [7_000]
    assert stage.gateway.clock_offset_ms == 7_000
