"""What we may still send: request weight and order counts, with a share kept for exits. Pure; the clock is injected.

The venue counts per fixed minute and per 10 seconds; we count over sliding windows of the same length, which is never
less, and raise our count to what its headers say (other programs may share the address).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from core.clock import Clock
from core.commands import RefusalKind, Refused
from core.enums import Priority

EXIT_SHARE_PCT = 30
"""Percent of every limit that only exits may use."""

BULK_SHARE_PCT = 60
"""Percent of the weight that reading history may use, so that reconciling never waits behind a warm-up."""

DEFAULT_PAUSE_S = 60.0
"""Pause after a 429 without Retry-After: the longest window that can be full."""

DEFAULT_BAN_S = 120.0
"""Pause after a 418 without Retry-After: bans start at two minutes."""
_EXIT = Priority.EXIT


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Limits per window: request weight a minute, orders per 10 s and per minute."""

    weight_1m: int = 2400
    orders_10s: int = 300
    orders_1m: int = 1200


class _Window:
    """Amounts of the last `length_ms`, oldest first; `floor` is the venue's own count until `floor_until`."""

    __slots__ = ("entries", "floor", "floor_until", "length_ms", "total")

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self.entries: deque[tuple[int, int]] = deque()
        self.total = 0
        self.floor = 0
        self.floor_until = 0

    def used(self, now_ms: int) -> int:
        entries, gone_ms = self.entries, now_ms - self.length_ms
        while entries and entries[0][0] <= gone_ms:
            self.total -= entries.popleft()[1]
        return max(self.total, self.floor) if now_ms < self.floor_until else self.total

    def add(self, now_ms: int, amount: int) -> None:
        if amount:
            self.entries.append((now_ms, amount))
            self.total += amount
            self.floor += amount

    def raise_to(self, now_ms: int, count: int) -> None:
        """Take the venue's count over for the rest of its fixed window."""
        self.floor = count
        self.floor_until = (now_ms // self.length_ms + 1) * self.length_ms

    def wait_ms(self, now_ms: int, amount: int, limit: int) -> int:
        """How long until `amount` more fits under `limit`; 0 when it fits now."""
        if self.used(now_ms) + amount <= limit:
            return 0
        free_at = now_ms
        remaining = self.total
        for time_ms, entry in self.entries:
            if remaining + amount <= limit:
                break
            remaining -= entry
            free_at = time_ms + self.length_ms
        if self.floor + amount > limit:
            free_at = max(free_at, self.floor_until)
        return max(1, free_at - now_ms)


class Budget:
    """Decides whether a request may leave now. Exits may use all of a limit, everything else 70 % of it, and
    reading of history 60 %.

    After a 429 only exits pass until its Retry-After; after a 418 nothing passes.
    """

    def __init__(self, clock: Clock, limits: RateLimits | None = None) -> None:
        self._clock = clock
        self._limits = limits or RateLimits()
        self._weight_1m = _Window(60_000)
        self._orders_10s = _Window(10_000)
        self._orders_1m = _Window(60_000)
        self._paused_until_ms = 0
        self._banned_until_ms = 0

    def set_limits(self, limits: RateLimits) -> None:
        """Take over the limits that exchangeInfo states."""
        self._limits = limits

    def acquire(self, weight: int, orders: int, priority: Priority, *, bulk: bool = False) -> Refused | None:
        """Reserve `weight` and `orders` and return None, or say why not and for how long (`retry_after_s`)."""
        now_ms = self._clock.now_ms()
        if now_ms < self._banned_until_ms:
            return _refused(RefusalKind.BANNED, "the venue banned this address", self._banned_until_ms - now_ms)
        if now_ms < self._paused_until_ms and priority is not Priority.EXIT:
            return _refused(
                RefusalKind.THROTTLED, "only exits until the venue's pause ends", self._paused_until_ms - now_ms
            )
        wants = []
        if weight:
            wants.append((self._weight_1m, weight, self._limits.weight_1m, "request weight"))
        if orders:
            wants.append((self._orders_10s, orders, self._limits.orders_10s, "order count of 10 s"))
            wants.append((self._orders_1m, orders, self._limits.orders_1m, "order count of a minute"))
        share_pct = _share_pct(priority, bulk)
        for window, amount, limit, name in wants:
            room = limit * share_pct // 100
            wait_ms = window.wait_ms(now_ms, amount, room)
            if wait_ms:
                return _refused(RefusalKind.THROTTLED, f"our {name} is used up ({room} for this priority)", wait_ms)
        for window, amount, _, _ in wants:
            window.add(now_ms, amount)
        return None

    def observe(self, *, weight_1m: int | None, orders_10s: int | None, orders_1m: int | None) -> None:
        """Take over the venue's own counts from its headers."""
        now_ms = self._clock.now_ms()
        for window, count in (
            (self._weight_1m, weight_1m),
            (self._orders_10s, orders_10s),
            (self._orders_1m, orders_1m),
        ):
            if count and count > window.used(now_ms):
                window.raise_to(now_ms, count)

    def pause(self, retry_after_s: float | None) -> None:
        """Let only exits pass for a while (429, or a web firewall's 403)."""
        until = self._clock.now_ms() + int((retry_after_s if retry_after_s is not None else DEFAULT_PAUSE_S) * 1000)
        self._paused_until_ms = max(self._paused_until_ms, until)

    def ban(self, retry_after_s: float | None) -> None:
        """Let nothing pass for a while (418)."""
        until = self._clock.now_ms() + int((retry_after_s if retry_after_s is not None else DEFAULT_BAN_S) * 1000)
        self._banned_until_ms = max(self._banned_until_ms, until)

    @property
    def used_weight(self) -> int:
        """Weight used in the current minute, as far as we know."""
        return self._weight_1m.used(self._clock.now_ms())


def _share_pct(priority: Priority, bulk: bool) -> int:
    if priority is _EXIT:
        return 100
    return BULK_SHARE_PCT if bulk else 100 - EXIT_SHARE_PCT


def _refused(kind: RefusalKind, reason: str, wait_ms: int) -> Refused:
    return Refused(kind, 0, reason, wait_ms / 1000)
