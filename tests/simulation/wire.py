"""The way of a request to the exchange and back: budget, delays, and what the schedule makes of it.

Outcomes are those of the venue adapter: a refusal only where the venue's code is on the list of certain refusals,
in doubt for everything else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backtest.adapter import Listed, execute
from core.commands import (
    Accepted,
    CancelOrder,
    FetchBalances,
    FetchFills,
    FetchIncome,
    FetchOpenAlgoOrders,
    FetchOpenOrders,
    FetchPositions,
    FetchSymbolConfig,
    IdentifyOrder,
    InDoubt,
    Outcome,
    QueryOrder,
    RefusalKind,
    Refused,
    SubmitOrder,
    VenueCommand,
    VenueReply,
)
from core.enums import OrderService, Priority
from core.orders import AlgoOrderRequest
from exchange.binance.classify import FILTER_CODES, refusal
from simulator.faults.kinds import FaultKind
from simulator.faults.schedule import Fault

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

K = FaultKind
WRITE_TIMEOUT_MS, READ_TIMEOUT_MS = 5_000, 10_000
RECV_WINDOW_MS = 5_000
EXPIRY_MARGIN_MS = 1_000
AHEAD_MS_MAX = 1_000
"""A request stamped further in the future than this is refused."""
RESYNC_MS = 300
QUERY_PATIENCE_MS = 20_000

ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
_LISTED = (FetchOpenOrders, FetchOpenAlgoOrders, FetchFills)
_APPLIED = frozenset(
    {K.APPLY_THEN_DROP, K.APPLY_THEN_STATUS, K.BODY_HTML, K.BODY_TRUNCATED, K.BODY_EMPTY, K.BODY_SHAPE}
)
_LOST = frozenset({K.NOAPPLY_THEN_DROP, K.NOAPPLY_THEN_STATUS, K.REDIRECT})


@dataclass(frozen=True, slots=True)
class Call:
    """Route, weight and order count of a command, as the venue adapter sends it."""

    route: str
    weight: int = 1
    orders: int = 0
    is_write: bool = False


_READS = {
    FetchPositions: Call("GET /fapi/v3/positionRisk", 5),
    FetchOpenOrders: Call("GET /fapi/v1/openOrders", 40),
    FetchOpenAlgoOrders: Call("GET /fapi/v1/openAlgoOrders", 40),
    FetchBalances: Call("GET /fapi/v3/balance", 5),
    FetchFills: Call("GET /fapi/v1/userTrades", 5),
    FetchIncome: Call("GET /fapi/v1/income", 30),
    FetchSymbolConfig: Call("GET /fapi/v1/symbolConfig", 5),
}
_SUBMIT = {False: Call(f"POST {ORDER}", 0, 1, True), True: Call(f"POST {ALGO}", 0, 1, True)}
_CANCEL = {False: Call(f"DELETE {ORDER}", is_write=True), True: Call(f"DELETE {ALGO}", is_write=True)}
_QUERY = {False: Call(f"GET {ORDER}"), True: Call(f"GET {ALGO}")}


def call_of(command: VenueCommand) -> Call:
    read = _READS.get(type(command))
    if read is not None:
        return read
    if isinstance(command, SubmitOrder):
        return _SUBMIT[isinstance(command.approved.order, AlgoOrderRequest)]
    if isinstance(command, IdentifyOrder):
        return _QUERY[False]
    assert isinstance(command, CancelOrder | QueryOrder)
    return (_CANCEL if isinstance(command, CancelOrder) else _QUERY)[command.service is OrderService.ALGO]


def symbol_of(command: VenueCommand) -> str:
    """Return the symbol that a command is about, "" for the whole account."""
    if isinstance(command, SubmitOrder):
        return command.approved.order.symbol
    return getattr(command, "symbol", None) or ""


class Wire:
    """Between all processes and the one exchange."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._listed = Listed()
        self._made_ms: dict[str, int] = {}
        """Client id to the time at which the exchange took the order."""

    def request(self, process: Process, command: VenueCommand) -> None:
        """Send a command; its answer reaches `process` as an event."""
        self._admit(process, command, call_of(command), self._world.now_ms + QUERY_PATIENCE_MS)

    def _admit(self, process: Process, command: VenueCommand, call: Call, until_ms: int) -> None:
        if not process.is_alive:
            return
        world = self._world
        priority = getattr(command, "priority", Priority.QUERY)
        refused = process.budget.acquire(call.weight, call.orders, priority)
        if refused is None:
            self._leave(process, command, call)
            return
        pause_ms = max(10, int((refused.retry_after_s or 0) * 1_000))
        is_patient = priority is Priority.QUERY and refused.kind is RefusalKind.THROTTLED
        if is_patient and world.now_ms + pause_ms <= until_ms:
            world.at(world.now_ms + pause_ms, lambda: self._admit(process, command, call, until_ms))
        else:
            self._answer(process, command, refused, world.now_ms, None)

    def _leave(self, process: Process, command: VenueCommand, call: Call) -> None:
        world, sent_ms = self._world, self._world.now_ms
        stamp_ms = sent_ms + process.offset_ms
        there, back = world.between(2, 60), world.between(2, 60)
        world.at(sent_ms + there, lambda: self._arrive(process, command, call, sent_ms, stamp_ms, back))

    def _arrive(
        self, process: Process, command: VenueCommand, call: Call, sent_ms: int, stamp_ms: int, back: int
    ) -> None:
        world, now_ms = self._world, self._world.now_ms
        world.advance()
        world.watch.on_arrival(process, command, call, sent_ms)
        expires_ms = sent_ms + RECV_WINDOW_MS + EXPIRY_MARGIN_MS
        gateway_ms = now_ms + world.injector.clock_offset_ms(now_ms)
        timeout_ms = sent_ms + (WRITE_TIMEOUT_MS if call.is_write else READ_TIMEOUT_MS)
        fault = world.injector.on_request(call.route, now_ms)
        if fault is not None:
            at_ms, outcome = self._bent(fault, process, command, (now_ms + back, timeout_ms))
            world.excuses.note_request(fault, symbol_of(command), at_ms)
        elif not gateway_ms - RECV_WINDOW_MS <= stamp_ms <= gateway_ms + AHEAD_MS_MAX:
            at_ms, outcome = now_ms + back, refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
            world.excuses.note_request(None, symbol_of(command), at_ms + RESYNC_MS)
        else:
            at_ms, outcome = now_ms + back, self.apply(command)
        self._answer(process, command, outcome, at_ms, expires_ms if call.is_write else None, sent_ms)

    def _bent(
        self, fault: Fault, process: Process, command: VenueCommand, times: tuple[int, int]
    ) -> tuple[int, Outcome]:
        """Return when the answer comes and what it is; `times` are those of a sound answer and of our time-out."""
        (answer_ms, timeout_ms), kind, now_ms = times, fault.kind, self._world.now_ms
        left_s = 1 if fault.until_ms is None else max(1, (fault.until_ms - self._world.elapsed_ms + 999) // 1_000)
        if kind is K.THROTTLE:
            process.budget.pause(left_s)
            self._world.watch.note_pause(process, now_ms + left_s * 1_000)
            return answer_ms, Refused(RefusalKind.THROTTLED, -1003, "Too many requests.", left_s)
        if kind is K.BAN:
            process.budget.ban(left_s)
            return answer_ms, Refused(RefusalKind.BANNED, -1003, "Way too many requests.", left_s)
        if kind is K.REFUSE:
            return answer_ms, refusal(int(fault.value("-1008")), "Refused.")
        if kind in _LOST:
            return answer_ms, InDoubt(kind.value)
        if kind is K.LATE_APPLY:
            self._world.at(now_ms + int(fault.value("1000")), lambda: self._apply_late(command))
            return answer_ms, InDoubt(kind.value)
        outcome: Outcome = InDoubt(kind.value)
        if not (kind is K.HANG and fault.detail == "not_applied"):
            outcome = self.apply(command)
        if kind in _APPLIED:
            return answer_ms, InDoubt(kind.value)
        slow_ms = now_ms + int(fault.value("10000" if kind is K.HANG else "2000"))
        if kind is K.SLOW_FIRST_BYTE and slow_ms < timeout_ms:
            return slow_ms, outcome
        return min(slow_ms, timeout_ms), InDoubt(kind.value)

    def _apply_late(self, command: VenueCommand) -> None:
        self._world.advance()
        self.apply(command)

    def apply(self, command: VenueCommand) -> Outcome:
        """Let the exchange carry a command out; look-ups and lists may see an older state."""
        world = self._world
        outcome = execute(world.exchange, command, listed=self._listed)
        if isinstance(command, SubmitOrder):
            client_id = command.approved.order.client_order_id
            if isinstance(outcome, Accepted):
                self._made_ms[client_id] = world.now_ms
                world.watch.on_accepted(client_id)
            world.note(f"{client_id} {type(outcome).__name__}")
        elif isinstance(outcome, Accepted):
            if isinstance(command, QueryOrder | IdentifyOrder):
                fault = world.injector.on_query(K.QUERY_LAG_SINGLE, call_of(command).route, world.now_ms)
                if fault is not None and self._is_young(outcome.payload.client_order_id, fault):  # type: ignore[union-attr]
                    outcome = Refused(RefusalKind.NOT_FOUND, -2013, "Order does not exist.")
                    world.excuses.note_request(fault, command.symbol, world.now_ms)
            elif isinstance(command, _LISTED):
                outcome = self._lagging(command, outcome)
        world.deliver(world.exchange.drain_events())
        return outcome

    def _lagging(self, command: VenueCommand, outcome: Accepted) -> Outcome:
        world = self._world
        fault = world.injector.on_query(K.QUERY_LAG_LIST, call_of(command).route, world.now_ms)
        if fault is None:
            return outcome
        rows: list[object] = outcome.payload  # type: ignore[assignment]
        if isinstance(command, FetchFills):
            limit_ms = world.now_ms - int(fault.value("30000"))
            shown = tuple(row for row in rows if row.event_time_ms <= limit_ms)  # type: ignore[attr-defined]
        else:
            shown = tuple(row for row in rows if not self._is_young(row.client_order_id, fault))  # type: ignore[attr-defined]
        if len(shown) != len(rows):
            world.excuses.note_request(fault, symbol_of(command), world.now_ms)
        return replace(outcome, payload=shown)  # type: ignore[arg-type]

    def _is_young(self, client_id: str, fault: Fault) -> bool:
        return self._made_ms.get(client_id, 0) > self._world.now_ms - int(fault.value("30000"))

    def _answer(
        self,
        process: Process,
        command: VenueCommand,
        outcome: Outcome,
        at_ms: int,
        expires_ms: int | None,
        sent_ms: int = 0,
    ) -> None:
        world = self._world

        def answer() -> None:
            if not process.is_alive:
                return
            if type(outcome) is Refused:
                self._learn(process, outcome)
            elif type(outcome) is Accepted:
                process.note_read(command, sent_ms)
            now_ms = world.now_ms
            process.feed(VenueReply(command, outcome, now_ms, now_ms, expires_ms))

        world.at(at_ms, answer)

    def _learn(self, process: Process, refused: Refused) -> None:
        """What the adapter does about some refusals: measure the clock again, read the filters again."""
        world = self._world
        if refused.kind is RefusalKind.CLOCK:
            world.at(world.now_ms + RESYNC_MS, process.synchronise)
        elif refused.code in FILTER_CODES:
            world.at(world.now_ms + RESYNC_MS, process.read_instruments)
