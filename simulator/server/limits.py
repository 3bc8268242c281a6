"""Request weights and order counts: counted in fixed wall-clock windows, refused with 429, then 418."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.engine.errors import ApiError

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000
FIRST_BAN_MS = 2 * MINUTE_MS
LONGEST_BAN_MS = 3 * 24 * 60 * MINUTE_MS
REFUSALS_BEFORE_BAN = 10


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The venue's limits; exchangeInfo announces exactly these."""

    weight_per_minute: int = 2400
    orders_per_10s: int = 300
    orders_per_minute: int = 1200


@dataclass(frozen=True, slots=True)
class ConnectionRules:
    """Limits of a stream connection, in seconds: the venue's own unless a test shortens them."""

    ping_every_s: float = 180.0
    pong_within_s: float = 600.0
    life_s: float = 24 * 3600.0
    messages_per_s: int = 10


class Throttled(ApiError):
    """429 or 418; the answer carries `Retry-After` in seconds."""

    def __init__(self, code: int, message: str, http_status: int, retry_after_s: int) -> None:
        super().__init__(code, message, http_status)
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class _Window:
    """Counter of one fixed window."""

    length_ms: int
    started: int = -1
    used: int = 0

    def roll(self, now_ms: int) -> None:
        started = now_ms // self.length_ms
        if started != self.started:
            self.started, self.used = started, 0

    def left_s(self, now_ms: int) -> int:
        """Seconds until the window ends, at least 1."""
        return (self.length_ms - now_ms % self.length_ms + 999) // 1000


@dataclass(slots=True)
class _Caller:
    """What one address has used, and how often it ignored a 429."""

    weight: _Window = field(default_factory=lambda: _Window(MINUTE_MS))
    refusals: int = 0
    bans: int = 0
    banned_until_ms: int = 0


class Limiter:
    """Counts weight per address and orders per account. All times are gateway (wall) milliseconds."""

    def __init__(self, limits: RateLimits) -> None:
        self.limits = limits
        self._callers: dict[str, _Caller] = {}
        self._orders_10s = _Window(TEN_SECONDS_MS)
        self._orders_1m = _Window(MINUTE_MS)

    def charge(self, ip: str, weight: int, now_ms: int) -> None:
        """Add `weight`; raises 429 beyond the limit, and 418 once an address keeps coming regardless."""
        caller = self._callers.setdefault(ip, _Caller())
        if now_ms < caller.banned_until_ms:
            raise self._banned(ip, caller, now_ms)
        caller.weight.roll(now_ms)
        if caller.weight.used == 0:
            caller.refusals = 0
        if caller.weight.used + weight <= self.limits.weight_per_minute:
            caller.weight.used += weight
            return
        caller.refusals += 1
        if caller.refusals > REFUSALS_BEFORE_BAN:
            caller.banned_until_ms = now_ms + min(FIRST_BAN_MS * 2**caller.bans, LONGEST_BAN_MS)
            caller.bans += 1
            caller.refusals = 0
            raise self._banned(ip, caller, now_ms)
        raise Throttled(
            -1003,
            f"Too many requests; current limit of IP({ip}) is {self.limits.weight_per_minute} requests per minute. "
            "Please use the websocket for live updates to avoid polling the API.",
            429,
            caller.weight.left_s(now_ms),
        )

    def count_order(self, now_ms: int, ten_second_cost: int = 1, minute_cost: int = 1) -> None:
        """Count orders against both account windows; raises -1015 (429) beyond either."""
        self._orders_10s.roll(now_ms)
        self._orders_1m.roll(now_ms)
        if self._orders_10s.used + ten_second_cost > self.limits.orders_per_10s:
            raise _too_many_orders(self.limits.orders_per_10s, "10 SECOND", self._orders_10s.left_s(now_ms))
        if self._orders_1m.used + minute_cost > self.limits.orders_per_minute:
            raise _too_many_orders(self.limits.orders_per_minute, "1 MINUTE", self._orders_1m.left_s(now_ms))
        self._orders_10s.used += ten_second_cost
        self._orders_1m.used += minute_cost

    def weight_headers(self, ip: str, now_ms: int) -> dict[str, str]:
        caller = self._callers.setdefault(ip, _Caller())
        caller.weight.roll(now_ms)
        return {"X-MBX-USED-WEIGHT-1M": str(caller.weight.used)}

    def order_headers(self, now_ms: int) -> dict[str, str]:
        ten_seconds, minute = self.order_counts(now_ms)
        return {"X-MBX-ORDER-COUNT-10S": str(ten_seconds), "X-MBX-ORDER-COUNT-1M": str(minute)}

    def order_counts(self, now_ms: int) -> tuple[int, int]:
        """Return the orders counted in the current 10 seconds and the current minute."""
        self._orders_10s.roll(now_ms)
        self._orders_1m.roll(now_ms)
        return self._orders_10s.used, self._orders_1m.used

    def _banned(self, ip: str, caller: _Caller, now_ms: int) -> Throttled:
        return Throttled(
            -1003,
            f"Way too many requests; IP({ip}) banned until {caller.banned_until_ms}. "
            "Please use the websocket for live updates to avoid bans.",
            418,
            max(1, (caller.banned_until_ms - now_ms + 999) // 1000),
        )


def _too_many_orders(limit: int, window: str, retry_after_s: int) -> Throttled:
    return Throttled(-1015, f"Too many new orders; current limit is {limit} orders per {window}.", 429, retry_after_s)
