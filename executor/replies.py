"""What the venue answered: each answer changes what is known, then the trades concerned are steered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.commands import (
    Accepted,
    CancelOrder,
    FetchBalances,
    FetchFills,
    FetchIncome,
    FetchPositions,
    FetchSymbolConfig,
    IdentifyOrder,
    InDoubt,
    QueryOrder,
    RefusalKind,
    Refused,
    SetCountdownCancel,
    SubmitOrder,
    VenueReply,
)
from core.enums import Leg
from core.orders import AlgoOrderReport, OrderReport
from executor import deadman, doubt, exits, kill, ledger, progress, protection, valuation
from executor.desk import Desk
from executor.income import IncomeBook
from executor.reconcile import Reconciler, suspect_differences
from executor.setup import block_if_different
from executor.steering import steer_all, wake
from executor.tracked import Phase, TrackedOrder
from executor.trade import Trade

_NONE: frozenset[str] = frozenset()


class Replies:
    """Routes each answer by the command that it belongs to."""

    def __init__(self, desk: Desk, income: IncomeBook, reconciler: Reconciler) -> None:
        self._desk = desk
        self._income = income
        self._reconciler = reconciler
        self._handlers: dict[type, Callable[[VenueReply, int], set[str] | None]] = {
            SubmitOrder: self._on_submitted,
            CancelOrder: self._on_cancelled,
            QueryOrder: self._on_queried,
            IdentifyOrder: self._on_queried,
            FetchPositions: self._on_positions,
            FetchFills: self._on_fills,
            FetchBalances: self._on_balances,
            FetchIncome: self._on_income,
            FetchSymbolConfig: self._on_symbol_config,
            SetCountdownCancel: self._on_countdown,
        }

    def take(self, reply: VenueReply) -> None:
        """Route one answer; the running reconciliation hears of every one."""
        issued_ms = self._desk.inflight.pop(reply.command, self._desk.now_ms)
        handler = self._handlers.get(type(reply.command))
        traded = handler(reply, issued_ms) if handler is not None else None
        if self._desk.unwinding and reply.command == kill.COMMIT_PROOF:
            kill.on_answer(self._desk)
        self._reconciler.on_reply(self._desk, reply, traded or _NONE)

    def _on_submitted(self, reply: VenueReply, _issued_ms: int) -> None:
        """Take the answer of a request to place an order; the stream's word stands where it came first."""
        desk, command = self._desk, reply.command
        assert isinstance(command, SubmitOrder)
        owner = desk.book.by_client_id(command.approved.order.client_order_id)
        if owner is None:
            return
        trade, order = owner
        order.expires_ms = reply.expires_time_ms
        outcome = reply.outcome
        if isinstance(outcome, InDoubt):
            doubt.mark_in_doubt(desk, trade, order, f"outcome unknown: {outcome.detail}"[:200])
        elif isinstance(outcome, Refused):
            self._on_refused(trade, order, outcome)
        elif isinstance(outcome.payload, (OrderReport, AlgoOrderReport)):
            doubt.apply_report(desk, trade, order, outcome.payload)
            if desk.held:
                steer_all(desk, ledger.settle_held(desk))
        wake(desk, trade)

    def _on_refused(self, trade: Trade, order: TrackedOrder, refused: Refused) -> None:
        desk = self._desk
        if not order.is_unresolved:
            return
        if refused.kind is RefusalKind.DUPLICATE_ID:
            doubt.mark_in_doubt(desk, trade, order, "the venue holds an order of this id")
            return
        order.refusal_code = refused.code
        order.end(Phase.REFUSED, f"{refused.code} {refused.message}"[:200])
        desk.touch(trade)
        if order.leg is Leg.ENTRY:
            progress.on_entry_refused(desk, trade, refused)
        elif trade.is_over:
            return
        elif order.leg is Leg.CLOSE:
            exits.on_close_refused(desk, trade, refused)
        else:
            protection.on_protection_refused(desk, trade, order, refused)

    def _on_cancelled(self, reply: VenueReply, _issued_ms: int) -> None:
        """The cancellation itself comes as a report; an answer without one is asked about."""
        desk, command = self._desk, reply.command
        assert isinstance(command, CancelOrder)
        owner = desk.book.by_client_id(command.client_order_id)
        if owner is not None and not owner[1].has_ended and not isinstance(reply.outcome, Accepted):
            desk.ask(command.symbol, QueryOrder(command.symbol, command.client_order_id, command.service))

    def _on_queried(self, reply: VenueReply, _issued_ms: int) -> None:
        desk = self._desk
        if isinstance(reply.command, IdentifyOrder):
            trade = doubt.on_identity_reply(desk, reply, reply.command)
        else:
            assert isinstance(reply.command, QueryOrder)
            trade = doubt.on_query_reply(desk, reply, reply.command)
        steer_all(desk, ledger.settle_held(desk))
        if trade is not None:
            wake(desk, trade)

    def _on_positions(self, reply: VenueReply, issued_ms: int) -> None:
        desk, command = self._desk, reply.command
        assert isinstance(command, FetchPositions)
        if not isinstance(reply.outcome, Accepted):
            return
        symbols = {command.symbol} if command.symbol is not None else self._known_symbols()
        legs = [(symbol, side) for symbol in symbols for side in desk.position_sides()]
        rows = [row for row in reply.payload() if row.position_side in desk.position_sides()]
        desk.positions.from_query(rows, legs, issued_ms, reply.event_time_ms)
        suspect_differences(desk)
        if command.symbol is not None:
            steer_all(desk, desk.book.of_symbol(command.symbol))

    def _known_symbols(self) -> set[str]:
        desk = self._desk
        return {*desk.config.symbols, *(key[0] for key in desk.positions.facts), *desk.book.symbols()}

    def _on_fills(self, reply: VenueReply, issued_ms: int) -> None:
        desk, command = self._desk, reply.command
        assert isinstance(command, FetchFills)
        if not isinstance(reply.outcome, Accepted):
            return
        changed = ledger.take_listed_fills(desk, reply.payload())
        ledger.note_listed(desk, command)
        desk.fills_read_ms[command.symbol] = max(issued_ms, desk.fills_read_ms.get(command.symbol, 0))
        changed += ledger.settle_held(desk)
        for trade in {id(trade): trade for trade in changed}.values():
            wake(desk, trade)

    def _on_balances(self, reply: VenueReply, _issued_ms: int) -> None:
        if isinstance(reply.outcome, Accepted):
            self._desk.account.on_balances(reply.payload())
            valuation.revalue(self._desk)

    def _on_income(self, reply: VenueReply, _issued_ms: int) -> set[str]:
        assert isinstance(reply.command, FetchIncome)
        return self._income.take(self._desk, reply.payload()) if isinstance(reply.outcome, Accepted) else set()

    def _on_countdown(self, reply: VenueReply, _issued_ms: int) -> None:
        deadman.on_reply(self._desk, reply)

    def _on_symbol_config(self, reply: VenueReply, _issued_ms: int) -> None:
        desk = self._desk
        if not isinstance(reply.outcome, Accepted):
            return
        for row in reply.payload():
            if row.symbol in desk.setup:
                found = replace(desk.setup[row.symbol], leverage=row.leverage, margin_type=row.margin_type)
                desk.setup[row.symbol] = block_if_different(found, desk.limits_of(row.symbol))
