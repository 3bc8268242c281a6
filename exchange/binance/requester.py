"""One request from budget to outcome: admission, the right pool, classification, and what an answer teaches us."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from core.clock import Clock
from core.commands import Accepted, InDoubt, Outcome, Payload, RefusalKind, Refused
from core.enums import Priority
from exchange.binance.budget import Budget
from exchange.binance.calls import Call
from exchange.binance.classify import ALREADY_SO, FILTER_CODES, classify
from exchange.binance.rest import RestAnswer, RestClient
from exchange.binance.settings import VenueSettings
from exchange.binance.timesync import GatewayTime
from exchange.binance.wire import WireError, decode_json

_LOG = logging.getLogger(__name__)

WRITE_TIMEOUT_MS = 5_000
"""Connect and read time-out of writes: an earlier one would only create unknown outcomes."""
READ_TIMEOUT_MS = 10_000
EXPIRY_MARGIN_MS = 1_000
"""A signature may be accepted a little longer than its window: the offset is an estimate."""
QUERY_PATIENCE_S = 20.0
"""How long a query waits for budget before it is refused here."""
BULK_PATIENCE_S = 300.0
"""History is read before trading starts, or to fill a gap: it rather waits than fails."""
_FORBIDDEN = 403
_CLOSING = Refused(RefusalKind.LOCAL, 0, "the gateway is closing")


class Requester:
    """Sends calls on three pools: exits on their own, other writes, reads; so a hung read never delays an order."""

    def __init__(
        self,
        settings: VenueSettings,
        time: GatewayTime,
        clock: Clock,
        wait: Callable[[float], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._time = time
        self._wait = wait
        self._recv_window_ms = settings.recv_window_ms

        def client(name: str, threads: int, timeout_ms: int) -> RestClient:
            return RestClient(settings, time, clock, name=name, threads=threads, timeout_ms=timeout_ms)

        self._exits = client("exits", 16, WRITE_TIMEOUT_MS)
        self._writes = client("writes", 32, WRITE_TIMEOUT_MS)
        self._reads = client("reads", 6, READ_TIMEOUT_MS)
        self.budget = Budget(clock)
        self.filters_stale = False
        self.closing = False
        self.fenced: str | None = None
        """Why nothing may be changed at the venue any more, not even by what waits already."""
        self._write_ns: deque[int] = deque(maxlen=1000)

    async def request(
        self,
        call: Call,
        decode: Callable[[Any], Payload],
        *,
        on_sent: Callable[[int], None] | None = None,
    ) -> tuple[Outcome, int | None]:
        """Send `call` and return its outcome, with the steady time after which its signature is void (writes)."""
        answer = await self.send(call, on_sent)
        if isinstance(answer, Refused):
            return answer, None
        expires_ms = answer.sent_ms + self._recv_window_ms + EXPIRY_MARGIN_MS if call.signed else None
        if answer.error is not None:
            return self._failure(call, answer.error), expires_ms
        try:
            return Accepted(decode(decode_json(answer.body))), expires_ms
        except WireError as error:
            return InDoubt(f"unreadable answer: {error}"), expires_ms
        except Exception as error:  # a shape that our mapping did not foresee is an unknown outcome, not a crash
            _LOG.exception("answer to %s %s could not be mapped", call.method, call.path)
            return InDoubt(f"unreadable answer ({type(error).__name__})"), expires_ms

    async def send(self, call: Call, on_sent: Callable[[int], None] | None = None) -> RestAnswer | Refused:
        """Send `call` when the budget lets it pass; a refusal of ours is returned at once (queries wait a while)."""
        refused = await self._admit(call)
        if refused is not None:
            return refused
        try:
            answer = await self._client(call).send(call, on_sent, self._refusal)
        except RuntimeError:  # the threads were given back while this request waited for one
            if not self.closing:
                raise
            return _CLOSING
        if isinstance(answer, Refused):
            return answer
        self.budget.observe(weight_1m=answer.weight_1m, orders_10s=answer.orders_10s, orders_1m=answer.orders_1m)
        if call.orders:
            self._write_ns.append(answer.received_ns - answer.sent_ns)
        if answer.status == _FORBIDDEN:
            self.budget.pause(None)  # a web firewall: more requests would only prolong it
        return answer

    def failure(self, call: Call, error: Exception) -> Refused | InDoubt:
        """Classify `error` and draw the consequences for budget and filters."""
        verdict = classify(error, now_ms=self._time.now_ms())
        if not isinstance(verdict, Refused):
            return verdict
        if verdict.kind is RefusalKind.BANNED:
            self.budget.ban(verdict.retry_after_s)
        elif verdict.kind is RefusalKind.THROTTLED:
            self.budget.pause(verdict.retry_after_s)
        elif verdict.code in FILTER_CODES and call.orders:
            self.filters_stale = True
        return verdict

    async def drain(self) -> None:
        """Return when no write is under way any more."""
        await self._exits.drain()
        await self._writes.drain()

    def close(self) -> None:
        for client in (self._exits, self._writes, self._reads):
            client.close()

    @property
    def waiting(self) -> int:
        """Requests that wait for a thread."""
        return self._exits.waiting + self._writes.waiting + self._reads.waiting

    @property
    def latency(self) -> dict[str, float]:
        """Round trips of the last thousand orders in milliseconds: p50, p99, max and how many."""
        ordered = sorted(self._write_ns)
        if not ordered:
            return {"p50_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0, "count": 0}

        def at(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6

        return {"p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": ordered[-1] / 1e6, "count": len(ordered)}

    def _failure(self, call: Call, error: Exception) -> Outcome:
        verdict = self.failure(call, error)
        if isinstance(verdict, Refused) and verdict.code and verdict.code == ALREADY_SO.get(call.path):
            return Accepted(None)
        return verdict

    def _client(self, call: Call) -> RestClient:
        if call.priority is Priority.EXIT:
            return self._exits
        return self._reads if call.method == "GET" else self._writes

    def _refusal(self, call: Call) -> Refused | None:
        """Return why a request must not leave now, whatever the budget says."""
        if self.closing:
            return _CLOSING
        if self.fenced is not None and call.method != "GET":
            return Refused(RefusalKind.LOCAL, 0, self.fenced)
        return None

    async def _admit(self, call: Call) -> Refused | None:
        deadline_ms = self._clock.now_ms() + int((BULK_PATIENCE_S if call.bulk else QUERY_PATIENCE_S) * 1000)
        while True:
            refused = self._refusal(call)
            if refused is not None:
                return refused
            refused = self.budget.acquire(call.weight, call.orders, call.priority, bulk=call.bulk)
            if refused is None or call.priority is not Priority.QUERY or refused.kind is not RefusalKind.THROTTLED:
                return refused
            pause_s = refused.retry_after_s or 0.0
            if self._clock.now_ms() + int(pause_s * 1000) > deadline_ms:
                return refused
            await self._wait(max(pause_s, 0.01))
