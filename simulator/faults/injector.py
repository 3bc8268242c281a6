"""The injector: one running schedule. Says, at every hook, whether a fault takes hold, by time and call index alone.

Synchronous and without randomness: the same schedule and the same calls give the same faults. `now_ms` is always the
true time of the gateway, never one that a clock fault has bent.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from simulator.faults.kinds import RULES, FaultKind, Site
from simulator.faults.schedule import Fault, FaultSchedule

K = FaultKind
_REQUESTS = frozenset(
    kind for kind, rule in RULES.items() if rule.site is Site.REST and not kind.value.startswith("query_lag")
)
_TRIGGERS = frozenset({K.ALGO_STUCK, K.ALGO_REJECT})
_FRAMES = frozenset(
    {K.STREAM_MUTE, K.STREAM_DROP, K.STREAM_MALFORMED, K.STREAM_REORDER, K.STREAM_DELAY, K.STREAM_DUPLICATE}
)
_SUBSCRIBES = frozenset({K.SUBSCRIBE_REJECT, K.SUBSCRIBE_IGNORE})
_MILLION = 1_000_000
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Fired:
    """One fault that took hold: when, and on what (route, symbol, stream)."""

    time_ms: int
    fault: Fault
    subject: str


@dataclass(slots=True)
class _Armed:
    """A fault of the schedule and how often calls have met it."""

    fault: Fault
    number: int = 0
    """Its place in the order in which faults are asked."""
    seen: int = 0
    used: int = 0
    is_done: bool = False

    def is_open(self, elapsed_ms: int) -> bool:
        fault = self.fault
        if self.is_done or elapsed_ms < fault.at_ms:
            return False
        if fault.for_ms and elapsed_ms >= fault.at_ms + fault.for_ms:
            return False
        hits = fault.hits
        return hits is None or self.used < hits


class _Group:
    """The faults of one place. `at` gives those that have begun and not ended; time must not go back."""

    __slots__ = ("_coming", "_present", "_until")

    def __init__(self) -> None:
        self._coming: list[tuple[int, int, _Armed]] = []
        self._present: list[_Armed] = []
        self._until = 0

    def add(self, armed: _Armed) -> None:
        heapq.heappush(self._coming, (armed.fault.at_ms, armed.number, armed))
        self._until = 0

    def at(self, elapsed_ms: int) -> list[_Armed]:
        if elapsed_ms >= self._until:
            self._refresh(elapsed_ms)
        return self._present

    def _refresh(self, elapsed_ms: int) -> None:
        """Sort out what has begun and what has ended, and note when that changes next."""
        coming, present = self._coming, self._present
        while coming and coming[0][0] <= elapsed_ms:
            present.append(heapq.heappop(coming)[2])
        self._present = [
            one
            for one in present
            if one.fault.until_ms is None or one.fault.until_ms > elapsed_ms or one.fault.is_instant
        ]
        self._present.sort(key=lambda one: one.number)
        changes = [one.fault.until_ms for one in self._present if one.fault.until_ms is not None]
        self._until = min([*changes, coming[0][0] if coming else _NEVER], default=_NEVER)

    def drop(self, used_up: _Armed) -> None:
        """Ask a fault no more that calls have used up."""
        self._present = [one for one in self._present if one is not used_up]

    def forget_done(self) -> None:
        """Drop what can never take hold again."""
        self._present = [one for one in self._present if not one.is_done]


class FaultInjector:
    """Holds a schedule against time and calls. `fired` and `counts` are the record of what really took hold."""

    def __init__(self, schedule: FaultSchedule | None = None) -> None:
        self.schedule = schedule or FaultSchedule()
        self.fired: list[Fired] = []
        self.counts: Counter[FaultKind] = Counter()
        self._started_ms: int | None = None
        self._armed: list[_Armed] = []
        self._lasting: dict[Site, _Group] = {site: _Group() for site in Site}
        self._rest, self._stream = self._lasting[Site.REST], self._lasting[Site.STREAM]
        self._clock, self._matching = self._lasting[Site.CLOCK], self._lasting[Site.MATCHING]
        self._instant = _Group()
        for fault in self.schedule.faults:
            self._arm(fault)

    def start(self, now_ms: int) -> None:
        """Let the schedule begin at `now_ms`; without this the first call at any hook begins it."""
        if self._started_ms is None:
            self._started_ms = now_ms

    def elapsed_ms(self, now_ms: int) -> int:
        if self._started_ms is None:
            self._started_ms = now_ms
        return now_ms - self._started_ms

    # -- switching at run time --------------------------------------------------------------------------------------

    def inject(
        self,
        kind: FaultKind | str,
        now_ms: int,
        *,
        for_ms: int = 0,
        target: str = "",
        amount: Decimal | int | str | None = None,
        detail: str = "",
        skip: int = 0,
        count: int | None = None,
    ) -> Fault:
        """Add a fault that begins at `now_ms` and return it."""
        value = None if amount is None else Decimal(amount)
        fault = Fault(self.elapsed_ms(now_ms), FaultKind(kind), for_ms, target, value, detail, skip, count)
        self.schedule = FaultSchedule(self.schedule.seed, (*self.schedule.faults, fault))
        self._arm(fault)
        return fault

    def clear(self) -> None:
        """End every fault, present and to come."""
        for one in self._armed:
            one.is_done = True

    def is_over(self, now_ms: int) -> bool:
        """True when no fault holds any more and none is to come."""
        elapsed = self.elapsed_ms(now_ms)
        return not any(one.is_open(elapsed) or (elapsed < one.fault.at_ms and not one.is_done) for one in self._armed)

    def _arm(self, fault: Fault) -> None:
        armed = _Armed(fault, len(self._armed))
        self._armed.append(armed)
        (self._instant if fault.is_instant else self._lasting[fault.site]).add(armed)

    # -- the hooks --------------------------------------------------------------------------------------------------

    def on_request(self, route: str, now_ms: int) -> Fault | None:
        """REST: what happens to this request, such as "POST /fapi/v1/order". Counts as one call."""
        if not self._present(self._rest, now_ms):
            return None
        return self._meet(Site.REST, _REQUESTS, now_ms, route, lambda target: route_matches(target, route))

    def on_query(self, kind: FaultKind, route: str, now_ms: int) -> Fault | None:
        """REST: whether this look-up (QUERY_LAG_SINGLE) or list (QUERY_LAG_LIST) sees an older state."""
        if not self._present(self._rest, now_ms):
            return None
        return self._meet(Site.REST, frozenset({kind}), now_ms, route, lambda target: route_matches(target, route))

    def on_take(self, symbol: str, now_ms: int) -> Fault | None:
        """Matching: PARTIAL_FILL for an order that is about to take or to be filled."""
        return self._meet(Site.MATCHING, frozenset({K.PARTIAL_FILL}), now_ms, symbol, _is_symbol(symbol))

    def on_trigger(self, symbol: str, now_ms: int) -> Fault | None:
        """Algo service: ALGO_STUCK or ALGO_REJECT for a conditional order that triggers now."""
        return self._meet(Site.ALGO, _TRIGGERS, now_ms, symbol, _is_symbol(symbol))

    def on_frame(self, names: Iterable[str], now_ms: int) -> Fault | None:
        """Streams: what happens to a frame; `names` are its connection's part, stream and event type."""
        if not any(armed.fault.kind in _FRAMES for armed in self._present(self._stream, now_ms)):
            return None
        found = frozenset(names)
        return self._meet(Site.STREAM, _FRAMES, now_ms, "/".join(sorted(found)), lambda target: target in found)

    def on_connect(self, part: str, now_ms: int) -> Fault | None:
        """Streams: STREAM_REFUSE for a new connection to `part` (public, market or private)."""
        return self._meet(Site.STREAM, frozenset({K.STREAM_REFUSE}), now_ms, part, lambda target: target == part)

    def on_subscribe(self, part: str, now_ms: int) -> Fault | None:
        """Streams: SUBSCRIBE_REJECT or SUBSCRIBE_IGNORE for a control frame on a connection to `part`."""
        return self._meet(Site.STREAM, _SUBSCRIBES, now_ms, part, lambda target: target == part)

    def holding(self, kind: FaultKind, symbol: str, now_ms: int) -> Fault | None:
        """Matching: the fault of a state that holds now for `symbol`; noted once, no call is counted."""
        for armed in self._present(self._matching, now_ms):
            fault = armed.fault
            is_for = fault.kind is kind and fault.target in ("", symbol)
            if is_for and not armed.is_done:
                if not armed.used:
                    armed.used = 1
                    self._note(fault, now_ms, symbol)
                return fault
        return None

    def present(self, site: Site, now_ms: int) -> list[Fault]:
        """Return the faults of a place that may hold now: those that calls have used up are not among them."""
        return [armed.fault for armed in self._present(self._lasting[site], now_ms)]

    def is_any(self, site: Site, now_ms: int) -> bool:
        """Whether any fault of a place may hold now."""
        return bool(self._present(self._lasting[site], now_ms))

    def clock_offset_ms(self, now_ms: int) -> int:
        """Clock: how far the gateway's clock is ahead of the truth. A jump with `for_ms` 0 stays for good."""
        present = self._present(self._clock, now_ms)
        if not present:
            return 0
        elapsed, offset = self.elapsed_ms(now_ms), 0
        for armed in present:
            fault = armed.fault
            if armed.is_done:
                continue
            if not armed.used:
                armed.used = 1
                self._note(fault, now_ms, "clock")
            if fault.kind is K.CLOCK_DRIFT:
                offset += int(fault.value("200") * (elapsed - fault.at_ms) / _MILLION)
            else:
                offset += int(fault.value("2000"))
        return offset

    def due(self, now_ms: int) -> list[Fault]:
        """Return the instant faults whose time has come, each once, in the order of their times."""
        elapsed = self.elapsed_ms(now_ms)
        found = []
        for armed in self._instant.at(elapsed):
            if not armed.is_done:
                armed.is_done = True
                found.append(armed.fault)
        self._instant.forget_done()
        return sorted(found, key=lambda fault: fault.at_ms)

    def note_done(self, fault: Fault, now_ms: int, subject: str) -> None:
        """Record that an instant fault has really happened, to `subject`."""
        self._note(fault, now_ms, subject)

    # -- how a hook decides -----------------------------------------------------------------------------------------

    def _present(self, group: _Group, now_ms: int) -> list[_Armed]:
        """Return the faults of a place that have begun and not ended by the clock: mostly none, at every call."""
        if self._started_ms is None:
            self._started_ms = now_ms
        return group.at(now_ms - self._started_ms)

    def _meet(
        self, site: Site, kinds: frozenset[FaultKind], now_ms: int, subject: str, matches: Callable[[str], bool]
    ) -> Fault | None:
        """Return the first open fault that the call meets, in schedule order; every one that could counts the call."""
        elapsed = self.elapsed_ms(now_ms)
        met: Fault | None = None
        for armed in self._lasting[site].at(elapsed):
            fault = armed.fault
            if fault.kind not in kinds or not armed.is_open(elapsed) or not (not fault.target or matches(fault.target)):
                continue
            armed.seen += 1
            if met is None and armed.seen > fault.skip:
                armed.used += 1
                met = fault
                self._note(fault, now_ms, subject)
                if fault.hits is not None and armed.used >= fault.hits:
                    self._lasting[site].drop(armed)
        return met

    def _note(self, fault: Fault, now_ms: int, subject: str) -> None:
        self.counts[fault.kind] += 1
        self.fired.append(Fired(now_ms, fault, subject))


def route_matches(target: str, route: str) -> bool:
    """Whether a target (method, path, or both) names the route "METHOD /path"."""
    method, _, path = route.partition(" ")
    return target in (route, method, path)


def _is_symbol(symbol: str) -> Callable[[str], bool]:
    return lambda target: target == symbol
