"""The venue port over REST: commands in, replies out, nothing raised for what the venue or the network does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, TypeVar

from core.candle import INTERVAL_MS, ClosedCandle
from core.clock import Clock
from core.commands import (
    Accepted,
    FetchFills,
    FetchIncome,
    InDoubt,
    Outcome,
    RefusalKind,
    Refused,
    VenueCommand,
    VenueReply,
)
from core.errors import RuntimeFailure
from core.events import ClockJumped, InstrumentsRefreshed
from core.instrument import Instrument
from core.ports import EventSink
from exchange.binance import mapping
from exchange.binance.calls import EXCHANGE_INFO, LISTEN_KEY, SERVER_TIME, WRITES, Call, call_for, premium_index
from exchange.binance.exchange_info import InstrumentCache, parse_exchange_info
from exchange.binance.paging import read_candles, read_fills, read_income
from exchange.binance.requester import Requester
from exchange.binance.sdk import prepare_sdk
from exchange.binance.settings import VenueSettings
from exchange.binance.timesync import GatewayTime, JumpWatch, TimeSample, VenueClock, best_offset_ms
from exchange.binance.wire import WireError, as_row, decode_json, integer, text
from utils.redaction import register_secret

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

TIME_SAMPLES = 4
OFFSET_JUMP_MS = 1_000
MAINTAIN_STEP_S = 1.0
TIME_REFRESH_MS = 300_000
INSTRUMENT_REFRESH_MS = 3_600_000
REFRESH_RETRY_MS = 10_000
"""Pause before a failed refresh is tried again, and between two refreshes that filter refusals ask for."""
READ_TRIES = 4


class BinanceGateway:
    """Implements `VenuePort`, `CandleSource`, `InstrumentSource` and `VenueTime` for one account.

    Call `start` first and `close` last; run `maintain` as a task in between. `on_event` receives
    `InstrumentsRefreshed` and `ClockJumped` on the event loop. `venue_time` is the newest market time known: hand it
    to the streams, which feed it. `on_sent`, if set, is called for each write with its command and the monotonic
    nanoseconds when its bytes have left (from a worker thread; for latency measurements).
    """

    def __init__(
        self,
        settings: VenueSettings,
        clock: Clock,
        *,
        on_event: EventSink | None = None,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        prepare_sdk()
        self._clock = clock
        self._on_event = on_event
        self._wait = wait
        self._time = GatewayTime(clock)
        self._address = settings.rest_url
        self._requester = Requester(settings, self._time, clock, wait)
        self._cache = InstrumentCache()
        self._jumps = JumpWatch(clock)
        self._sync_lock = asyncio.Lock()
        self._next_sync_ms = 0
        self._next_refresh_ms = 0
        self._refreshed_ms = 0
        self.venue_time = VenueClock()
        self.on_sent: Callable[[VenueCommand, int], None] | None = None

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Synchronise time, read exchangeInfo, learn the market's time; raises RuntimeFailure when it cannot."""
        await self.synchronise()
        await self.refresh_instruments()
        symbol = next(iter(self._cache.instruments()), None)
        if symbol is None:
            raise RuntimeFailure("the venue lists no perpetual contract that can be traded: check its exchangeInfo")
        self.venue_time.observe(await self._read(premium_index(symbol), lambda body: integer(as_row(body), "time")))

    def refuse_writes(self, why: str) -> None:
        """Let nothing leave any more that changes something at the venue, nor what waits for its turn already."""
        self._requester.fenced = why

    async def close(self) -> None:
        """Refuse new commands, wait for the writes under way, give threads and connections back."""
        self._requester.closing = True
        await self._requester.drain()
        self._requester.close()

    async def maintain(self) -> None:
        """Keep time and instruments fresh until cancelled; a failure is logged and tried again, never raised."""
        while True:
            await self._wait(MAINTAIN_STEP_S)
            now_ms = self._clock.now_ms()
            jump_ms = self._jumps.jump_ms()
            if jump_ms:
                self._tell_jump(jump_ms)
            if jump_ms or now_ms >= self._next_sync_ms:
                self._next_sync_ms = now_ms + REFRESH_RETRY_MS
                await self._attempt("time", self.synchronise)
            if self._requester.filters_stale:
                self._requester.filters_stale = False
                self._next_refresh_ms = min(self._next_refresh_ms, self._refreshed_ms + REFRESH_RETRY_MS)
            if now_ms >= self._next_refresh_ms:
                self._next_refresh_ms = now_ms + REFRESH_RETRY_MS
                await self._attempt("exchangeInfo", self.refresh_instruments)

    async def synchronise(self) -> None:
        """Measure the offset to the gateway's clock again; raises RuntimeFailure when no sample could be taken."""
        async with self._sync_lock:
            samples = [await self._time_sample()]
            with contextlib.suppress(RuntimeFailure):  # one sample is enough, more are better
                samples += [await self._time_sample() for _ in range(TIME_SAMPLES - 1)]
            moved_ms = self._time.adjust(best_offset_ms(samples))
            self._next_sync_ms = self._clock.now_ms() + TIME_REFRESH_MS
        if abs(moved_ms) > OFFSET_JUMP_MS:
            self._tell_jump(moved_ms)

    async def refresh_instruments(self) -> None:
        """Read exchangeInfo again and tell what changed; raises RuntimeFailure when it cannot be read."""
        body = await self._read_bytes(EXCHANGE_INFO)
        try:
            instruments, limits = await asyncio.to_thread(parse_exchange_info, body)
        except WireError as error:
            raise RuntimeFailure(str(error)) from None
        self._requester.budget.set_limits(limits)
        self._refreshed_ms = self._clock.now_ms()
        self._next_refresh_ms = self._refreshed_ms + INSTRUMENT_REFRESH_MS
        changed = self._cache.replace(instruments)
        if self._on_event is not None:
            self._on_event(InstrumentsRefreshed(changed, self.venue_time_ms(), self._clock.now_ms()))

    # -- ports --------------------------------------------------------------------------------------------------------

    def instruments(self) -> Mapping[str, Instrument]:
        """The newest filters by symbol; an immutable snapshot."""
        return self._cache.instruments()

    def venue_time_ms(self) -> int:
        """The newest market time seen in any message, 0 before `start`."""
        return self.venue_time.venue_time_ms()

    async def execute(self, command: VenueCommand) -> VenueReply:
        """Carry a command out. What has left goes on to its end even when the caller is cancelled."""
        if isinstance(command, WRITES):
            outcome, expires_ms = await self._once(command)
        else:
            outcome, expires_ms = await self._query(command), None
        if isinstance(outcome, Accepted):
            self.venue_time.observe(mapping.newest_time_ms(outcome.payload))
        elif isinstance(outcome, Refused) and outcome.kind is RefusalKind.CLOCK:
            await self._attempt("time", self.synchronise)  # so that the same request may go again at once
        return VenueReply(command, outcome, self.venue_time_ms(), self._clock.now_ms(), expires_ms)

    async def candles(
        self, symbol: str, interval: str, start_time_ms: int | None, end_time_ms: int | None, limit: int
    ) -> list[ClosedCandle]:
        """Return up to `limit` closed candles, ascending; raises RuntimeFailure when the venue cannot be read.

        A candle is closed when a later one stands in the same answer, or when the market's time had passed its end
        before the question was asked.
        """
        if interval not in INTERVAL_MS:
            raise RuntimeFailure(f"interval {interval!r} is not one of {', '.join(INTERVAL_MS)}")
        latest = start_time_ms is None and end_time_ms is None
        pages = read_candles(symbol, interval, start_time_ms, end_time_ms, limit + 1 if latest else limit)

        def decode(body: Any) -> tuple[ClosedCandle, ...]:
            return tuple(mapping.candles(symbol, interval, body))

        closed_opens: set[int] = set()

        async def page(call: Call) -> tuple[ClosedCandle, ...]:
            # Known before the question: by the time of the answer a candle may be over that was forming in it.
            asked_ms = self.venue_time_ms()
            rows = await self._read(call, decode)
            closed_opens.update(row.open_time_ms for row in rows[:-1])
            closed_opens.update(row.open_time_ms for row in rows[-1:] if row.close_time_ms < asked_ms)
            return rows

        rows = await self._walk(pages, page)
        if rows:
            self.venue_time.observe(rows[-1].open_time_ms)  # a candle is there only once its interval has begun
        closed = [candle for candle in rows if candle.open_time_ms in closed_opens]
        return closed[-limit:] if start_time_ms is None else closed[:limit]

    async def listen_key(self) -> str:
        """Return the account's listen key, made or extended by 60 minutes; raises RuntimeFailure.

        The venue answers a repeated request with the same key while it lives, so this is also the way to keep it.
        """
        key = await self._read(LISTEN_KEY, lambda body: text(as_row(body), "listenKey"))
        register_secret(key)  # whoever holds it can read the account's events
        return key

    # -- figures ------------------------------------------------------------------------------------------------------

    @property
    def used_weight(self) -> int:
        """Request weight used in the current minute."""
        return self._requester.budget.used_weight

    @property
    def latency(self) -> dict[str, float]:
        """Round trips of the last thousand orders in milliseconds: p50_ms, p99_ms, max_ms, count."""
        return self._requester.latency

    @property
    def clock_offset_ms(self) -> int:
        """The venue's gateway clock minus our steady clock."""
        return self._time.offset_ms

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _once(self, command: VenueCommand) -> tuple[Outcome, int | None]:
        hook = self.on_sent
        on_sent = (lambda sent_ns: hook(command, sent_ns)) if hook is not None else None
        return await self._requester.request(
            call_for(command), lambda body: mapping.payload_of(command, body), on_sent=on_sent
        )

    async def _query(self, command: VenueCommand) -> Outcome:
        if not isinstance(command, FetchFills | FetchIncome):
            return (await self._once(command))[0]

        async def page(call: Call) -> Any:
            outcome, _ = await self._requester.request(call, lambda body: mapping.payload_of(command, body))
            if not isinstance(outcome, Accepted):
                raise _PageFailed(outcome)
            return outcome.payload

        now_ms = self.venue_time_ms()
        try:
            if isinstance(command, FetchFills):
                return Accepted(await self._walk(read_fills(command, now_ms), page))
            return Accepted(await self._walk(read_income(command, now_ms), page))
        except _PageFailed as failed:
            return failed.outcome

    async def _walk(
        self,
        pages: Generator[Call, tuple[T, ...], tuple[T, ...]],
        read: Callable[[Call], Awaitable[tuple[T, ...]]],
    ) -> tuple[T, ...]:
        """Send each call that `pages` yields and hand it the page, until it returns the whole."""
        call = next(pages)
        while True:
            page = await read(call)
            try:
                call = pages.send(page)
            except StopIteration as done:
                whole: tuple[T, ...] = done.value
                return whole

    async def _read(self, call: Call, decode: Callable[[Any], T]) -> T:
        """Read something that may safely be asked again; raises RuntimeFailure after `READ_TRIES` failures."""
        body = await self._read_bytes(call)
        try:
            return decode(decode_json(body))
        except WireError as error:
            raise RuntimeFailure(f"{call.path}: {error}") from None

    async def _read_bytes(self, call: Call) -> bytes:
        problem = ""
        for attempt in range(READ_TRIES):
            if attempt:
                await self._wait(0.25 * 2**attempt)
            answer = await self._requester.send(call)
            if isinstance(answer, Refused):
                problem = answer.message
                break
            if answer.error is None:
                return answer.body
            verdict = self._requester.failure(call, answer.error)
            problem = _problem(verdict)
            if isinstance(verdict, Refused) and verdict.kind is not RefusalKind.LOCAL:
                break
        raise RuntimeFailure(f"the venue did not answer {call.method} {call.path}: {problem}")

    async def _time_sample(self) -> TimeSample:
        answer = await self._requester.send(SERVER_TIME)
        where = self._address
        if isinstance(answer, Refused):
            raise RuntimeFailure(f"{where}: the venue's time cannot be read: {answer.message}")
        if answer.error is not None:
            problem = _problem(self._requester.failure(SERVER_TIME, answer.error))
            raise RuntimeFailure(
                f"{where}: the venue's time cannot be read: {problem}; check the network and the address"
            )
        try:
            server_ms = integer(as_row(decode_json(answer.body)), "serverTime")
        except WireError as error:
            raise RuntimeFailure(f"{where}: the venue's time cannot be read: {error}") from None
        round_trip_ms = (answer.received_ns - answer.sent_ns) // 1_000_000
        return TimeSample(answer.sent_ms, answer.sent_ms + round_trip_ms, server_ms)

    async def _attempt(self, name: str, refresh: Callable[[], Awaitable[None]]) -> None:
        try:
            await refresh()
        except RuntimeFailure as error:
            _LOG.warning("refreshing %s failed, will be tried again: %s", name, error)

    def _tell_jump(self, jump_ms: int) -> None:
        if self._on_event is not None:
            self._on_event(ClockJumped(jump_ms, self.venue_time_ms(), self._clock.now_ms()))


def _problem(verdict: Refused | InDoubt) -> str:
    return verdict.detail if isinstance(verdict, InDoubt) else f"{verdict.message} ({verdict.code})"


class _PageFailed(Exception):
    """A page could not be read: the whole list is unknown."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("a page could not be read")
        self.outcome = outcome
