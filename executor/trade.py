"""One trade: an entry decision, its orders, its fills, and what they add up to. Holds state; decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from core.enums import Direction, Leg, PositionSide
from core.ids import ClientOrderId
from core.orders import FillReport
from core.records import (
    ExitReason,
    FillOwnerRecord,
    FillRecord,
    IntentRecord,
    OrderRecord,
    PositionRecord,
    Record,
    TradeState,
)
from core.signal import ExitPlan
from executor.fills import fill_record, venue_exit_reason
from executor.lifecycle import TERMINAL, TradeEvent, next_state
from executor.tracked import ENDED, TrackedOrder

ZERO = Decimal(0)
_ENTRY = Leg.ENTRY
_Row = IntentRecord | PositionRecord | OrderRecord

_REASON_OF_LEG = {Leg.STOP: ExitReason.STOP, Leg.TARGET: ExitReason.TARGET}


@dataclass(slots=True)
class Timers:
    """Moments of our steady clock that steering waits for; None: not running."""

    naked_since_ms: int | None = None
    beyond_since_ms: int | None = None
    firing_since_ms: int | None = None
    stop_retry_at_ms: int = 0
    target_retry_at_ms: int = 0
    close_retry_at_ms: int = 0
    confirm_at_ms: int | None = None
    fills_asked_ms: int | None = None


@dataclass(slots=True)
class Trade:
    """Everything known of one trade. Quantities are unsigned; `*_time_ms` is venue time, `*_ms` our clock.

    `stop_price` and `target_price` are planned prices; live ones are on the orders. `realized_pnl` is before fees,
    `fees` positive when paid (quote asset only), `funding` positive when received.
    """

    intent_id: int
    epoch: int
    signal_id: str | None
    symbol: str
    strategy: str
    direction: Direction
    position_side: PositionSide
    quantity: Decimal
    reference_price: Decimal
    plan: ExitPlan
    stop_price: Decimal
    target_price: Decimal | None
    risk_usd: Decimal
    client_order_id: str
    created_time_ms: int
    quote_asset: str
    max_holding_ms: int | None = None
    state: TradeState = TradeState.INTENT
    evidence: str = ""
    orders: dict[str, TrackedOrder] = field(default_factory=dict)
    fills: list[FillRecord] = field(default_factory=list)
    added: Decimal = ZERO
    added_cost: Decimal = ZERO
    exited_elsewhere: Decimal = ZERO
    exit_booked: Decimal = ZERO
    exit_cost: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    opened_time_ms: int | None = None
    closed_time_ms: int | None = None
    first_fill_ms: int | None = None
    last_fill_ms: int = 0
    last_fill_time_ms: int = 0
    updated_time_ms: int = 0
    exit_requested: ExitReason | None = None
    exit_reason: ExitReason | None = None
    flagged: str = ""
    entry_counted: bool = False
    target_abandoned: bool = False
    timers: Timers = field(default_factory=Timers)
    _written: dict[object, _Row] = field(default_factory=dict)
    _taken_facts: tuple[object, ...] = field(default=(), init=False, repr=False, compare=False)
    _new_fills: list[FillRecord | FillOwnerRecord] = field(default_factory=list)
    entered: Decimal = field(default=ZERO, init=False)
    """Quantity entered: by the entry order (told or booked) and by others who added to the position."""
    exited: Decimal = field(default=ZERO, init=False)
    leaves: Decimal = field(default=ZERO, init=False)
    """Quantity still open as far as we know; never negative."""
    lacks_fills: bool = field(default=False, init=False)
    """True while the venue told of executions that are not booked yet."""
    _booked_price: Decimal | None = field(default=None, init=False, repr=False)
    """Average entry price from fills; None before any."""

    # --- orders -------------------------------------------------------------------------------------------------

    @property
    def entry(self) -> TrackedOrder | None:
        return self.orders.get(self.client_order_id)

    def legs(self, leg: Leg) -> Iterator[TrackedOrder]:
        return (order for order in self.orders.values() if order.leg is leg)

    def newest(self, leg: Leg) -> TrackedOrder | None:
        """Return the newest order of a leg, dead or alive."""
        newest = None
        for order in self.orders.values():
            if order.leg is leg and (newest is None or order.attempt > newest.attempt):
                newest = order
        return newest

    def standing(self, leg: Leg) -> TrackedOrder | None:
        """Return the newest order of a leg that lives or may live, or None."""
        newest = None
        for order in self.orders.values():
            if order.leg is not leg or order.phase in ENDED:
                continue
            if newest is None or order.attempt > newest.attempt:
                newest = order
        return newest

    def next_id(self, leg: Leg, epoch: int) -> ClientOrderId:
        """Return a client order id that this leg has never used.

        `epoch` is that of this process: an earlier one may have sent attempts of which it could not write.
        """
        newest = self.newest(leg)
        return ClientOrderId(epoch, self.intent_id, leg, 0 if newest is None else newest.attempt + 1)

    # --- quantities ---------------------------------------------------------------------------------------------

    def recount(self) -> None:
        """Sum up quantities and the entry price; due whenever an order or what is booked changed."""
        entry = self.orders.get(self.client_order_id)
        self.entered = self.added if entry is None else entry.executed + self.added
        exited, lacks_fills = self.exited_elsewhere, False
        for order in self.orders.values():
            reported, booked = order.reported, order.booked
            is_more = reported > booked
            lacks_fills |= is_more
            if order.leg is not _ENTRY:
                exited += reported if is_more else booked
        self.exited, self.lacks_fills = exited, lacks_fills
        booked = self.added if entry is None else entry.booked + self.added
        cost = self.added_cost if entry is None else entry.booked_cost + self.added_cost
        self._booked_price = cost / booked if booked > 0 else None
        left = self.entered - exited
        self.leaves = left if left > 0 else ZERO

    @property
    def signed_leaves(self) -> Decimal:
        return self.leaves * self.direction.sign

    @property
    def last_change_ms(self) -> int:
        """Our clock at the newest fill, or at the newest word about the entry: positions read before say nothing."""
        entry = self.entry
        return max(self.last_fill_ms, entry.confirmed_ms or 0 if entry is not None else 0)

    @property
    def is_over(self) -> bool:
        return self.state in TERMINAL

    @property
    def saga_state(self) -> TradeState:
        """The intent's state: it is closed only when nothing of it is left at the venue, so that a restart still
        finds what has to be swept. The position's own row is closed when the position is."""
        return TradeState.CLOSING if self.state is TradeState.CLOSED and not self.is_clear else self.state

    @property
    def is_clear(self) -> bool:
        """True when nothing of this trade can act at the venue any more."""
        if self.state not in TERMINAL:
            return False
        for order in self.orders.values():  # noqa: SIM110 - asked after every step, and a generator costs twice as much
            if not order.has_ended:
                return False
        return True

    @property
    def entry_price(self) -> Decimal | None:
        """Average entry price from fills, or as the venue told it; None before any fill."""
        if self._booked_price is not None:
            return self._booked_price
        entry = self.orders.get(self.client_order_id)
        return entry.reported_average if entry is not None and entry.reported > 0 else None

    @property
    def net_pnl(self) -> Decimal:
        return self.realized_pnl - self.fees + self.funding

    def unrealized_pnl(self, price: Decimal | None) -> Decimal:
        """Return the open quantity's result at `price`, before fees; 0 when price or entry are unknown."""
        entry_price = self.entry_price
        if price is None or entry_price is None:
            return ZERO
        return (price - entry_price) * self.signed_leaves

    # --- changes ------------------------------------------------------------------------------------------------

    def advance(self, event: TradeEvent, evidence: str = "") -> None:
        """Move along the lifecycle table; raises IllegalTransition."""
        self.state = next_state(self.state, event)
        if evidence:
            self.evidence = evidence

    def flag(self, text: str) -> None:
        if text not in self.flagged:
            self.flagged = f"{self.flagged}; {text}" if self.flagged else text

    def book(
        self, fill: FillReport, order: TrackedOrder | None, now_ms: int, *, correction: bool = False
    ) -> FillRecord:
        """Add one execution. Without an order it is somebody else's: it adds on the entry side, else it exits.

        The caller has made sure that the trade id is new.
        """
        cost = fill.price * fill.quantity
        is_entry = order.leg is _ENTRY if order is not None else fill.side is self.direction.entry_side
        if order is not None:
            order.booked += fill.quantity
            order.booked_cost += cost
        elif is_entry:
            self.added += fill.quantity
            self.added_cost += cost
        else:
            self.exited_elsewhere += fill.quantity
        if not is_entry:
            self.exit_booked += fill.quantity
            self.exit_cost += cost
            self.exit_reason = self._exit_reason(fill, order, correction)
        self._sum_up(fill, now_ms)
        record = fill_record(fill, now_ms, self, order, correction=correction)
        self.fills.append(record)
        self._new_fills.append(record)
        self.recount()
        return record

    def _sum_up(self, fill: FillReport, now_ms: int) -> None:
        self.realized_pnl += fill.realized_pnl
        if fill.fee_asset == self.quote_asset:
            self.fees += fill.fee
        time_ms = fill.event_time_ms
        self.last_fill_ms = max(self.last_fill_ms, now_ms)
        self.last_fill_time_ms = max(self.last_fill_time_ms, time_ms)
        if self.first_fill_ms is None:
            self.first_fill_ms = now_ms
        if self.opened_time_ms is None or time_ms < self.opened_time_ms:
            self.opened_time_ms = time_ms

    def _exit_reason(self, fill: FillReport, order: TrackedOrder | None, correction: bool) -> ExitReason:
        if order is not None and order.leg in _REASON_OF_LEG:
            return _REASON_OF_LEG[order.leg]
        if order is not None:
            return self.exit_requested or ExitReason.EXTERNAL
        if correction:
            return ExitReason.RECONCILED
        return venue_exit_reason(fill.client_order_id) or ExitReason.EXTERNAL

    def reassign(self, row: FillRecord, order: TrackedOrder, *, is_its: bool) -> None:
        """Give a booked fill to `order`, or take it from it for somebody else. Results and fees stay as they are."""
        quantity = row.quantity if is_its else -row.quantity
        cost = row.price * quantity
        order.booked += quantity
        order.booked_cost += cost
        if row.side is self.direction.entry_side:
            self.added -= quantity
            self.added_cost -= cost
        else:
            self.exited_elsewhere -= quantity
        client_order_id, leg = (order.client_order_id, order.leg) if is_its else ("", None)
        self.fills[self.fills.index(row)] = replace(row, client_order_id=client_order_id, leg=leg)
        self._new_fills.append(FillOwnerRecord(row.symbol, row.trade_id, client_order_id, leg))
        self.recount()

    # --- rows ---------------------------------------------------------------------------------------------------

    def take_records(self, time_ms: int) -> list[Record]:
        """Return the rows that differ from those taken before: new fills, then intent, position and orders."""
        records: list[Record] = list(self._new_fills)
        self._new_fills.clear()
        changed = [order for order in self.orders.values() if order.takes_news()]
        facts = self._facts()
        if changed or facts != self._taken_facts:
            self._taken_facts = facts
            if self._is_intent_changed():
                self._add_changed(records, IntentRecord, self.to_intent_record, time_ms)
            if self.opened_time_ms is not None:
                self._add_changed(records, PositionRecord, self.to_position_record, time_ms)
            for order in changed:
                self._add_changed(records, order.client_order_id, order.to_record, time_ms)
        if records:
            self.updated_time_ms = time_ms
        return records

    def take_position_record(self, time_ms: int) -> list[Record]:
        """Return the position's row alone, where there is a position and the row differs from the one taken before."""
        records: list[Record] = []
        if self.opened_time_ms is not None:
            self._add_changed(records, PositionRecord, self.to_position_record, time_ms)
        return records

    def _is_intent_changed(self) -> bool:
        """Whether the intent's row is new, or tells a state or an evidence that is over: nothing else of it changes."""
        known = self._written.get(IntentRecord)
        return (
            not isinstance(known, IntentRecord) or known.state is not self.saga_state or known.evidence != self.evidence
        )

    def _facts(self) -> tuple[object, ...]:
        """Return everything in the rows of intent and position that changes, but for what the orders tell."""
        return (
            self.state,
            self.evidence,
            self.entered,
            self.leaves,
            self._booked_price,
            self.exit_booked,
            self.exit_cost,
            self.realized_pnl,
            self.fees,
            self.funding,
            self.exit_reason,
            self.opened_time_ms,
            self.closed_time_ms,
            self.flagged,
        )

    def _add_changed(self, records: list[Record], key: object, make: Callable[[int], _Row], time_ms: int) -> None:
        """Append the row that `make` returns, stamped with `time_ms`, unless only its stamp would be new."""
        known = self._written.get(key)
        if known is not None and make(known.updated_time_ms) == known:
            return
        row = self._written[key] = make(time_ms)
        records.append(row)

    def to_intent_record(self, updated_time_ms: int) -> IntentRecord:
        return IntentRecord(
            intent_id=self.intent_id,
            epoch=self.epoch,
            signal_id=self.signal_id,
            symbol=self.symbol,
            strategy=self.strategy,
            direction=self.direction,
            position_side=self.position_side,
            quantity=self.quantity,
            reference_price=self.reference_price,
            stop_price=self.stop_price,
            target_price=self.target_price,
            risk_usd=self.risk_usd,
            client_order_id=self.client_order_id,
            state=self.saga_state,
            evidence=self.evidence,
            created_time_ms=self.created_time_ms,
            updated_time_ms=updated_time_ms,
            max_holding_ms=self.max_holding_ms,
        )

    def to_position_record(self, updated_time_ms: int) -> PositionRecord:
        stop = self.standing(Leg.STOP) or self.newest(Leg.STOP)
        target = self.standing(Leg.TARGET) or self.newest(Leg.TARGET)
        return PositionRecord(
            self.intent_id,
            self.symbol,
            self.strategy,
            self.direction,
            self.state,
            self.leaves,
            self.entered,
            self.entry_price,
            self.exit_cost / self.exit_booked if self.exit_booked else None,
            stop.stop_price if stop is not None else None,
            target.stop_price if target is not None else None,
            stop.client_order_id if stop is not None else None,
            target.client_order_id if target is not None else None,
            self.risk_usd,
            self.realized_pnl,
            self.fees,
            self.funding,
            self.exit_reason,
            self.opened_time_ms,
            self.closed_time_ms,
            updated_time_ms,
            self.flagged,
        )
