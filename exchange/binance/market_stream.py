"""Public market data: candles and mark prices of the chosen symbols, as events into a sink."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.clock import Clock
from core.events import CandleClosed, StreamChanged, StreamKind, StreamState
from core.ports import EventSink
from exchange.binance.connection import Frame, StreamConnection
from exchange.binance.inbox import Inbox
from exchange.binance.market_frames import decode_market
from exchange.binance.sdk import prepare_sdk
from exchange.binance.settings import VenueSettings
from exchange.binance.supervisor import Connection, Replace, Supervisor
from exchange.binance.timesync import VenueClock

_LOG = logging.getLogger(__name__)

STREAMS_PER_CONNECTION = 1000
"""The venue allows 1024."""

MANY_SYMBOLS = 50
"""From so many symbols on their mark prices come in one frame for all that the venue lists: 263 frames of their own,
each read by the SDK, took ten milliseconds in the very moment at which candles close. Fewer are cheaper one by one."""
MARKS_OF_ALL = "!markPrice@arr@1s"

JUDGE_EVERY_MS = 1_000
"""The ages of some hundred streams are looked at once a second."""


@dataclass(frozen=True, slots=True)
class MarketTimings:
    """When silence counts as loss. Candle frames come every 250 ms for a symbol that trades, mark prices every
    second for each; `symbol_stale_ms` applies to the latter and asks for a replacement at most every `heal_ms`."""

    group_silent_ms: int = 10_000
    symbol_stale_ms: int = 30_000
    heal_ms: int = 300_000
    rotate_ms: int = 12 * 3_600_000


class BinanceMarketStream:
    """Streams `<s>@kline_1m` and `<s>@markPrice@1s` (and `<s>@bookTicker` with `quotes`) for `symbols`; the mark
    prices of many symbols in one stream.

    `sink` gets CandleClosed (once per candle, whatever overlaps), PriceUpdated (from the forming candle),
    MarkPriceUpdated, QuoteUpdated, and StreamChanged when the whole group was lost or is back. `venue_time` learns
    the market's time. `wait` is the supervisor's sleep. `on_handled`, if set, is called with the nanoseconds that each
    frame took to decode and handle.
    """

    def __init__(
        self,
        settings: VenueSettings,
        clock: Clock,
        symbols: Sequence[str],
        sink: EventSink,
        *,
        venue_time: VenueClock | None = None,
        quotes: bool = False,
        timings: MarketTimings | None = None,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        prepare_sdk()
        self._clock = clock
        self._sink = sink
        self._venue_time = venue_time or VenueClock()
        self._inbox = Inbox(self._deliver, clock, _closes_candle)
        self._last_closed: dict[tuple[str, str], int] = {}
        self.on_handled: Callable[[int], None] | None = None
        self._ready = False
        self._decode_failures = 0
        timings = timings or MarketTimings()
        lower = [symbol.lower() for symbol in symbols]
        marks = [MARKS_OF_ALL] if len(lower) >= MANY_SYMBOLS else [_mark_stream(symbol) for symbol in symbols]
        market = marks + [f"{symbol}@kline_1m" for symbol in lower]
        public = [f"{symbol}@bookTicker" for symbol in lower] if quotes else []
        self._groups = [
            _Group(
                settings,
                path,
                streams,
                symbols,
                put=self._inbox.put,
                on_state=self._on_state,
                clock=clock,
                timings=timings,
                wait=wait,
            )
            for path, streams in (*_shards("market", market), *_shards("public", public))
        ]

    def hold_while(self, is_held: Callable[[], bool]) -> None:
        """Let frames wait a moment while `is_held` says so; it is asked before each handful of them."""
        self._inbox.is_held = is_held

    def has_backlog(self) -> bool:
        """Whether candles that closed have arrived that are not handled yet."""
        return self._inbox.has_urgent

    async def run(self) -> None:
        """Stream until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for group in self._groups:
                tasks.create_task(group.supervisor.run())

    @property
    def frames_handled(self) -> int:
        """Frames of all connections so far that have been decoded and handed on, or found unreadable."""
        return self._inbox.delivered

    async def ready(self) -> None:
        """Return when every connection is up and its subscriptions are proved."""
        for group in self._groups:
            await group.supervisor.ready()

    def health(self) -> dict[str, Any]:
        """Ages of the last message by stream kind (ms, None before the first), reconnects, stale symbols, backlog."""
        now_ms = self._clock.now_ms()
        last: dict[str, int] = {}
        for group in self._groups:
            for kind, at_ms in group.last_by_kind.items():
                last[kind] = max(at_ms, last.get(kind, 0))
        return {
            "ready": self._ready,
            "age_ms": {kind: now_ms - at_ms for kind, at_ms in last.items()},
            "reconnects": sum(group.supervisor.reconnects for group in self._groups),
            "stale": sorted(stream for group in self._groups for stream in group.stale_streams(now_ms)),
            "backlog": self._inbox.depth,
            "undecodable": self._decode_failures,
        }

    def _deliver(self, frame: Frame, received_time_ms: int, received_ns: int) -> None:
        if self.on_handled is None:
            self._handle(frame, received_time_ms, received_ns)
            return
        started_ns = self._clock.monotonic_ns()
        self._handle(frame, received_time_ms, received_ns)
        self.on_handled(self._clock.monotonic_ns() - started_ns)

    def _handle(self, frame: Frame, received_time_ms: int, received_ns: int) -> None:
        try:
            data = frame["data"]
            event = decode_market(data, received_time_ms, received_ns)
            if event is None:
                return
            self._venue_time.observe(event.event_time_ms)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            self._decode_failures += 1
            _LOG.warning("market frame of %s cannot be read (%r)", str(frame.get("stream"))[:64], error)
            return
        if isinstance(event, CandleClosed):
            candle = event.candle
            key = (candle.symbol, candle.interval)
            if candle.open_time_ms <= self._last_closed.get(key, -1):
                return  # doubled by an overlap of two connections, or replayed
            self._last_closed[key] = candle.open_time_ms
        self._sink(event)

    def _on_state(self, state: StreamState, detail: str) -> None:
        """Groups report one by one; the market is READY when all are, and LOST as soon as one is."""
        ready = all(group.supervisor.is_ready for group in self._groups)
        if state is StreamState.READY and not ready:
            return
        self._ready = ready
        event = StreamChanged(StreamKind.MARKET, state, detail, self._venue_time.venue_time_ms(), self._clock.now_ms())
        self._sink(event)


def _closes_candle(frame: Frame) -> bool:
    """Whether a frame may lead to a decision: of the many that come with a close, the marks can wait."""
    data = frame.get("data")
    candle = data.get("k") if type(data) is dict else None
    return type(candle) is dict and candle.get("x") is True


class _Group:
    """One supervised connection with the arrival times of its streams."""

    def __init__(
        self,
        settings: VenueSettings,
        path: str,
        streams: list[str],
        symbols: Sequence[str],
        *,
        put: Callable[[Frame], None],
        on_state: Callable[[StreamState, str], None],
        clock: Clock,
        timings: MarketTimings,
        wait: Callable[[float], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._path = path
        self._streams = streams
        watched = [stream for stream in streams if stream != MARKS_OF_ALL]
        self._marks = {symbol: _mark_stream(symbol) for symbol in symbols} if MARKS_OF_ALL in streams else {}
        """What a symbol's part of the frame for all counts as."""
        self._watched = [*watched, *self._marks.values()]
        self._put = put
        self._timings = timings
        self._healed_ms = 0
        self._checked_ms = 0
        self._last: dict[str, int] = {}
        self.supervisor = Supervisor(
            f"{path} ({len(streams)} streams)",
            self._make,
            self._judge,
            on_state,
            clock,
            rotate_ms=timings.rotate_ms,
            backoff_max_s=settings.ws_max_backoff_s,
            wait=wait,
        )

    @property
    def last_by_kind(self) -> dict[str, int]:
        """Arrival of the newest message by stream kind ("kline_1m", "markPrice@1s", "bookTicker")."""
        newest: dict[str, int] = {}
        for stream, at_ms in self._last.items():
            kind = stream.partition("@")[2]
            if at_ms > newest.get(kind, 0):
                newest[kind] = at_ms
        return newest

    def stale_streams(self, now_ms: int) -> list[str]:
        """Mark-price streams without a message for too long: they tick every second, whatever the market does."""
        return [
            stream
            for stream in self._watched
            if stream.endswith("@markPrice@1s")
            and now_ms - self._last.get(stream, now_ms) > self._timings.symbol_stale_ms
        ]

    async def _make(self) -> Connection:
        now_ms = self._clock.now_ms()
        self._last = dict.fromkeys(self._watched, now_ms)  # silence counts from here
        return StreamConnection(self._settings.stream_url, self._path, self._streams, self._take, self._clock)

    def _take(self, frame: Frame) -> None:
        stream = frame["stream"]
        if stream == MARKS_OF_ALL and type(frame.get("data")) is list:
            self._take_marks(frame["data"])
            return
        if stream in self._last:
            self._last[stream] = self._clock.now_ms()
        self._put(frame)

    def _take_marks(self, rows: list[dict[str, Any]]) -> None:
        """Take the mark prices of our symbols out of a frame for all, each as its own stream would bring it."""
        now_ms, streams = self._clock.now_ms(), self._marks
        for row in rows:
            stream = streams.get(row.get("s", ""))
            if stream is not None:
                self._last[stream] = now_ms
                self._put({"stream": stream, "data": row})

    async def _judge(self) -> Replace | None:
        now_ms = self._clock.now_ms()
        if now_ms - self._checked_ms < JUDGE_EVERY_MS:
            return None
        self._checked_ms = now_ms
        for kind, at_ms in self.last_by_kind.items():
            patience_ms = self._timings.symbol_stale_ms if kind == "bookTicker" else self._timings.group_silent_ms
            if now_ms - at_ms > patience_ms:
                return Replace(f"no {kind} message for {(now_ms - at_ms) // 1000} s")
        stale = self.stale_streams(now_ms)
        if stale and now_ms - self._healed_ms > self._timings.heal_ms:
            self._healed_ms = now_ms
            return Replace(f"{len(stale)} streams are silent ({', '.join(stale[:3])})", blind=False)
        return None


def _mark_stream(symbol: str) -> str:
    return f"{symbol.lower()}@markPrice@1s"


def _shards(path: str, streams: list[str]) -> list[tuple[str, list[str]]]:
    return [
        (path, streams[start : start + STREAMS_PER_CONNECTION])
        for start in range(0, len(streams), STREAMS_PER_CONNECTION)
    ]
