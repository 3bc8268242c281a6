"""Emptying the account or one symbol, and the latch that keeps it empty.

The order is: latch (durable) -> no entries -> cancel entries -> close reduce-only -> cancel protection -> compare with
the venue until positions and own orders are zero -> only then say "flat". It is level-triggered: the latch is a halt in
the database, so a restart, a lost answer and a late fill all lead back here. Stops stay until the position is gone.

What is not ours (a position or an order that no trade of this program explains) is left alone and named.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from core.candle import DAY_MS
from core.commands import CancelOrder, FetchPositions
from core.enums import Priority, Severity
from core.ids import is_ours
from core.orders import AlgoOrderReport, OrderReport, PositionReport
from core.records import ExitReason
from executor.denials import Denied
from executor.desk import Desk, Unwinding
from executor.exits import request_close
from executor.halts import ALL, DAILY_LOSS, FLATTEN, KILL, VERIFIED
from executor.risk import daily_loss_hit, drawdown_hit, loss_today
from executor.tracked import Phase
from executor.trade import Trade

ZERO = Decimal(0)
RECORD_PATIENCE_MS = 1_000
"""The closes wait so long for the latch to be on disk; a broken disk does not keep the position open."""

VERIFY_RETRY_MS = 2_000
CRITICAL_AFTER_MS = 60_000
COMMIT_PROOF = FetchPositions(priority=Priority.EXIT)
"""Sent in the latch's own lane: its answer, whatever it is, comes after the latch was written."""


def kill(desk: Desk, detail: str) -> None:
    """Latch the kill switch and begin; once latched, only compare with the venue again."""
    record = desk.halt(ALL, KILL, detail, None)
    if record is not None:
        desk.alert(
            f"kill:{desk.epoch}:{desk.now_ms}",
            Severity.CRITICAL,
            "Kill switch",
            f"{detail}. No entries; everything is closed. It stays latched until: main.py resume --yes",
        )
    _begin(desk, ALL, ExitReason.KILL)


def flatten(desk: Desk, symbol: str, detail: str) -> None:
    """Empty one symbol; its entries are blocked until that is verified."""
    desk.halt(symbol, FLATTEN, detail, None)
    _begin(desk, symbol, ExitReason.FLATTEN)


def resume(desk: Desk) -> bool:
    """Lift the kill latch and every other account-wide halt without an end.

    False, and nothing is lifted, before the account has been verified flat. The drawdown counts from now on; a day
    whose loss limit was reached stays closed until 00:00 UTC.
    """
    unwinding = desk.unwinding.get(ALL)
    if unwinding is not None and not unwinding.is_verified:
        return False
    desk.unwinding.pop(ALL, None)
    for halt in desk.halts.active():
        if halt.scope == ALL and halt.until_time_ms is None:
            lifted = desk.halts.lift(ALL, halt.reason)
            if lifted is not None:
                desk.write("", lifted, durable=True)
    desk.account.restart_drawdown()
    desk.stat_due = True
    desk.resumed += 1
    return True


def restore(desk: Desk) -> None:
    """Take up again what was latched when the process ended."""
    for halt in desk.halts.active():
        if (halt.scope == ALL and halt.reason == KILL) or (halt.scope != ALL and halt.reason == FLATTEN):
            reason = ExitReason.KILL if halt.scope == ALL else ExitReason.FLATTEN
            desk.unwinding[halt.scope] = Unwinding(halt.scope, reason, desk.now_ms, is_recorded=True)


def _begin(desk: Desk, scope: str, reason: ExitReason) -> None:
    known = desk.unwinding.get(scope)
    if known is None:
        # A symbol's closes follow its latch in the same lane; those of the account wait for the read behind it.
        desk.unwinding[scope] = Unwinding(scope, reason, desk.now_ms, is_recorded=scope != ALL)
        if scope == ALL:
            desk.ask("", COMMIT_PROOF)
    else:
        known.is_verified, known.clear_since_ms = False, None


def on_answer(desk: Desk) -> None:
    """The read behind the latch was answered: the latch is on disk, or the disk was given up on."""
    for unwinding in desk.unwinding.values():
        unwinding.is_recorded = True


def tick(desk: Desk) -> None:
    """Follow every scope: when nothing of ours is left in the book, have it compared with the venue."""
    for unwinding in desk.unwinding.values():
        if desk.now_ms - unwinding.since_ms >= RECORD_PATIENCE_MS:
            unwinding.is_recorded = True
        if not _is_clear(desk, unwinding):
            unwinding.clear_since_ms, unwinding.is_verified = None, False
            unwinding.remaining = _open_text(desk, unwinding)
        elif unwinding.clear_since_ms is None:
            unwinding.clear_since_ms = desk.now_ms
        if not unwinding.is_verified:
            _press(desk, unwinding)


def _press(desk: Desk, unwinding: Unwinding) -> None:
    is_due = desk.now_ms - unwinding.asked_ms >= VERIFY_RETRY_MS
    if unwinding.clear_since_ms is not None and is_due and unwinding.is_recorded:
        unwinding.asked_ms = desk.now_ms
        desk.demand_reconcile(f"verify that {_name(unwinding)} is flat")
    if desk.now_ms - unwinding.since_ms >= CRITICAL_AFTER_MS and not unwinding.is_overdue:
        unwinding.is_overdue = True
        desk.alert(
            f"not-flat:{unwinding.scope}:{desk.epoch}:{unwinding.since_ms}",
            Severity.CRITICAL,
            f"{_name(unwinding)} is not flat yet",
            f"After {CRITICAL_AFTER_MS // 1000} s: {unwinding.remaining}. It goes on trying.",
        )


def _is_clear(desk: Desk, unwinding: Unwinding) -> bool:
    held = any(unwinding.covers(item.fill.symbol) for item in desk.held.values())
    return not held and not any(unwinding.covers(trade.symbol) for trade in desk.book.active.values())


def _open_text(desk: Desk, unwinding: Unwinding) -> str:
    trades = [trade for trade in desk.book.active.values() if unwinding.covers(trade.symbol)]
    parts = sorted({f"{t.symbol} {t.leaves if t.leaves else t.state.value}" for t in trades})
    return "still open: " + ", ".join(parts) if parts else "fills without an owner"


def _name(unwinding: Unwinding) -> str:
    return "the account" if unwinding.scope == ALL else unwinding.scope


# --- one trade ------------------------------------------------------------------------------------------------


def leaving(desk: Desk, trade: Trade) -> ExitReason | None:
    """Return why `trade` has to be left now, or None. Nothing is closed before the latch was recorded."""
    for unwinding in desk.unwinding.values():
        if unwinding.is_recorded and unwinding.covers(trade.symbol):
            return unwinding.reason
    return None


def unwind(desk: Desk, trade: Trade) -> None:
    """Cancel the entry of a trade that has to be left and close what it holds; an expired entry is only cancelled."""
    reason = leaving(desk, trade) if desk.unwinding else None
    entry = trade.entry
    if entry is not None and not entry.has_ended and entry.phase is not Phase.SENDING:
        is_expired = desk.now_ms - entry.sent_ms >= desk.config.limits.order_ttl_ms
        if (reason is not None or is_expired) and desk.now_ms >= entry.cancel_at_ms:
            entry.cancel_at_ms = desk.now_ms + desk.policy.cancel_retry_ms
            entry.cancel_asked = True
            desk.send(trade.symbol, CancelOrder(trade.symbol, entry.client_order_id, entry.service, Priority.EXIT))
    if reason is not None and trade.leaves > 0 and trade.exit_requested is None:
        request_close(desk, trade, reason)


# --- limits ---------------------------------------------------------------------------------------------------


def watch_limits(desk: Desk) -> None:
    """Trip the switch when the account's daily loss or its drawdown has reached its limit.

    A day's loss trips once: entries then stay shut until 00:00 UTC of venue time, resumed or not.
    """
    account, limits = desk.account, desk.config.limits
    if account.equity is None or not desk.link.reconciled:
        return
    hit = None
    if limits.max_daily_loss is not None or limits.max_daily_loss_fraction is not None:
        loss = loss_today(desk.days.net_pnl(), account.unrealized_pnl)
        hit = daily_loss_hit(loss, account.day_start_equity or ZERO, limits)
    if hit is not None and account.day_start_equity and not desk.halts.is_active(ALL, DAILY_LOSS):
        rest_ms = DAY_MS - desk.venue_ms % DAY_MS
        desk.halt(ALL, DAILY_LOSS, _numbers(hit), rest_ms)
        alert_limit(desk, hit)
        kill(desk, f"the day's loss limit is reached ({_numbers(hit)})")
    hit = drawdown_hit(account.equity, account.peak_equity, limits)
    if hit is not None and not desk.halts.is_active(ALL, KILL):
        alert_limit(desk, hit)
        kill(desk, f"the drawdown limit is reached ({_numbers(hit)})")


def _numbers(hit: Denied) -> str:
    return ", ".join(f"{name} {value}" for name, value in hit.context.items())


def alert_limit(desk: Desk, hit: Denied, scope: str = "") -> None:
    """Tell people once a day and scope that a limit was reached."""
    desk.alert(
        f"risk_limit_hit:{hit.code.value}:{scope}:{desk.days.day}",
        Severity.WARNING,
        f"Risk limit hit: {hit.code.value}{f' ({scope})' if scope else ''}",
        f"{_numbers(hit)}. Entries that would pass it are denied; exits and stops go on.",
        fields={"limit": hit.code.value, **hit.context},
    )


# --- verification ---------------------------------------------------------------------------------------------


def on_snapshot(
    desk: Desk,
    started_ms: int,
    positions: Iterable[PositionReport],
    orders: Iterable[OrderReport | AlgoOrderReport],
) -> None:
    """Judge by a whole reading of the account, begun after the book was clear, whether the scopes are flat."""
    rows, reports = tuple(positions), tuple(orders)
    for unwinding in list(desk.unwinding.values()):
        left = [f"position {r.symbol} {r.quantity}" for r in rows if _counts(desk, unwinding, r)]
        left += [f"order {o.client_order_id}" for o in reports if unwinding.covers(o.symbol) and _is_own(o)]
        if left:
            unwinding.is_verified, unwinding.remaining = False, "the venue has " + ", ".join(left[:5])
            continue
        clear_ms = unwinding.clear_since_ms
        if unwinding.is_verified or clear_ms is None or started_ms < clear_ms or not _is_clear(desk, unwinding):
            continue
        _verified(desk, unwinding)


def _counts(desk: Desk, unwinding: Unwinding, row: PositionReport) -> bool:
    return row.quantity != 0 and unwinding.covers(row.symbol) and row.symbol not in desk.foreign_positions


def _is_own(report: OrderReport | AlgoOrderReport) -> bool:
    return is_ours(report.client_order_id)


def _verified(desk: Desk, unwinding: Unwinding) -> None:
    scope = unwinding.scope
    unwinding.is_verified, unwinding.remaining = True, ""
    desk.flat_counts[scope] = desk.flat_counts.get(scope, 0) + 1
    foreign = sorted(s for s in {*desk.foreign_positions, *desk.foreign_orders} if unwinding.covers(s))
    others = f" Not ours and left alone: {', '.join(foreign)}." if foreign else ""
    if scope == ALL:
        record = desk.halts.note(ALL, KILL, VERIFIED)
        then = "Nothing is entered until: main.py resume --yes"
    else:
        record = desk.halts.lift(scope, FLATTEN)
        then = "It takes entries again."
        del desk.unwinding[scope]
    if record is not None:
        desk.write("" if scope == ALL else scope, record, durable=True)
    desk.alert(
        f"flat:{scope}:{desk.epoch}:{desk.now_ms}",
        Severity.WARNING,
        f"{_name(unwinding)} is flat",
        f"The venue confirms: no position and no order of ours is left.{others} {then}",
    )
