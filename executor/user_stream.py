"""What the user stream tells of orders, executions, balances, positions, settings: each changes what is known, then the
trades concerned are steered."""

from __future__ import annotations

from dataclasses import replace

from core.commands import FetchSymbolConfig
from core.enums import Severity
from core.events import (
    AccountConfigChanged,
    AccountUpdated,
    AlgoOrderUpdated,
    MarginCalled,
    OrderUpdated,
    UnknownVenueMessage,
)
from core.ids import is_ours
from executor import doubt, fencing, ledger
from executor.account import TRANSFER_REASONS
from executor.desk import Desk
from executor.income import IncomeBook
from executor.setup import block_if_different
from executor.steering import steer_all, wake


class UserStream:
    """Takes each event of the user stream; all of them may come late, twice or never."""

    def __init__(self, desk: Desk, income: IncomeBook) -> None:
        self._desk = desk
        self._income = income

    def on_order(self, event: OrderUpdated) -> None:
        """Apply a plain order's report and the execution it carries; steer the trades that it changed."""
        desk, report = self._desk, event.report
        owner = desk.book.owner_of_report(report)
        if owner is not None:
            doubt.apply_report(desk, *owner, report)
        changed = ledger.take_stream_fill(desk, report.fill, owner) if report.fill is not None else None
        if owner is None:
            self._take_unknown(report.client_order_id)
        if changed is not None:
            wake(desk, changed)
        if owner is not None and owner[0] is not changed:
            wake(desk, owner[0])

    def on_algo(self, event: AlgoOrderUpdated) -> None:
        """Apply a conditional order's report; a fill that waited for its order may be known by it."""
        desk, report = self._desk, event.report
        owner = desk.book.by_client_id(report.client_order_id)
        if owner is None:
            self._take_unknown(report.client_order_id)
            return
        doubt.apply_report(desk, *owner, report)
        if desk.held:
            steer_all(desk, ledger.settle_held(desk))
        wake(desk, owner[0])

    def _take_unknown(self, client_order_id: str) -> None:
        """An order with our prefix that the book does not know: a lost row, or another process on this account."""
        if is_ours(client_order_id):
            self._desk.demand_reconcile(f"unknown order {client_order_id} with our prefix")
            fencing.freeze_if_younger(self._desk, client_order_id)

    def on_account(self, event: AccountUpdated) -> None:
        desk = self._desk
        desk.account.on_balances(event.balances)
        if event.reason in TRANSFER_REASONS:
            desk.account.on_transfer(event.balances)
        for row in event.positions:
            if row.position_side not in desk.position_sides():
                continue
            desk.positions.from_stream(row, event.event_time_ms, event.received_time_ms)
            desk.suspect(row.symbol, row.position_side)
            steer_all(desk, desk.book.of_symbol(row.symbol))
        if event.reason == "FUNDING_FEE":
            desk.ask("", self._income.command())

    def on_account_config(self, event: AccountConfigChanged) -> None:
        """Somebody changed leverage: no entries on the symbol until what was read equals the configuration."""
        desk = self._desk
        if event.symbol is None or event.symbol not in desk.setup or event.leverage is None:
            return
        changed = replace(desk.setup[event.symbol], leverage=event.leverage)
        desk.setup[event.symbol] = block_if_different(changed, desk.limits_of(event.symbol))
        desk.send(event.symbol, FetchSymbolConfig(event.symbol))

    def on_margin_call(self, event: MarginCalled) -> None:
        symbols = ", ".join(event.symbols)
        self._desk.alert(
            f"margin-call:{symbols}:{self._desk.days.day}",
            Severity.CRITICAL,
            "Margin call",
            f"The venue warns that these positions come close to liquidation: {symbols}.",
        )

    def on_unknown(self, event: UnknownVenueMessage) -> None:
        self._desk.demand_reconcile(f"unreadable message {event.kind}")
