"""The thin asynchronous shell around the core: one event at a time in, effects out, replies back in.

Per symbol the effects keep their order: a durable write is on disk before a request after it leaves, and while one
symbol waits for its commit the others go on (the writer groups commits that wait together). Requests are started, never
awaited in the loop, and never abandoned: their answers come back as events.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog

from core.bus import Bus
from core.clock import Clock
from core.commands import (
    InDoubt,
    RefusalKind,
    Refused,
    VenueCommand,
    VenueReply,
)
from core.effects import Notify, Send
from core.enums import Severity
from core.events import SignalReceived, Tick
from core.ports import AlertSink, RecordWriter, VenuePort, VenueTime
from core.records import AlertRecord, TradeState
from core.signal import Signal
from executor.core import TradingCore
from executor.fencing import WRITES
from executor.inputs import (
    FlattenRequested,
    Input,
    KillRequested,
    LeaseLost,
    ReconcileRequested,
    ResumeRequested,
    StopRequested,
)
from executor.intake import LOOK_AGAIN_S, SignalIntake
from executor.lanes import Lanes
from executor.view import CoreView

log = structlog.get_logger(__name__)

TICK_MS = 250
SLICE_MS = 4.0
"""How long events are handled before other tasks get a turn: writes and orders of the first ones are then under way."""
WRITE_MS = 1.0
"""What a request costs until it is on the wire: the loop rests so long for each one that it has handed over."""

STOP_WAIT_S = 10.0
PAUSE_MS_MAX = 20_000
"""Well below the life of a lease: after a longer standstill it is looked at before anything is sent."""
RECONCILE_WAIT_S = 20.0
_ENTERED = frozenset({TradeState.FILLED, TradeState.PROTECTED, TradeState.CLOSING})


class Executor:
    """Feeds a `TradingCore` and carries its effects out.

    `offer` is the streams' sink: synchronous, never blocking, unbounded (losing a user event costs more than memory).
    `run` works until `stop`. `clock_offset_ms` tells the measured offset to the venue's clock, where there is one.
    """

    def __init__(  # noqa: PLR0917
        self,
        core: TradingCore,
        venue: VenuePort,
        writer: RecordWriter,
        alerts: AlertSink,
        clock: Clock,
        venue_time: VenueTime,
        *,
        signals: Bus[Signal] | None = None,
        clock_offset_ms: Callable[[], int | None] | None = None,
        tick_ms: int = TICK_MS,
    ) -> None:
        self._core = core
        self._venue = venue
        self._alerts = alerts
        self._clock = clock
        self._venue_time = venue_time
        self._signals = signals
        self._clock_offset_ms = clock_offset_ms
        self._tick_ms = tick_ms
        self._queue: deque[Input] = deque()
        self._intake = SignalIntake(clock, self.has_orders_leaving, core.entries_possible)
        self._wake = asyncio.Event()
        if signals is not None:
            signals.on_put = self._wake.set
        self._lanes = Lanes(writer, clock, self._act, self.offer, self._wake.set)
        self._requests: set[asyncio.Task[None]] = set()
        self._writes_under_way = 0
        self._leaving_until_ns = 0
        self._running: list[asyncio.Task[None]] = []
        self._is_stopped = False
        self._lost_lease: str | None = None
        self._is_paused = False
        self._ticked_ms = clock.now_ms()
        self.depth_max = 0
        self.events_handled = 0
        self.last_event_ms: int | None = None
        self.on_sent: Callable[[VenueCommand], None] | None = None
        """Called just before a request is handed to the venue; for latency measurements."""

    # --- public -------------------------------------------------------------------------------------------------

    def offer(self, event: Input) -> None:
        """Queue an event; never blocks, never raises, never drops. Signals wait behind everything else."""
        if isinstance(event, SignalReceived):
            self._intake.put(event)
        else:
            self._queue.append(event)
        self.depth_max = max(self.depth_max, self._depth())
        self._wake.set()

    def _depth(self) -> int:
        return len(self._queue) + len(self._intake)

    async def run(self) -> None:
        """Handle events, ticks and signals until cancelled or stopped. Raises what a broken part raised."""
        self._running = [
            asyncio.create_task(self._handle_events(), name="executor-events"),
            asyncio.create_task(self._tick(), name="executor-tick"),
        ]
        try:
            await asyncio.gather(*self._running)
        except asyncio.CancelledError:
            if not self._is_stopped:
                raise
        finally:
            for task in self._running:
                task.cancel()

    async def stop(self, wait_s: float = STOP_WAIT_S) -> None:
        """Take no new entries, wait for requests and writes under way (at most `wait_s`), then end `run`.

        Open positions keep their stops at the venue; a position that is just being protected gets its stop first.
        """
        self.offer(StopRequested(self._clock.now_ms()))
        deadline = self._clock.now_ms() + int(wait_s * 1000)
        while self._is_busy() and self._clock.now_ms() < deadline:  # noqa: ASYNC110 - several conditions, briefly
            await asyncio.sleep(0.02)
        self._is_stopped = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def stop_entries(self) -> None:
        """Take no new entries from now on; everything else goes on until `stop`."""
        self.offer(StopRequested(self._clock.now_ms()))

    async def reconcile(self, reason: str, wait_s: float = RECONCILE_WAIT_S) -> bool:
        """Compare our books with the venue's now; returns whether they agree, on disk too, within `wait_s`."""
        self.offer(ReconcileRequested(reason, self._clock.now_ms()))
        deadline = self._clock.now_ms() + int(wait_s * 1000)
        await asyncio.sleep(0.02)  # until the request has been handled, the books still count as agreed
        while self._depth() or self._lanes.owes_rows() or not self._core.view().is_reconciled:
            if self._clock.now_ms() >= deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def kill(self, detail: str) -> None:
        """Latch the kill switch and empty the account."""
        self.offer(KillRequested(detail, self._clock.now_ms()))

    def flatten(self, symbol: str, detail: str) -> None:
        """Empty one symbol."""
        self.offer(FlattenRequested(symbol, detail, self._clock.now_ms()))

    def resume(self) -> None:
        """Lift the kill latch, where the account was verified flat."""
        self.offer(ResumeRequested(self._clock.now_ms()))

    def lease_lost(self, detail: str) -> None:
        """Send nothing more from this moment on: another process has the account."""
        self._lost_lease = detail
        self.offer(LeaseLost(detail, self._clock.now_ms()))

    def lease_checked(self) -> None:
        """The lease was looked at and is not known to be lost: a pause of the process is over."""
        self._is_paused = False

    def has_orders_leaving(self) -> bool:
        """Whether an order waits for the disk, or has just been handed over and is hardly on the wire yet."""
        return self._lanes.commits_waiting > 0 or self.has_requests_leaving()

    def has_requests_leaving(self) -> bool:
        """Whether an order has just been handed over and is hardly on the wire yet."""
        return self._writes_under_way > 0 and self._clock.monotonic_ns() < self._leaving_until_ns

    def is_at_rest(self) -> bool:
        """Whether nothing waits to be handled and no order is on its way to the wire."""
        return not self._depth() and not self.has_orders_leaving()

    def gather_while(self, has_backlog: Callable[[], bool]) -> None:
        """Let signals wait a moment for others while `has_backlog` says that market data waits to be handled."""
        self._intake.has_backlog = has_backlog

    def is_idle(self, requests: int) -> bool:
        """Whether everything offered has been acted on and nothing is awaited but `requests` answers of the venue."""
        is_waiting = self._depth() > 0 or self._lanes.waiting() > 0 or len(self._requests) != requests
        return not is_waiting and not self._is_unsettled()

    def view(self) -> CoreView:
        return self._core.view()

    def health(self) -> dict[str, int | None]:
        """Return gauges for the heartbeat: depths now and at most, requests under way, events handled."""
        return {
            "queue_depth": self._depth(),
            "queue_depth_max": self.depth_max,
            "requests_under_way": len(self._requests),
            "lanes_waiting": self._lanes.waiting(),
            "events_handled": self.events_handled,
            "last_event_ms": self.last_event_ms,
        }

    def _is_busy(self) -> bool:
        """True while something is under way that a moment's patience finishes: requests, writes, a stop, a last row."""
        return self._depth() > 0 or self._writes_under_way > 0 or self._lanes.waiting() > 0 or self._is_unsettled()

    def _is_unsettled(self) -> bool:
        """Whether a position has no stop yet, or a trade that is over has not been written down as such."""
        trades = self._core.view().trades
        unprotected = any(trade.quantity > 0 and trade.stop_price is None for trade in trades)
        return unprotected or any(trade.quantity == 0 and trade.state in _ENTERED for trade in trades)

    # --- events in ----------------------------------------------------------------------------------------------

    async def _handle_events(self) -> None:
        """News of orders, prices and timers first, since exits follow from them; then some signals."""
        while True:
            if not self._queue and not self._has_signals() and not self._intake.is_due():
                self._wake.clear()
                await self._be_woken()
            self._take_signals()
            self._handle_news()
            if self._intake.is_due():
                self._intake.take(self._handle)
            await asyncio.sleep(0)

    def _has_signals(self) -> bool:
        return self._signals is not None and self._signals.depth > 0

    def _take_signals(self) -> None:
        if self._signals is not None:
            for signal in self._signals.take_now():
                self.offer(SignalReceived(signal, signal.event_time_ms, self._clock.now_ms()))

    async def _be_woken(self) -> None:
        if not self._intake:
            await self._wake.wait()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S):
                await self._wake.wait()

    def _handle_news(self) -> None:
        """Handle what waits, in its order, until a slice is over."""
        slice_end_ns = self._clock.monotonic_ns() + int(SLICE_MS * 1e6)
        while self._queue:
            self._handle(self._queue.popleft())
            if self._clock.monotonic_ns() >= slice_end_ns:
                return

    def _handle(self, event: Input) -> bool:
        """Have the core decide and start what it wants done; returns whether a request is to be sent."""
        try:
            effects = self._core.handle(event)
        except Exception as error:
            # A defect in one event must not leave positions without their guard: say so loudly and go on.
            log.exception("the core failed on an event", kind=type(event).__name__)
            self._report_defect(event, error)
            return False
        self.events_handled += 1
        self.last_event_ms = event.received_time_ms
        if not effects:
            return False
        self._lanes.put(effects)
        return any(isinstance(effect, Send) for effect in effects)

    def _report_defect(self, event: Input, error: Exception) -> None:
        name = type(event).__name__
        self._alerts.emit(
            AlertRecord(
                dedupe_key=f"core-defect:{name}:{type(error).__name__}:{self._clock.now_ms() // 3_600_000}",
                severity=Severity.CRITICAL,
                title="Internal error while handling an event",
                text=f"{name}: {type(error).__name__}. Positions keep their stops at the venue; see the log.",
                created_time_ms=self._clock.now_ms(),
            )
        )

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._tick_ms / 1000)
            self._note_pause()
            self._lanes.retry()
            if self._clock_offset_ms is not None:
                self._core.set_clock_offset(self._clock_offset_ms())
            self.offer(Tick(self._venue_time.venue_time_ms(), self._clock.now_ms()))

    def _note_pause(self) -> None:
        """A process that stood still for about the life of its lease may have lost it without knowing."""
        now_ms = self._clock.now_ms()
        if now_ms - self._ticked_ms >= PAUSE_MS_MAX:
            self._is_paused = True
            log.warning(
                "the process stood still; nothing is sent until the lease was looked at", ms=now_ms - self._ticked_ms
            )
        self._ticked_ms = now_ms

    # --- effects out --------------------------------------------------------------------------------------------

    def _act(self, effect: Send | Notify) -> None:
        if isinstance(effect, Notify):
            self._alerts.emit(effect.alert)
            return
        refusal = self._refusal_of(effect.command)
        if refusal is not None:
            outcome = Refused(RefusalKind.LOCAL, 0, refusal)
            now_ms = self._clock.now_ms()
            self.offer(VenueReply(effect.command, outcome, self._venue_time.venue_time_ms(), now_ms))
            return
        if isinstance(effect.command, WRITES):
            self._writes_under_way += 1
            now_ns = self._clock.monotonic_ns()
            self._leaving_until_ns = max(now_ns, self._leaving_until_ns) + int(WRITE_MS * 1e6)
        task = asyncio.create_task(self._request(effect.command))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    def _refusal_of(self, command: VenueCommand) -> str | None:
        """Return why a request must not leave after all; asked at the last moment, when its write is on disk."""
        if isinstance(command, WRITES):
            if self._lost_lease is not None:
                return self._lost_lease
            if self._is_paused or self._clock.now_ms() - self._ticked_ms >= PAUSE_MS_MAX:
                return "the process stood still and has not looked at its lease since"
        return self._core.refusal_of(command, self._clock.now_ms())

    async def _request(self, command: VenueCommand) -> None:
        is_write = isinstance(command, WRITES)
        try:
            if self.on_sent is not None:
                self.on_sent(command)
            reply = await self._venue.execute(command)
        except Exception as error:
            # The port promises not to raise. If it does, a write may have left: its outcome is unknown.
            log.exception("the venue port raised", command=type(command).__name__)
            reply = self._broken_reply(command, is_write=is_write, detail=type(error).__name__)
        finally:
            self._writes_under_way -= is_write
        self.offer(reply)

    def _broken_reply(self, command: VenueCommand, *, is_write: bool, detail: str) -> VenueReply:
        outcome = InDoubt(detail) if is_write else Refused(RefusalKind.LOCAL, 0, detail)
        return VenueReply(command, outcome, self._venue_time.venue_time_ms(), self._clock.now_ms())
