"""One instance: what a process must not send any more, and what shows that another one trades the account."""

from __future__ import annotations

from core.commands import (
    CancelOrder,
    SetCountdownCancel,
    SetLeverage,
    SetMarginType,
    SetPositionMode,
    SubmitOrder,
    VenueCommand,
)
from core.enums import Priority, Severity
from core.ids import ClientOrderId
from executor.desk import Desk
from executor.halts import ALL, KILL

WRITES = (SubmitOrder, CancelOrder, SetLeverage, SetMarginType, SetPositionMode, SetCountdownCancel)
"""Requests that change something at the venue."""


def refusal_of(desk: Desk, command: VenueCommand, now_ms: int) -> str | None:
    """Return why a request must not leave at `now_ms` (our clock), or None.

    Asked when its write is on disk and it is about to leave: a latch may have come meanwhile, a stream may have gone,
    or the process may have stood still since it decided. Nothing but a lost lease holds back an exit.
    """
    if desk.link.lease_lost and isinstance(command, WRITES):
        return "another process trades this account"
    if isinstance(command, SubmitOrder) and command.priority is Priority.ENTRY:
        return _refusal_of_entry(desk, command.approved.order.symbol, now_ms)
    return None


def _refusal_of_entry(desk: Desk, symbol: str, now_ms: int) -> str | None:
    if desk.halts.is_active(ALL, KILL):
        return "the kill switch is on"
    if symbol in desk.unwinding:
        return f"{symbol} is being flattened"
    if desk.halts.blocking(symbol) is not None:
        return f"{symbol} was halted since the entry was decided"
    link = desk.link
    if not (link.user_ready and link.market_ready and link.reconciled):
        return "a stream was lost or a comparison became due since the entry was decided"
    age_ms, limit_ms = desk.market.of(symbol).price_age_ms(now_ms), desk.config.limits.stale_data_ms
    if age_ms is None or age_ms > limit_ms:
        return f"the price of {symbol} has grown old since the entry was decided ({age_ms} ms, at most {limit_ms})"
    return None


def on_lease_lost(desk: Desk, detail: str) -> None:
    """Send nothing more, and say so once. Positions keep their stops; the new holder guards them."""
    if desk.link.lease_lost:
        return
    desk.link.lease_lost = True
    desk.alert(
        f"lease-lost:{desk.epoch}",
        Severity.CRITICAL,
        "Another process took this account over",
        f"{detail}. This one sends nothing more and ends.",
    )


def freeze_if_younger(desk: Desk, client_order_id: str) -> bool:
    """Halt entries when an order carries a younger epoch than ours: another process trades with our prefix."""
    identity = ClientOrderId.parse(client_order_id)
    if identity is None or identity.epoch <= desk.epoch:
        return False
    desk.halt(ALL, "other_instance", f"order {client_order_id} is of a younger instance", None)
    desk.alert(
        f"other-instance:{desk.epoch}",
        Severity.CRITICAL,
        "Another instance trades this account",
        f"Order {client_order_id} carries a younger epoch than ours ({desk.epoch}). No entries: end one of the two, "
        "then: main.py resume --yes",
    )
    return True
