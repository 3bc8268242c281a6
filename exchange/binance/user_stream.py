"""Private events of the account: orders, conditional orders, balances and positions, as events into a sink."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from core.clock import Clock
from core.errors import RuntimeFailure
from core.events import StreamChanged, StreamKind, StreamState, UnknownVenueMessage
from core.ports import EventSink
from exchange.binance.connection import Frame, StreamConnection
from exchange.binance.inbox import Inbox
from exchange.binance.sdk import prepare_sdk
from exchange.binance.settings import VenueSettings
from exchange.binance.supervisor import Connection, Replace, Supervisor
from exchange.binance.timesync import VenueClock
from exchange.binance.user_frames import LISTEN_KEY_EXPIRED, decode_user

_LOG = logging.getLogger(__name__)

REMEMBERED = 2048
"""Messages kept to recognise doubles while two connections overlap."""


class ListenKeys(Protocol):
    """Where listen keys come from; `BinanceGateway` in production."""

    async def listen_key(self) -> str:
        """Make the key or extend it by an hour; raises RuntimeFailure."""
        ...


PAUSE_MS = 20.0
"""So long, at most, news wait for orders that are about to leave: a hundredth of what a fill may go without a stop."""


@dataclass(frozen=True, slots=True)
class UserTimings:
    """A quiet user stream is normal: life is proved by asking every `probe_ms`. Keys live 60 minutes at the venue."""

    probe_ms: int = 30_000
    renew_ms: int = 25 * 60_000
    renew_retry_s: float = 5.0
    rotate_ms: int = 12 * 3_600_000 + 20 * 60_000


class BinanceUserStream:
    """Streams the account's events into `sink`, unbounded and in order, and StreamChanged when it is lost or back.

    The key is renewed every 25 minutes; a key that expired, vanished or changed leads to a new connection. It is never
    deleted: another process of the same account may use it.
    """

    def __init__(
        self,
        settings: VenueSettings,
        keys: ListenKeys,
        clock: Clock,
        sink: EventSink,
        *,
        venue_time: VenueClock | None = None,
        timings: UserTimings | None = None,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        prepare_sdk()
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._sink = sink
        self._venue_time = venue_time or VenueClock()
        self._timings = timings or UserTimings()
        self._wait = wait
        self._key = ""
        self._connection: StreamConnection | None = None
        self._probed_ms = 0
        self._last_message_ms: int | None = None
        self._inbox = Inbox(self._deliver, clock, pause_ms=PAUSE_MS)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._supervisor = Supervisor(
            "user",
            self._make,
            self._judge,
            self._on_state,
            clock,
            rotate_ms=self._timings.rotate_ms,
            backoff_max_s=settings.ws_max_backoff_s,
            wait=wait,
        )

    async def run(self) -> None:
        """Stream until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._supervisor.run())
            tasks.create_task(self._renew())

    def hold_while(self, is_held: Callable[[], bool]) -> None:
        """Let news wait a moment while `is_held` says so: what follows from the first fills of thirty orders takes the
        interpreter from those that have not left: the last left 26 to 55 ms after the first, instead of 8 to 14."""
        self._inbox.is_held = is_held

    @property
    def frames_handled(self) -> int:
        """Frames of all connections so far that have been decoded and handed on, or found unreadable."""
        return self._inbox.delivered

    async def ready(self) -> None:
        """Return when the connection is up and the venue has confirmed the subscription."""
        await self._supervisor.ready()

    def health(self) -> dict[str, Any]:
        """Age of the last event and of the last sign of life (ms, None before the first), and reconnects."""
        now_ms = self._clock.now_ms()
        alive_ms = self._connection.last_alive_ms if self._connection is not None else 0
        return {
            "ready": self._supervisor.is_ready,
            "age_ms": {
                "event": now_ms - self._last_message_ms if self._last_message_ms is not None else None,
                "alive": now_ms - alive_ms if alive_ms else None,
            },
            "reconnects": self._supervisor.reconnects,
        }

    async def _make(self) -> Connection:
        self._key = await self._keys.listen_key()
        self._probed_ms = self._clock.now_ms()
        self._connection = StreamConnection(
            self._settings.stream_url, "private", [self._key], self._inbox.put, self._clock
        )
        return self._connection

    async def _judge(self) -> Replace | None:
        now_ms = self._clock.now_ms()
        if self._connection is None or now_ms - self._probed_ms < self._timings.probe_ms:
            return None
        self._probed_ms = now_ms
        if await self._connection.probe():
            return None
        return Replace("the venue does not answer on the user stream")

    async def _renew(self) -> None:
        """Keep the key alive; a failure is tried again in seconds, a different key means that ours had died."""
        await self._supervisor.ready()
        pause_s = self._timings.renew_ms / 1000
        while True:
            await self._wait(pause_s)
            try:
                key = await self._keys.listen_key()
            except RuntimeFailure as error:
                _LOG.warning("the listen key could not be renewed, trying again in seconds: %s", error)
                pause_s = self._timings.renew_retry_s
                continue
            pause_s = self._timings.renew_ms / 1000
            if key != self._key:
                self._supervisor.replace("the listen key had expired")

    def _deliver(self, frame: Frame, now_ms: int, received_ns: int) -> None:
        del received_ns
        self._last_message_ms = now_ms
        try:
            data = frame["data"]
            if self._is_double(json.dumps(data, sort_keys=True)):
                return
        except (KeyError, TypeError, ValueError):
            self._sink(UnknownVenueMessage("frame without data", 0, now_ms))
            return
        if isinstance(data, dict) and data.get("e") == LISTEN_KEY_EXPIRED:
            self._supervisor.replace("the listen key expired")
            return
        event = decode_user(data, now_ms)
        if event is not None:
            self._venue_time.observe(event.event_time_ms)
            self._sink(event)

    def _is_double(self, message: str) -> bool:
        """True for a message seen before: two connections overlap while one replaces the other."""
        if message in self._seen:
            return True
        self._seen[message] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False

    def _on_state(self, state: StreamState, detail: str) -> None:
        self._sink(
            StreamChanged(StreamKind.USER, state, detail, self._venue_time.venue_time_ms(), self._clock.now_ms())
        )
