"""Delivers the outbox: due alerts → channels → marked sent, or marked failed with a later time.

Runs beside trading and shares nothing with it but the database: whatever a channel does (hang, refuse, vanish), only
alerts wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from alerts.channel import AlertChannel, Delivered, Failed, Message
from core.clock import Clock
from core.enums import Severity
from core.ports import Outbox, OutboxItem
from utils.backoff import delay_ceiling
from utils.logging import get_logger

POLL_S = 2.0
BATCH = 100
BURST = 5
"""More due alerts than this are collapsed into one message: a flood hides what matters."""
SPACING_S = 1.0
"""Slack takes about one message a second and webhook."""
RETRY_BASE_S = 5.0
RETRY_MAX_S = 900.0
_ORDER = [Severity.CRITICAL, Severity.WARNING, Severity.INFO]

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message and the alerts that it settles."""

    message: Message
    items: tuple[OutboxItem, ...]


class AlertDispatcher:
    """Delivers until cancelled. An alert is sent when at least one channel took it; with no channel it is only
    logged (by the sink) and counts as sent."""

    def __init__(
        self,
        outbox: Outbox,
        channels: Sequence[AlertChannel],
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._channels = tuple(channels)
        self._clock = clock
        self._sleep = sleep
        self._on_step = on_step
        self._paused_until_ms: dict[str, int] = {}
        self._delivering = asyncio.Lock()

    async def run(self) -> None:
        """Look for due alerts every `POLL_S`. Errors are logged and never end the loop."""
        while True:
            try:
                await self.deliver_due()
                self._on_step()
            except Exception:
                log.exception("alerts could not be delivered")
            await self._sleep(POLL_S)

    async def flush(self, timeout_s: float) -> None:
        """Deliver what is due within `timeout_s`, for the last alerts of a run; what remains waits for the next."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.deliver_due()
        except TimeoutError:
            log.warning("alerts remain in the outbox; they are sent at the next start")
        except Exception:
            log.exception("alerts could not be delivered")

    async def deliver_due(self) -> int:
        """Deliver everything due once; return how many alerts were sent."""
        async with self._delivering:
            items = await asyncio.to_thread(self._outbox.due, self._clock.now_ms(), BATCH)
            sent = 0
            for number, parcel in enumerate(parcels(items)):
                if number and self._channels:
                    await self._sleep(SPACING_S)
                sent += await self._deliver(parcel)
            return sent

    async def _deliver(self, parcel: Parcel) -> int:
        failures = [failed for channel in self._channels if (failed := await self._send(channel, parcel.message))]
        if self._channels and len(failures) == len(self._channels):
            await self._mark_failed(parcel, failures)
            return 0
        now = self._clock.now_ms()
        for item in parcel.items:
            await asyncio.to_thread(self._outbox.mark_sent, item.id, now)
        return len(parcel.items)

    async def _send(self, channel: AlertChannel, message: Message) -> Failed | None:
        """Return why the channel did not take the message, or None when it did."""
        now = self._clock.now_ms()
        until = self._paused_until_ms.get(channel.name, 0)
        if now < until:
            return Failed("channel asked for a pause", retry_after_s=(until - now) / 1_000)
        outcome = await channel.send(message)
        if isinstance(outcome, Delivered):
            return None
        if outcome.retry_after_s is not None:
            self._paused_until_ms[channel.name] = self._clock.now_ms() + round(outcome.retry_after_s * 1_000)
        # WARNING at most: an ERROR line would itself become an alert.
        log.warning("alert not delivered", channel=channel.name, error=outcome.error, permanent=outcome.permanent)
        return outcome

    async def _mark_failed(self, parcel: Parcel, failures: Sequence[Failed]) -> None:
        error = "; ".join(failure.error for failure in failures)
        now = self._clock.now_ms()
        for item in parcel.items:
            retry_at = now + round(retry_delay_s(item.attempts, failures) * 1_000)
            await asyncio.to_thread(self._outbox.mark_failed, item.id, error, retry_at)


def retry_delay_s(attempts: int, failures: Sequence[Failed]) -> float:
    """Return the wait before the next attempt: exponential, at least as long as the least patient channel asks, and
    the longest one at once when every channel refused for good (a person has to correct the configuration)."""
    if all(failure.permanent for failure in failures):
        return RETRY_MAX_S
    asked = min((failure.retry_after_s or 0.0) for failure in failures)
    return max(asked, delay_ceiling(attempts, RETRY_BASE_S, RETRY_MAX_S))


def parcels(items: Sequence[OutboxItem]) -> list[Parcel]:
    """Return what to send: each alert alone, or, in a burst, the gravest alone and the rest collapsed into one."""
    ordered = sorted(items, key=lambda item: (_ORDER.index(item.severity), item.created_time_ms, item.id))
    if len(ordered) <= BURST:
        return [_single(item) for item in ordered]
    alone = [item for item in ordered if item.severity is Severity.CRITICAL][: BURST - 1]
    rest = [item for item in ordered if item not in alone]
    return [*map(_single, alone), _digest(rest)]


def _single(item: OutboxItem) -> Parcel:
    return Parcel(Message(item.severity, item.title, item.text, item.fields), (item,))


def _digest(items: Sequence[OutboxItem]) -> Parcel:
    """Collapse alerts: equal titles are counted, the order (gravest first) stays."""
    counts: dict[tuple[Severity, str], int] = {}
    for item in items:
        counts[item.severity, item.title] = counts.get((item.severity, item.title), 0) + 1
    lines = [
        f"[{severity.value}] {title}" + (f" ({count} times)" if count > 1 else "")
        for (severity, title), count in counts.items()
    ]
    shown = lines[:20] + ([f"... and {len(lines) - 20} more"] if len(lines) > 20 else [])
    return Parcel(Message(items[0].severity, f"{len(items)} alerts", "\n".join(shown)), tuple(items))
