"""The venues that the contract suite runs over: the embedded exchange through real sockets, and the testnet."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from core.clock import SystemClock
from core.commands import VenueCommand, VenueReply
from core.enums import Environment
from core.events import Event, StreamChanged
from core.instrument import Instrument, Rounding
from exchange.binance.gateway import BinanceGateway
from exchange.binance.market_stream import BinanceMarketStream
from exchange.binance.settings import VenueSettings, urls_for
from exchange.binance.user_stream import BinanceUserStream
from simulator.service import DEFAULT_API_KEY, DEFAULT_API_SECRET, ExchangeOptions, ReadyInfo, serve
from tests.contract.venue_double import until

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
SYMBOL = "XRPUSDT"
TESTNET_KEYS = ("BINANCE_API_KEY", "BINANCE_API_SECRET")


def has_testnet_keys() -> bool:
    return all(os.environ.get(name) for name in TESTNET_KEYS)


def settings_of_testnet() -> VenueSettings:
    rest_url, stream_url = urls_for(Environment.TESTNET)
    key, secret = (os.environ[name] for name in TESTNET_KEYS)
    return VenueSettings(rest_url, stream_url, key, secret, environment=Environment.TESTNET)


@contextlib.contextmanager
def embedded_exchange(speed: float, **options: Any) -> Iterator[VenueSettings]:
    """Serve an exchange of three symbols from a thread of its own, on a free port."""
    started = threading.Event()
    found: list[ReadyInfo] = []
    failures: list[BaseException] = []
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def ready(info: ReadyInfo) -> None:
        found.append(info)
        started.set()

    async def play() -> None:
        loops.append(asyncio.get_running_loop())
        await serve(ExchangeOptions(symbols=SYMBOLS, speed=speed, **options), ready=ready, stop=stop)

    def run() -> None:
        try:
            asyncio.run(play())
        except BaseException as error:
            failures.append(error)
            started.set()

    thread = threading.Thread(target=run, name="embedded-exchange")
    thread.start()
    try:
        assert started.wait(30), "the embedded exchange did not start"
        assert not failures, failures
        yield VenueSettings(found[0].rest_url, found[0].stream_url, DEFAULT_API_KEY, DEFAULT_API_SECRET)
    finally:
        if loops:
            loops[0].call_soon_threadsafe(stop.set)
        thread.join(10)
    assert not thread.is_alive()
    assert not failures, failures


@dataclass
class Trader:
    """A gateway with both streams and what they told."""

    settings: VenueSettings
    gateway: BinanceGateway
    market: BinanceMarketStream
    user: BinanceUserStream
    events: list[Event] = field(default_factory=list)

    @property
    def instrument(self) -> Instrument:
        return self.gateway.instruments()[SYMBOL]

    async def execute(self, command: VenueCommand) -> VenueReply:
        return await self.gateway.execute(command)

    async def price(self) -> Decimal:
        """The newest closed candle's close."""
        (candle,) = await self.gateway.candles(SYMBOL, "1m", None, None, 1)
        return candle.close

    async def quantity(self) -> Decimal:
        """A quantity of one and a half times the minimum notional."""
        return self.instrument.round_quantity(
            self.instrument.min_notional * Decimal("1.5") / await self.price(), Rounding.UP, market=True
        )

    def tick(self, price: Decimal) -> Decimal:
        return self.instrument.round_price(price, Rounding.NEAREST)


@contextlib.asynccontextmanager
async def trader(settings: VenueSettings) -> AsyncIterator[Trader]:
    clock = SystemClock()
    events: list[Event] = []
    gateway = BinanceGateway(settings, clock, on_event=events.append)
    await gateway.start()
    market = BinanceMarketStream(settings, clock, [SYMBOL], events.append, venue_time=gateway.venue_time)
    user = BinanceUserStream(settings, gateway, clock, events.append, venue_time=gateway.venue_time)
    tasks = [asyncio.create_task(stream.run()) for stream in (market, user)]
    try:
        await until(lambda: sum(isinstance(event, StreamChanged) for event in events) == 2, within_s=20)
        yield Trader(settings, gateway, market, user, events)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await gateway.close()
