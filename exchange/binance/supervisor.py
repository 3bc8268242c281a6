"""Keeps one stream connection alive for ever: replaces what is lost, rotates what is old, tells when it is blind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from core.clock import Clock
from core.errors import TraderError
from core.events import StreamState
from utils.backoff import Backoff

_LOG = logging.getLogger(__name__)

CHECK_EVERY_S = 0.5
FIRST_BACKOFF_S = 0.5
OVERLAP_S = 1.0
"""How long the old connection of a rotation goes on: what it still has under way was sent before the new one began."""
STABLE_MS = 60_000
"""A connection that lived this long was sound: the next loss starts with the shortest pause again."""


class Connection(Protocol):
    """What the supervisor needs of a connection; `StreamConnection` in production."""

    opened_ms: int
    lost: str | None

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class Verdict(Protocol):
    """Judges a living connection: None when it is well, else why it must be replaced."""

    async def __call__(self) -> Replace | None: ...


@dataclass(frozen=True, slots=True)
class Replace:
    """A reason to replace a connection. `blind`: messages were or may be missed, so the old one goes first."""

    reason: str
    blind: bool = True


class Supervisor:
    """Runs one connection role. `make` builds an unopened connection (and fetches what it needs first).

    A blind replacement closes, reports LOST, pauses (jittered, exponential, capped) and opens anew. A planned one
    opens the new connection first and closes the old one then; both deliver for a moment, so messages are deduplicated
    downstream. `on_state` hears READY after each new connection and LOST once per loss.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Awaitable[Connection]],
        judge: Verdict,
        on_state: Callable[[StreamState, str], None],
        clock: Clock,
        *,
        rotate_ms: int,
        backoff_max_s: float,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = name
        self._make = make
        self._judge = judge
        self._on_state = on_state
        self._clock = clock
        self._rotate_ms = rotate_ms
        self._wait = wait
        # A seed of its own per process, so that several traders do not come back in step.
        base_s = min(FIRST_BACKOFF_S, backoff_max_s)
        self._backoff = Backoff(base=base_s, maximum=backoff_max_s, seed=clock.monotonic_ns())
        self._current: Connection | None = None
        self._failures = 0
        self._proved = asyncio.Event()
        self._replace: Replace | None = None
        self.reconnects = 0

    async def run(self) -> None:
        """Supervise until cancelled."""
        try:
            while True:
                await self._connect()
                await self._watch()
        finally:
            await self._drop()

    async def ready(self) -> None:
        """Return when a connection is up and proved."""
        await self._proved.wait()

    def replace(self, reason: str, *, blind: bool = True) -> None:
        """Ask for a new connection at the next check."""
        self._replace = Replace(reason, blind)

    @property
    def is_ready(self) -> bool:
        return self._proved.is_set()

    async def _connect(self) -> None:
        """Open a connection, however long it takes; an old one that still lives is kept until then."""
        while True:
            if self._current is not None and self._current.lost is not None:
                await self._lose(self._current.lost)
            if self._failures:
                await self._wait(self._backoff.next_delay())
            fresh: Connection | None = None
            try:
                fresh = await self._make()
                await fresh.open()
                _heed_cancellation()
                break
            except TraderError as error:
                self._failures += 1
                _LOG.warning("stream %s: attempt %d failed: %s", self._name, self._failures, error)
                if fresh is not None:
                    await fresh.close()
            except asyncio.CancelledError:
                if fresh is not None:
                    await fresh.close()
                raise
        old, self._current = self._current, fresh
        self._replace = None
        detail = "rotated" if old is not None else "connected"
        if old is not None:
            await self._wait(OVERLAP_S)
            await old.close()
        self._proved.set()
        self._on_state(StreamState.READY, f"{self._name}: {detail}")

    async def _watch(self) -> None:
        """Return when the current connection must be replaced; it is closed already if that is for blindness."""
        current = self._current
        assert current is not None
        while True:
            await self._wait(CHECK_EVERY_S)
            age_ms = self._clock.now_ms() - current.opened_ms
            if age_ms > STABLE_MS:
                self._failures = 0
                self._backoff.reset()
            verdict = self._verdict_before_judge(current, age_ms) or await self._judge()
            _heed_cancellation()
            if verdict is None:
                continue
            self.reconnects += 1
            if verdict.blind or current.lost is not None:
                await self._lose(verdict.reason)
            else:
                _LOG.info("stream %s: %s", self._name, verdict.reason)
            return

    def _verdict_before_judge(self, current: Connection, age_ms: int) -> Replace | None:
        if current.lost is not None:
            return Replace(current.lost)
        if self._replace is not None:
            return self._replace
        return Replace("planned rotation", blind=False) if age_ms >= self._rotate_ms else None

    async def _lose(self, reason: str) -> None:
        _LOG.warning("stream %s lost: %s", self._name, reason)
        self._failures += 1
        self._proved.clear()
        self._on_state(StreamState.LOST, f"{self._name}: {reason}")
        await self._drop()

    async def _drop(self) -> None:
        current, self._current = self._current, None
        if current is not None:
            await current.close()


def _heed_cancellation() -> None:
    """Raise CancelledError where a cancellation was swallowed, or this task would never end.

    `asyncio.wait_for`, which the SDK uses, does that before Python 3.12 when what it waits for comes in that moment.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
