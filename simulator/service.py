"""The embedded exchange as one program: builds market, engine and servers, keeps the journal, serves until told.

`serve` is all that a caller needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core.clock import Clock, SystemClock
from core.errors import ConfigurationError, RuntimeFailure
from simulator.engine.config import ExchangeConfig
from simulator.engine.events import ExchangeEvent
from simulator.engine.exchange import Exchange
from simulator.faults.desk import FaultDesk
from simulator.faults.injector import FaultInjector
from simulator.faults.schedule import FaultSchedule
from simulator.journal import Journal, JournalHeader, Recording
from simulator.market.candle_play import CandlePlay
from simulator.market.live import LiveMarket
from simulator.market.live_client import LiveClient
from simulator.market.market import Market
from simulator.market.model import KlineClosed
from simulator.options import (
    DEFAULT_API_KEY,
    DEFAULT_API_SECRET,
    ExchangeOptions,
    ReadyInfo,
    key_pair,
)
from simulator.server.auth import Credentials
from simulator.server.countdown import Countdowns
from simulator.server.driver import LiveDriver, MarketDriver
from simulator.server.formats import Precision
from simulator.server.gateway import Gateway
from simulator.server.http import HttpServer
from simulator.server.limits import Limiter
from simulator.server.listen_keys import ListenKeys
from simulator.server.lockstep import LockstepDriver, LockstepServer
from simulator.server.ports import MarketFeed
from simulator.server.routing import Venue
from simulator.server.streams import StreamHub
from simulator.server.wire import RawRequest, RawResponse
from simulator.source import open_source

TIME_LINE_MS = 1_000
"""Wall time between two market times in the journal when nothing else is written."""

__all__ = [
    "DEFAULT_API_KEY",
    "DEFAULT_API_SECRET",
    "EmbeddedExchange",
    "ExchangeOptions",
    "ReadyInfo",
    "key_pair",
    "serve",
]


async def serve(
    options: ExchangeOptions,
    *,
    ready: Callable[[ReadyInfo], None],
    stop: asyncio.Event,
    clock: Clock | None = None,
    faults: FaultInjector | None = None,
) -> None:
    """Run an exchange until `stop` is set; `ready` is called once it answers.

    `faults` plays a fault schedule and can be switched while it runs; `options.faults` names a schedule's file.

    Raises ConfigurationError for bad options or data and RuntimeFailure for a port in use, a journal of another
    market, or a journal that can no longer be written.
    """
    exchange = EmbeddedExchange(options, clock or SystemClock(), faults)
    try:
        ready(await exchange.start())
        await exchange.run(stop)
    finally:
        await exchange.close()


class EmbeddedExchange:
    """One running exchange: every effect of a request or of the market is journalled before anybody hears of it."""

    def __init__(self, options: ExchangeOptions, clock: Clock, faults: FaultInjector | None = None) -> None:
        if faults is None and options.faults is not None:
            faults = FaultInjector(FaultSchedule.load(options.faults))
        self.faults = faults
        self._desk = FaultDesk(faults, clock.wall_ms) if faults is not None else None
        self._options = options
        self._clock = self._desk.clock(clock) if self._desk else clock
        self._journal = Journal(options.journal) if options.journal else None
        self._feeder: LiveClient | None = None
        self._server: HttpServer | None = None
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._time_line_due_ms = 0

    async def start(self) -> ReadyInfo:
        """Open the market and the account, and listen; the market stands still until `run`."""
        options, recording = self._options, None
        if options.speed <= 0:
            raise ConfigurationError(f"speed: {options.speed} is not possible; allowed: a number above 0")
        if self._journal:
            self._journal.acquire()
            recording = self._journal.load()
        source = await open_source(options, recording, self._clock)
        self.market: MarketFeed = source.market
        self._feeder = source.feeder
        self._open_account(source.header, recording)
        self._wire(source.market)
        return await self._listen()

    def _open_account(self, header: JournalHeader, recording: Recording | None) -> None:
        """Make the account anew or as the journal knows it, and begin the journal with it."""
        config = ExchangeConfig(deposit=self._options.deposit, seed=self._options.seed)
        if self._desk:
            self.market = self._desk.market(self.market)
            self.exchange: Exchange = self._desk.exchange(self.market, config)
        else:
            self.exchange = Exchange(self.market, config)
        if recording:
            self.exchange.restore(recording.changes)
        changes = recording.changes if recording else tuple(self.exchange.take_changes())
        if self._journal:
            self._journal.begin(header, self.market.now_ms, changes)

    def _wire(self, source: Market | LiveMarket) -> None:
        options, market = self._options, self.market
        precisions = {symbol: Precision.of(spec.instrument) for symbol, spec in market.specs.items()}
        keys = ListenKeys(options.api_secret)
        self.hub = (self._desk.hub if self._desk else StreamHub)(market, precisions, keys)
        self._countdowns = Countdowns(cancels_algos=options.countdown_cancels_algos)
        venue = Venue(
            self.exchange,
            market,
            Limiter(options.limits),
            keys,
            precisions,
            self.hub.note_book_shown,
            self._countdowns,
            options.speed,
        )
        self.gateway = Gateway(venue, Credentials(options.api_key, options.api_secret))
        self._driver: MarketDriver | LiveDriver | LockstepDriver
        if isinstance(source, LiveMarket):
            self._driver = LiveDriver(self.exchange, source, self.publish)
        elif isinstance(source, CandlePlay):
            self._driver = LockstepDriver(self.exchange, source, self.publish, self.hub.show)
        else:
            self._driver = MarketDriver(
                self.exchange, self.publish, self._clock, speed=options.speed, end_ms=market.end_ms
            )

    async def _listen(self) -> ReadyInfo:
        parts = self.respond, self.hub, self._clock, self._options.rules
        if isinstance(self._driver, LockstepDriver):
            self._server = LockstepServer(self._driver, *parts)
        else:
            self._server = (self._desk.server if self._desk else HttpServer)(*parts)
        port = await self._server.start(self._options.host, self._options.port)
        address = f"{self._options.host}:{port}"
        return ReadyInfo(
            f"http://{address}",
            f"ws://{address}",
            tuple(self.market.specs),
            self.market.now_ms,
            self._options.speed,
            self.market.end_ms,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Play the market until `stop` is set or something fails for good."""
        work = [self._driver.run(self._faulty_tick if self._desk else self.tick), self._wait(stop)]
        if self._feeder is not None:
            work.append(self._feeder.run())
        tasks = [asyncio.create_task(part) for part in work]
        try:
            await asyncio.wait({*tasks, self._failure}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        if self._failure.done():
            self._failure.result()
        for result in results:
            if isinstance(result, Exception):
                raise result

    @staticmethod
    async def _wait(stop: asyncio.Event) -> None:
        await stop.wait()

    async def close(self) -> None:
        """Close the port, all connections and the journal."""
        if self._server:
            await self._server.stop()
        if self._feeder:
            await self._feeder.close()
        if self._journal:
            self._journal.close()

    def respond(self, request: RawRequest) -> RawResponse:
        """Answer one REST request: journal its effects, publish them, then reply."""
        try:
            response = self.gateway.handle(request, self._clock.wall_ms())
            self.publish(self.exchange.drain_events())
        except RuntimeFailure as error:
            if not self._failure.done():
                self._failure.set_exception(error)
            return RawResponse(503, b'{"code":-1001,"msg":"Internal error; unable to process your request."}')
        return response

    def publish(self, events: list[ExchangeEvent]) -> None:
        """Journal what changed, then send `events` to the streams."""
        if self._journal:
            self._write_journal(self._journal, events)
        else:
            self.exchange.take_changes()
        self.hub.publish(events)

    def _write_journal(self, journal: Journal, events: list[ExchangeEvent]) -> None:
        """A candle's end is always written before it is shown, so that no run shows it twice."""
        changes = self.exchange.take_changes()
        wall_ms = self._clock.now_ms()
        is_due = wall_ms >= self._time_line_due_ms or any(isinstance(event, KlineClosed) for event in events)
        if changes or is_due:
            journal.append(self.market.now_ms, changes)
            self._time_line_due_ms = wall_ms + TIME_LINE_MS

    def tick(self) -> None:
        wall_ms = self._clock.wall_ms()
        if self._countdowns.run_out(self.exchange, wall_ms):
            self.publish(self.exchange.drain_events())
        self.hub.tick(wall_ms)

    def _faulty_tick(self) -> None:
        assert self._desk is not None
        self._desk.tick()
        self.publish(self.exchange.drain_events())
        self.tick()
