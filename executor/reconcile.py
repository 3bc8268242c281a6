"""Reconciliation: a staged snapshot of the account compared with our book, before any entry and every 30 seconds.

Stage one reads positions, plain and conditional open orders, balances and ledger rows; stage two the fills of every
symbol that any of them mentions. A read that fails leaves everything unknown: it is tried again, and nothing is taken
for flat. Quantities are then the audit's business; orders are compared here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from dataclasses import dataclass, field

from core.commands import (
    Accepted,
    CancelOrder,
    FetchBalances,
    FetchOpenAlgoOrders,
    FetchOpenOrders,
    FetchPositions,
    Outcome,
    Refused,
    VenueCommand,
    VenueReply,
)
from core.enums import Leg, OrderService, Priority, Severity
from core.ids import ClientOrderId
from core.orders import AlgoOrderReport, OrderReport, PositionReport
from core.records import TradeState
from executor import kill
from executor.adoption import adopt_position, track_listed
from executor.corrections import watched_symbols
from executor.desk import Desk
from executor.doubt import apply_report
from executor.fencing import freeze_if_younger
from executor.halts import ALL, KILL
from executor.income import IncomeBook
from executor.ledger import fills_command
from executor.tracked import Phase

Listed = OrderReport | AlgoOrderReport


@dataclass(slots=True)
class Snapshot:
    """Answers of one reconciliation. `started_ms` (our clock) is when its reads were sent."""

    reason: str
    started_ms: int
    outstanding: set[VenueCommand] = field(default_factory=set)
    positions: tuple[PositionReport, ...] = ()
    orders: tuple[OrderReport, ...] = ()
    algo_orders: tuple[AlgoOrderReport, ...] = ()
    traded: set[str] = field(default_factory=set)
    fills_asked: bool = False


class Reconciler:
    """Runs one snapshot at a time: when demanded, and periodically."""

    def __init__(self, income: IncomeBook) -> None:
        self._income = income
        self._snapshot: Snapshot | None = None
        self._next_ms = 0
        self._traded: set[str] = set()
        self._failures = 0
        self._demanded: deque[int] = deque()
        """When those of the last while that were demanded began (our clock)."""
        self.completed = 0
        self.last_success_ms: int | None = None

    def tick(self, desk: Desk) -> None:
        snapshot = self._snapshot
        if snapshot is not None:
            if desk.now_ms - snapshot.started_ms > desk.policy.reconcile_ms_max:
                self._fail(desk, "answers are missing")
            return
        if desk.now_ms >= self._begin_ms(desk):
            self._begin(desk)

    def due_ms(self, desk: Desk) -> int:
        """Return before which moment of our clock a tick does nothing here."""
        if self._snapshot is not None:
            return self._snapshot.started_ms + desk.policy.reconcile_ms_max
        return self._begin_ms(desk)

    def _begin_ms(self, desk: Desk) -> int:
        """Return when the next one is due. A demand need not wait for that, but after a failure for the retry time.

        Demands that keep coming (two instances close the same position, say) get further and further apart: a reading
        of the whole account costs a good part of what the venue allows in a minute.
        """
        if desk.wanted_reconcile is None or self._failures:
            return self._next_ms
        if not self._demanded:
            return 0
        pause_ms = desk.policy.reconcile_again_ms << (len(self._demanded) - 1)
        return min(self._next_ms, self._demanded[-1] + min(pause_ms, desk.policy.reconcile_retry_ms_max))

    def _begin(self, desk: Desk) -> None:
        if desk.wanted_reconcile is not None:
            # Sorted out here and not when asked: what `due_ms` has said must not come sooner.
            while self._demanded and self._demanded[0] <= desk.now_ms - desk.policy.reconcile_every_ms:
                self._demanded.popleft()
            self._demanded.append(desk.now_ms)
        snapshot = Snapshot(desk.wanted_reconcile or "periodic", desk.now_ms)
        desk.wanted_reconcile = None
        commands: tuple[VenueCommand, ...] = (
            FetchPositions(),
            FetchOpenOrders(),
            FetchOpenAlgoOrders(),
            FetchBalances(),
            self._income.command(),
        )
        for command in commands:
            snapshot.outstanding.add(command)
            desk.send("", command)
        self._snapshot = snapshot

    def on_reply(self, desk: Desk, reply: VenueReply, traded: Set[str]) -> None:
        """Note an answer of the running snapshot; `traded` are symbols that its ledger rows mention."""
        if traded:
            self._traded |= traded
        snapshot = self._snapshot
        if snapshot is None or reply.command not in snapshot.outstanding:
            return
        if not isinstance(reply.outcome, Accepted):
            self._fail(desk, str(reply.outcome), _rest_ms(reply.outcome))
            return
        snapshot.outstanding.discard(reply.command)
        kind = type(reply.command)
        if kind is FetchPositions:
            snapshot.positions = reply.payload()
        elif kind is FetchOpenOrders:
            snapshot.orders = reply.payload()
        elif kind is FetchOpenAlgoOrders:
            snapshot.algo_orders = reply.payload()
        if not snapshot.outstanding:
            self._next_stage(desk, snapshot)

    def _next_stage(self, desk: Desk, snapshot: Snapshot) -> None:
        if snapshot.fills_asked:
            self._finish(desk, snapshot)
            return
        snapshot.fills_asked = True
        snapshot.traded = set(self._traded)
        for symbol in sorted(_mentioned(desk, snapshot)):
            command = fills_command(desk, symbol)
            snapshot.outstanding.add(command)
            desk.send(symbol, command)
        if not snapshot.outstanding:
            self._finish(desk, snapshot)

    def _finish(self, desk: Desk, snapshot: Snapshot) -> None:
        self._snapshot = None
        # Ledger rows are told once: their symbols stay noted until their fills have been read.
        self._traded -= snapshot.traded
        compare_orders(desk, snapshot)
        suspect_differences(desk)
        kill.on_snapshot(desk, snapshot.started_ms, snapshot.positions, (*snapshot.orders, *snapshot.algo_orders))
        self._failures = 0
        self.completed += 1
        self.last_success_ms = desk.now_ms
        self._next_ms = desk.now_ms + desk.policy.reconcile_every_ms
        # A demand that came while it ran is about something that it may not have seen.
        desk.link.reconciled = desk.wanted_reconcile is None

    def _fail(self, desk: Desk, why: str, rest_ms: int = 0) -> None:
        snapshot, self._snapshot = self._snapshot, None
        self._failures += 1
        retry_ms = min(desk.policy.reconcile_retry_ms * 2 ** (self._failures - 1), desk.policy.reconcile_retry_ms_max)
        self._next_ms = desk.now_ms + max(retry_ms, rest_ms)
        if snapshot is not None and not desk.link.reconciled:
            desk.wanted_reconcile = desk.wanted_reconcile or snapshot.reason
        if self._failures == desk.policy.reconcile_failures_max:
            desk.demand_reconcile("reads fail")
            desk.alert(
                f"reconcile-failed:{desk.epoch}:{desk.now_ms}",
                Severity.WARNING,
                "Reconciliation fails",
                f"{self._failures} tries failed, last: {why[:200]}. No entries until one succeeds.",
            )


def _rest_ms(outcome: Outcome) -> int:
    """How long a refusal asks to wait: tries before that would only use up what other reads need."""
    return int((outcome.retry_after_s or 0) * 1000) if isinstance(outcome, Refused) else 0


def _mentioned(desk: Desk, snapshot: Snapshot) -> set[str]:
    """Symbols whose fills must be read: open or corrected here, open there, or traded since according to the ledger."""
    symbols = {trade.symbol for trade in desk.book.active.values()} | snapshot.traded | watched_symbols(desk)
    symbols |= {row.symbol for row in snapshot.positions if row.quantity != 0}
    return symbols | {key[0] for key in desk.suspects}


def suspect_differences(desk: Desk) -> None:
    """Hand every leg whose quantity differs, and every blocked symbol, to the audit."""
    for key, fact in desk.positions.facts.items():
        if fact.quantity != desk.expected(key) or key[0] in desk.foreign_positions:
            desk.suspect(*key)


def compare_orders(desk: Desk, snapshot: Snapshot) -> None:
    """Bring our orders to what the lists say, cancel left-overs of ours, note foreign ones, doubt missing ones."""
    listed: dict[str, Listed] = {}
    foreign: dict[str, str] = {}
    reports: list[Listed] = [*snapshot.orders, *snapshot.algo_orders]
    for report in reports:
        listed[report.client_order_id] = report
        identity = ClientOrderId.parse(report.client_order_id)
        if identity is None:
            foreign[report.symbol] = f"open order {report.client_order_id} that is not ours"
        elif not freeze_if_younger(desk, report.client_order_id) or desk.halts.is_active(ALL, KILL):
            _take_listed(desk, report, identity, snapshot)
    _note_foreign(desk, foreign)
    _doubt_missing(desk, listed, snapshot.started_ms)


def _take_listed(desk: Desk, report: Listed, identity: ClientOrderId, snapshot: Snapshot) -> None:
    owner = desk.book.by_client_id(report.client_order_id)
    if owner is not None:
        trade, order = owner
        had_ended = order.has_ended
        apply_report(desk, trade, order, report)
        if had_ended and not order.has_ended and trade.intent_id not in desk.book.active:
            desk.book.revive(trade)
        return
    trade_by_intent = desk.book.active.get(identity.intent)
    if trade_by_intent is not None:
        track_listed(desk, trade_by_intent, report, identity)
        return
    if isinstance(report, AlgoOrderReport) and identity.leg is Leg.STOP:
        adopted = adopt_position(desk, report, snapshot.positions, snapshot.started_ms)
        if adopted is not None:
            return
    service = OrderService.ALGO if isinstance(report, AlgoOrderReport) else OrderService.PLAIN
    desk.send(report.symbol, CancelOrder(report.symbol, report.client_order_id, service, Priority.EXIT))


def _note_foreign(desk: Desk, foreign: dict[str, str]) -> None:
    """Foreign orders are left alone; their symbols take no entries while they stand."""
    for symbol, text in foreign.items():
        if symbol in desk.config.symbols and symbol not in desk.foreign_orders:
            desk.alert(
                f"foreign-order:{symbol}:{desk.days.day}",
                Severity.WARNING,
                f"{symbol}: foreign order",
                f"{text}; it is left alone and the symbol takes no entries while it stands.",
                symbol=symbol,
            )
    desk.foreign_orders = foreign


def _doubt_missing(desk: Desk, listed: dict[str, Listed], started_ms: int) -> None:
    """A conditional order that was live before the list was read and is not on it: ask for it by name.

    An open trade's stop is not trusted meanwhile; lists lag sometimes, and so do look-ups, never both for long.
    """
    for trade in desk.book.active.values():
        for order in trade.orders.values():
            is_candidate = order.service is OrderService.ALGO and order.phase is Phase.LIVE and not order.is_firing
            is_older = order.confirmed_ms is None or order.confirmed_ms < started_ms
            if is_candidate and is_older and order.client_order_id not in listed:
                order.phase, order.not_found = Phase.IN_DOUBT, 0
                order.detail, order.query_at_ms = "missing from the list of open orders", desk.now_ms
                if trade.state is not TradeState.CLOSED:
                    desk.touch(trade)
