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
from simulator.identity import source_of
from simulator.journal import Journal, JournalHeader, Recording
from simulator.market.catalog import generated_specs, select_specs
from simulator.market.market import Market
from simulator.market.model import KlineClosed
from simulator.market.recorded import load_directory
from simulator.options import (
    DEFAULT_API_KEY,
    DEFAULT_API_SECRET,
    ExchangeOptions,
    ReadyInfo,
    key_pair,
)
from simulator.server.auth import Credentials
from simulator.server.driver import MarketDriver
from simulator.server.formats import Precision
from simulator.server.gateway import Gateway
from simulator.server.http import HttpServer
from simulator.server.limits import Limiter
from simulator.server.listen_keys import ListenKeys
from simulator.server.routing import Venue
from simulator.server.streams import StreamHub
from simulator.server.wire import RawRequest, RawResponse
from utils.logging import get_logger

TIME_LINE_MS = 1_000
"""Wall time between two market times in the journal when nothing else is written."""

log = get_logger(__name__)

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
) -> None:
    """Run an exchange until `stop` is set; `ready` is called once it answers.

    Raises ConfigurationError for bad options or data and RuntimeFailure for a port in use, a journal of another
    market, or a journal that can no longer be written.
    """
    exchange = EmbeddedExchange(options, clock or SystemClock())
    try:
        ready(await exchange.start())
        await exchange.run(stop)
    finally:
        await exchange.close()


class EmbeddedExchange:
    """One running exchange: every effect of a request or of the market is journalled before anybody hears of it."""

    def __init__(self, options: ExchangeOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._failure: asyncio.Future[None] | None = None
        self._time_line_due_ms = 0
        self._journal = Journal(options.journal) if options.journal else None
        try:
            self._open()
        except BaseException:
            if self._journal:
                self._journal.close()
            raise

    def _open(self) -> None:
        options, journal = self._options, self._journal
        if options.speed <= 0:
            raise ConfigurationError(f"speed: {options.speed} is not possible; allowed: a number above 0")
        recording = None
        if journal:
            journal.acquire()
            recording = journal.load()
        header, self.market = _build_market(options, recording, self._clock.wall_ms())
        if recording:
            _refuse_other_market(options, header, recording)
            self.market.seek(max(recording.market_ms, self.market.now_ms))
        self.exchange = Exchange(self.market, ExchangeConfig(deposit=options.deposit, seed=options.seed))
        if recording:
            self.exchange.restore(recording.changes)
        changes = recording.changes if recording else tuple(self.exchange.take_changes())
        if journal:
            journal.begin(header, self.market.now_ms, changes)
        self._wire()

    def _wire(self) -> None:
        options = self._options
        precisions = {symbol: Precision.of(spec.instrument) for symbol, spec in self.market.specs.items()}
        keys = ListenKeys(options.api_secret)
        self.hub = StreamHub(self.market, precisions, keys)
        venue = Venue(self.exchange, self.market, Limiter(options.limits), keys, precisions, self.hub.note_book_shown)
        self.gateway = Gateway(venue, Credentials(options.api_key, options.api_secret))
        self._server = HttpServer(self.respond, self.hub, self._clock, options.rules)
        self._driver = MarketDriver(
            self.exchange, self.publish, self._clock, speed=options.speed, end_ms=self.market.end_ms
        )

    async def start(self) -> ReadyInfo:
        """Listen; raises RuntimeFailure when the port is in use."""
        self._failure = asyncio.get_running_loop().create_future()
        port = await self._server.start(self._options.host, self._options.port)
        address = f"{self._options.host}:{port}"
        return ReadyInfo(
            f"http://{address}",
            f"ws://{address}",
            tuple(self.market.specs),
            self.market.now_ms,
            self._options.speed,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Play the market until `stop` is set or something fails for good."""
        assert self._failure is not None, "start() comes first"
        playing = asyncio.create_task(self._driver.run(self.tick))
        stopping = asyncio.create_task(self._wait(stop))
        try:
            await asyncio.wait({playing, stopping, self._failure}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            playing.cancel()
            stopping.cancel()
            results = await asyncio.gather(playing, stopping, return_exceptions=True)
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
        await self._server.stop()
        if self._journal:
            self._journal.close()

    def respond(self, request: RawRequest) -> RawResponse:
        """Answer one REST request: journal its effects, publish them, then reply."""
        try:
            response = self.gateway.handle(request, self._clock.wall_ms())
            self.publish(self.exchange.drain_events())
        except RuntimeFailure as error:
            if self._failure and not self._failure.done():
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
        self.hub.tick(self._clock.wall_ms())


def _build_market(options: ExchangeOptions, recording: Recording | None, wall_ms: int) -> tuple[JournalHeader, Market]:
    """Return the market that the options ask for, and its identity for the journal.

    A journal's start and symbols are kept where the options leave them open, so that its account fits its market.
    """
    kept = recording.header.symbols if recording else ()
    if options.data_dir is not None:
        source = load_directory(options.data_dir, _named(options.symbols, kept))
        for note in source.notes:
            log.info("recorded data", note=note)
        start_ms = options.start_ms or source.start_ms
        market = Market(source, seed=options.seed, start_ms=start_ms, end_ms=source.end_ms)
    else:
        specs = generated_specs(options.symbols) if isinstance(options.symbols, int) else None
        names = tuple(spec.symbol for spec in specs) if specs else options.symbols
        chosen = select_specs(_named(names, kept) or (spec.symbol for spec in generated_specs(10)))
        start_ms = options.start_ms or (recording.header.start_ms if recording else wall_ms)
        market = Market.generated(chosen, seed=options.seed, start_ms=start_ms)
    header = JournalHeader(
        options.seed, source_of(options.data_dir), tuple(market.specs), start_ms, format(options.deposit, "f")
    )
    return header, market


def _named(symbols: tuple[str, ...] | int | None, kept: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the named symbols, and behind them those that the journal's account may hold positions in."""
    if isinstance(symbols, int):
        raise ConfigurationError(f"symbols: {symbols} generated symbols do not go with recorded data; name them")
    if symbols is None:
        return kept or None
    return tuple(dict.fromkeys([*symbols, *kept]))


def _refuse_other_market(options: ExchangeOptions, asked: JournalHeader, recording: Recording) -> None:
    """Raise RuntimeFailure when the journal's account belongs to another market than the one asked for."""
    kept = recording.header
    for name, there, here in (
        ("seed", kept.seed, asked.seed),
        ("market", kept.source, asked.source),
        ("start", kept.start_ms, asked.start_ms),
        ("deposit", kept.deposit, asked.deposit),
    ):
        if there != here:
            raise RuntimeFailure(
                f"journal {options.journal} belongs to another market: its {name} is {there}, asked for is {here}; "
                "start with the same options, give another journal, or start over with --fresh"
            )
