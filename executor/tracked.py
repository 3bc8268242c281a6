"""One order of ours as we know it: what was asked, what became of the request, what the venue reported since.

Reports come in any order, twice or never. They apply by (cumulative quantity, status rank): quantity never falls and a
terminal status is never left, so every permutation of the same reports ends in the same state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from core.enums import AlgoStatus, Leg, OrderService, OrderStatus, OrderType, PositionSide, Side, Word
from core.ids import ClientOrderId
from core.orders import AlgoOrderReport, AlgoOrderRequest, OrderReport, OrderRequest
from core.records import OrderRecord

ZERO = Decimal(0)


class Phase(Word):
    """What we know of the request itself. LIVE and DONE are the venue's word, the others are ours."""

    SENDING = "SENDING"
    IN_DOUBT = "IN_DOUBT"
    LIVE = "LIVE"
    DONE = "DONE"
    REFUSED = "REFUSED"
    ABSENT = "ABSENT"


ENDED = frozenset({Phase.DONE, Phase.REFUSED, Phase.ABSENT})
_UNRESOLVED = frozenset({Phase.SENDING, Phase.IN_DOUBT})
_PLAIN_RANK: dict[str, int] = {OrderStatus.NEW: 0, OrderStatus.PARTIALLY_FILLED: 1}
_ALGO_RANK: dict[str, int] = {AlgoStatus.NEW: 0, AlgoStatus.TRIGGERING: 1, AlgoStatus.TRIGGERED: 2}
_PLAIN_OVER = frozenset(status.value for status in OrderStatus if status.is_terminal)
_LIVE, _DONE, _PLAIN = Phase.LIVE, Phase.DONE, OrderService.PLAIN
_ALGO_OVER = frozenset(status.value for status in AlgoStatus if status.is_terminal)
FIRING = frozenset({AlgoStatus.TRIGGERING.value, AlgoStatus.TRIGGERED.value, AlgoStatus.FINISHED.value})


@dataclass(slots=True)
class TrackedOrder:
    """Mutable state of one order. `*_ms` without `time` are our clock; `executed` is the larger of told and booked."""

    client_order_id: str
    symbol: str
    strategy: str
    intent_id: int
    leg: Leg
    attempt: int
    service: OrderService
    side: Side
    position_side: PositionSide
    type: OrderType
    quantity: Decimal | None
    price: Decimal | None
    stop_price: Decimal | None
    reduce_only: bool
    close_position: bool
    created_time_ms: int
    sent_ms: int
    phase: Phase = Phase.SENDING
    venue_status: str = ""
    reported: Decimal = ZERO
    reported_average: Decimal | None = None
    booked: Decimal = ZERO
    booked_cost: Decimal = ZERO
    venue_order_id: int | None = None
    has_plain_ended: bool = False
    """For a conditional order: the plain order that its trigger made is over, filled or not."""
    algo_id: int | None = None
    update_time_ms: int = 0
    confirmed_ms: int | None = None
    expires_ms: int | None = None
    query_at_ms: int = 0
    queries: int = 0
    not_found: int = 0
    cancel_asked: bool = False
    cancel_at_ms: int = 0
    refusal_code: int = 0
    detail: str = ""
    _taken: tuple[object, ...] = field(default=(), init=False, repr=False, compare=False)

    @property
    def executed(self) -> Decimal:
        return self.reported if self.reported > self.booked else self.booked

    @property
    def has_ended(self) -> bool:
        return self.phase in ENDED

    @property
    def is_unresolved(self) -> bool:
        """True while nobody knows whether the venue holds the order."""
        return self.phase in _UNRESOLVED

    @property
    def is_firing(self) -> bool:
        """True once a conditional order's trigger was reached."""
        return self.venue_status in FIRING

    @property
    def lacks_fills(self) -> bool:
        """True when the venue told of executions that are not booked yet."""
        return self.reported > self.booked

    @property
    def status(self) -> str:
        if (self.phase is _LIVE or self.phase is _DONE) and self.venue_status:
            return self.venue_status
        return str(self.phase)

    def apply_plain(self, report: OrderReport, now_ms: int) -> bool:
        """Apply a report about this order (or about the plain order that a trigger made); True when it told news.

        A conditional order's life is told by algo reports; of its plain order only quantity and price are taken.
        """
        before = (self.phase, self.venue_status, self.reported, self.venue_order_id)
        self.venue_order_id = report.venue_order_id
        if report.filled_quantity >= self.reported:
            self.reported = report.filled_quantity
            self.reported_average = report.average_price or self.reported_average
        if self.service is _PLAIN:
            self._take_status(str(report.status), report.status.is_terminal, _PLAIN_RANK, now_ms)
        elif report.status.is_terminal:
            self.has_plain_ended = True
        self.update_time_ms = max(self.update_time_ms, report.update_time_ms)
        return before != (self.phase, self.venue_status, self.reported, self.venue_order_id)

    def apply_algo(self, report: AlgoOrderReport, now_ms: int) -> bool:
        """Apply a conditional order's report; True when it told news."""
        before = (self.phase, self.venue_status, self.venue_order_id)
        self.algo_id = report.algo_id
        if report.venue_order_id is not None:
            self.venue_order_id = report.venue_order_id
        if report.reject_reason:
            self.detail = report.reject_reason
        self._take_status(str(report.status), report.status.is_terminal, _ALGO_RANK, now_ms)
        self.update_time_ms = max(self.update_time_ms, report.update_time_ms)
        return before != (self.phase, self.venue_status, self.venue_order_id)

    def _take_status(self, status: str, is_terminal: bool, ranks: dict[str, int], now_ms: int) -> None:
        """Move to `status` unless that would lead back; a word that nobody knows is no news."""
        if self.phase is _DONE or not (is_terminal or status in ranks):
            return
        self.confirmed_ms = now_ms
        self.not_found = 0
        if is_terminal:
            self.phase, self.venue_status = _DONE, status
            return
        self.phase = _LIVE
        if ranks[status] >= ranks.get(self.venue_status, -1):
            self.venue_status = status

    def end(self, phase: Phase, detail: str) -> None:
        """Close the order by our own knowledge: REFUSED or ABSENT."""
        self.phase, self.detail = phase, detail

    def takes_news(self) -> bool:
        """Whether anything of the order's row may have changed since the last call: cheaper than the row itself."""
        facts = (
            self.phase,
            self.venue_status,
            self.reported,
            self.reported_average,
            self.booked,
            self.booked_cost,
            self.venue_order_id,
            self.algo_id,
            self.detail,
        )
        if facts == self._taken:
            return False
        self._taken = facts
        return True

    def to_record(self, updated_time_ms: int) -> OrderRecord:
        return OrderRecord(
            client_order_id=self.client_order_id,
            symbol=self.symbol,
            strategy=self.strategy,
            intent_id=self.intent_id,
            leg=self.leg,
            service=self.service,
            side=self.side,
            position_side=self.position_side,
            type=self.type,
            status=self.status,
            quantity=self.quantity,
            price=self.price,
            stop_price=self.stop_price,
            filled_quantity=self.executed,
            average_price=self.booked_cost / self.booked if self.booked else self.reported_average,
            reduce_only=self.reduce_only,
            close_position=self.close_position,
            venue_order_id=self.venue_order_id,
            algo_id=self.algo_id,
            created_time_ms=self.created_time_ms,
            updated_time_ms=updated_time_ms,
            detail=self.detail,
        )


def track_request(
    request: OrderRequest | AlgoOrderRequest, identity: ClientOrderId, strategy: str, time_ms: int, now_ms: int
) -> TrackedOrder:
    """Return the tracked order of a request that is about to be sent under `identity`, its client order id."""
    is_algo = isinstance(request, AlgoOrderRequest)
    return TrackedOrder(
        request.client_order_id,
        request.symbol,
        strategy,
        identity.intent,
        request.leg,
        identity.attempt,
        OrderService.ALGO if is_algo else OrderService.PLAIN,
        request.side,
        request.position_side,
        request.type,
        request.quantity,
        None if isinstance(request, AlgoOrderRequest) else request.price,
        request.trigger_price if isinstance(request, AlgoOrderRequest) else None,
        request.reduce_only,
        isinstance(request, AlgoOrderRequest) and request.close_position,
        time_ms,
        now_ms,
    )


def restore_order(record: OrderRecord, now_ms: int) -> TrackedOrder | None:
    """Return the tracked order of a stored row, or None for one that is not ours.

    What was being sent when the process ended is in doubt now.
    """
    identity = ClientOrderId.parse(record.client_order_id)
    if identity is None or record.leg is None or record.intent_id is None:
        return None
    order = TrackedOrder(
        client_order_id=record.client_order_id,
        symbol=record.symbol,
        strategy=record.strategy,
        intent_id=record.intent_id,
        leg=record.leg,
        attempt=identity.attempt,
        service=record.service,
        side=record.side,
        position_side=record.position_side,
        type=record.type,
        quantity=record.quantity,
        price=record.price,
        stop_price=record.stop_price,
        reduce_only=record.reduce_only,
        close_position=record.close_position,
        created_time_ms=record.created_time_ms,
        sent_ms=now_ms,
        reported=record.filled_quantity,
        reported_average=record.average_price,
        venue_order_id=record.venue_order_id,
        algo_id=record.algo_id,
        update_time_ms=record.updated_time_ms,
        detail=record.detail,
    )
    order.phase, order.venue_status = _restored_phase(record)
    return order


def _restored_phase(record: OrderRecord) -> tuple[Phase, str]:
    if record.status in (Phase.SENDING, Phase.IN_DOUBT):
        return Phase.IN_DOUBT, ""
    if record.status in (Phase.REFUSED, Phase.ABSENT):
        return Phase(record.status), ""
    is_over = record.status in (_PLAIN_OVER if record.service is OrderService.PLAIN else _ALGO_OVER)
    return (Phase.DONE if is_over else Phase.LIVE), record.status
