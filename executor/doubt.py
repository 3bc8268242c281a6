"""Orders of unknown outcome: asked about by client id until the venue answers, never sent again blindly.

Absence is proved, not assumed. An entry needs all of: not found several times, past the life of its signed request plus
a settle window, no position and no fill that nothing else explains. Exits only ever reduce: less proof
suffices there.
"""

from __future__ import annotations

from decimal import Decimal

from core.commands import Accepted, FetchPositions, IdentifyOrder, QueryOrder, RefusalKind, Refused, VenueReply
from core.enums import Leg, OrderService, Priority
from core.orders import AlgoOrderReport, OrderReport
from executor.account import LegKey
from executor.desk import Desk
from executor.ledger import fills_command, note_identity, recognise
from executor.tracked import ENDED, Phase, TrackedOrder
from executor.trade import Trade


def chase(desk: Desk, trade: Trade) -> None:
    """Ask about every order of `trade` that owes an answer and whose time has come."""
    for order in trade.orders.values():
        if order.phase in ENDED:
            continue
        if desk.now_ms >= order.query_at_ms and _owes_answer(desk, order):
            order.queries += 1
            pause = min(desk.policy.query_retry_ms * order.queries, desk.policy.query_retry_ms_max)
            order.query_at_ms = desk.now_ms + pause
            desk.ask(order.symbol, QueryOrder(order.symbol, order.client_order_id, order.service, _priority(order)))
        if order.is_unresolved and order.not_found:
            _gather_proof(desk, order)
            judge_absence(desk, trade, order)


def _owes_answer(desk: Desk, order: TrackedOrder) -> bool:
    if order.phase is Phase.IN_DOUBT:
        return True
    if order.phase is Phase.SENDING:
        is_protective = order.leg in (Leg.STOP, Leg.TARGET)
        patience = desk.policy.protect_probe_ms if is_protective else desk.policy.write_probe_ms
        return desk.now_ms - order.sent_ms >= patience
    told_ms = order.confirmed_ms or order.sent_ms
    is_silent = desk.now_ms - told_ms >= desk.policy.live_query_ms
    return is_silent and (order.service is OrderService.PLAIN or order.is_firing)


def _priority(order: TrackedOrder) -> Priority:
    return Priority.EXIT if order.leg.is_exit else Priority.QUERY


def on_query_reply(desk: Desk, reply: VenueReply, command: QueryOrder) -> Trade | None:
    """Apply the answer of a look-up; returns the trade concerned."""
    owner = desk.book.by_client_id(command.client_order_id)
    if owner is None:
        return None
    trade, order = owner
    outcome = reply.outcome
    if isinstance(outcome, Accepted):
        if isinstance(outcome.payload, (OrderReport, AlgoOrderReport)):
            apply_report(desk, trade, order, outcome.payload)
        return trade
    if isinstance(outcome, Refused) and outcome.kind is RefusalKind.NOT_FOUND:
        order.not_found += 1
        if trade.is_over and order.phase is Phase.LIVE:
            order.phase = Phase.IN_DOUBT
        judge_absence(desk, trade, order)
    return trade


def on_identity_reply(desk: Desk, reply: VenueReply, command: IdentifyOrder) -> Trade | None:
    """Take whose the order of a held fill is: ours, whatever we knew of it, the venue's own or a person's."""
    outcome = reply.outcome
    if not isinstance(outcome, Accepted) or not isinstance(outcome.payload, OrderReport):
        return None  # asked again, while its fill waits
    report = outcome.payload
    owner = desk.book.owner_of_report(report)
    if owner is not None:
        apply_report(desk, *owner, report)
    note_identity(desk, command.symbol, command.venue_order_id, report.client_order_id)
    return owner[0] if owner is not None else None


def apply_report(desk: Desk, trade: Trade, order: TrackedOrder, report: OrderReport | AlgoOrderReport) -> bool:
    """Apply a report about one of our orders; True when it told news."""
    known_id = order.venue_order_id
    if isinstance(report, OrderReport):
        news = order.apply_plain(report, desk.now_ms)
        if news:
            trade.recount()
    else:  # tells no quantity
        news = order.apply_algo(report, desk.now_ms)
    if order.venue_order_id != known_id and trade.fills:
        recognise(desk, trade, order, known_id)
    if news:
        desk.book.link(trade, order)
        desk.out.touch(trade)
    return news


def mark_in_doubt(desk: Desk, trade: Trade, order: TrackedOrder, detail: str) -> None:
    """The request's answer did not come: ask at once. News from the stream beat the lost answer."""
    if order.phase is Phase.SENDING:
        order.phase, order.detail = Phase.IN_DOUBT, detail
        order.query_at_ms = desk.now_ms
        desk.touch(trade)


def _expires_ms(desk: Desk, order: TrackedOrder) -> int:
    """Return when the venue can no longer accept the request (our clock)."""
    return order.expires_ms if order.expires_ms is not None else order.sent_ms + desk.policy.write_life_ms


def _gather_proof(desk: Desk, order: TrackedOrder) -> None:
    """Read what proves or disproves absence: position always, the trade list for entries."""
    if desk.now_ms <= _expires_ms(desk, order) and order.leg is Leg.ENTRY:
        return
    fact = desk.positions.get(order.symbol, order.position_side)
    doubt_ms = _expires_ms(desk, order) if order.leg is Leg.ENTRY else order.sent_ms
    if fact is None or fact.as_of_ms <= doubt_ms:
        desk.ask(order.symbol, FetchPositions(order.symbol))
    if order.leg is Leg.ENTRY and desk.fills_read_ms.get(order.symbol, -1) <= doubt_ms:
        desk.ask(order.symbol, fills_command(desk, order.symbol))


def judge_absence(desk: Desk, trade: Trade, order: TrackedOrder) -> None:
    """End the order as absent when the proof for its leg is complete."""
    if order.phase is not Phase.IN_DOUBT:
        return
    expires_ms = _expires_ms(desk, order)
    is_past = desk.now_ms > expires_ms + desk.policy.settle_ms
    if order.leg is Leg.ENTRY:
        proved = order.not_found >= desk.policy.not_found_min and is_past and _nothing_happened(desk, order, expires_ms)
    elif order.leg is Leg.CLOSE:
        proved = order.not_found >= 2 and is_past
    else:
        # The venue holds at most one closePosition order per type and direction, so that a new one does no harm while
        # the position is open. Afterwards a late one must not meet the next position.
        proved = order.not_found >= 2 and (is_past or not trade.is_over)
    if proved:
        evidence = f"absent: not found {order.not_found} times, last at {desk.now_ms}, request expired at {expires_ms}"
        order.end(Phase.ABSENT, evidence)
        order.update_time_ms = desk.venue_ms
        desk.touch(trade)


def _nothing_happened(desk: Desk, order: TrackedOrder, expires_ms: int) -> bool:
    """True when position and trade list, both read after the request's life, hold nothing unexplained."""
    key = (order.symbol, order.position_side)
    fact = desk.positions.get(*key)
    if fact is None or fact.as_of_ms <= expires_ms or not _is_explained(desk, key, fact.quantity):
        return False
    holds = any(held.fill.symbol == order.symbol for held in desk.held.values())
    return not holds and desk.fills_read_ms.get(order.symbol, -1) > expires_ms


def _is_explained(desk: Desk, key: LegKey, quantity: Decimal) -> bool:
    """True when our fills and those of strangers make exactly the venue's quantity.

    A stranger's fills that went the way of our exits, beyond what had entered, are in the rows of an open trade.
    """
    rest = quantity - desk.expected(key)
    trade = desk.book.open_on(*key)
    if rest and trade is not None and trade.exited > trade.entered:
        rest -= (trade.entered - trade.exited) * trade.direction.sign
    return not rest or bool(desk.strangers.find(key, rest))
