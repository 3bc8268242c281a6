"""Fills: each booked once by its trade id, and to whom it belongs.

Stream fills name their order. The venue's trade list names only venue order ids: where one is unknown and the fill
would change a trade or may be an order's of ours, the fill waits until the venue has said whose order that is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from core.commands import FetchFills, IdentifyOrder
from core.enums import Leg, PositionSide, Severity
from core.orders import FillReport
from core.records import ExitReason, TradeState
from executor.corrections import claimant, explain
from executor.desk import Desk, HeldFill
from executor.fills import fill_record, venue_exit_reason
from executor.tracked import Phase, TrackedOrder
from executor.trade import Trade

ZERO = Decimal(0)
Owner = tuple[Trade, TrackedOrder]


def take_stream_fill(desk: Desk, fill: FillReport, owner: Owner | None) -> Trade | None:
    """Book a fill that the user stream told; returns the trade it changed, if any."""
    if desk.book.is_seen(fill.symbol, fill.trade_id):
        return None
    return book_owned(desk, fill, owner) if owner is not None else book_foreign(desk, fill)


def take_listed_fills(desk: Desk, fills: Iterable[FillReport]) -> list[Trade]:
    """Book fills read from the trade list; returns the trades that changed."""
    changed: list[Trade] = []
    # After a restart most of the list is older than every trade that we know: rows of an earlier process.
    older_ms = 0 if desk.book.unexplained else desk.book.oldest_ms
    for fill in desk.book.unseen(fills):
        if (fill.symbol, fill.trade_id) in desk.held:
            continue
        owner = desk.book.owner_of_fill(fill)
        if owner is not None:
            changed.append(book_owned(desk, fill, owner))
        elif fill.event_time_ms < older_ms:
            _record_foreign(desk, fill)
        elif _candidates(desk, fill) or _concerned(desk, fill) is not None:
            desk.held[fill.symbol, fill.trade_id] = HeldFill(fill, desk.now_ms)
        elif (trade := book_foreign(desk, fill)) is not None:
            changed.append(trade)
    return changed


def settle_held(desk: Desk) -> list[Trade]:
    """Give held fills to their orders where these are known now, ask whose they are where not; returns changed trades.

    A fill of which the venue does not say whose it is goes to the likeliest order after some seconds. Those of one leg
    are settled as they were made: whether one concerns a trade depends on what those before it have left of it.
    """
    changed: list[Trade] = []
    if not desk.held:
        return changed
    waiting: set[tuple[str, PositionSide]] = set()
    for key, held in sorted(desk.held.items()):
        if desk.book.is_seen(*key):
            del desk.held[key]
            continue
        owner = desk.book.owner_of_fill(held.fill)
        leg = (held.fill.symbol, held.fill.position_side)
        if owner is None and not held.is_told:
            if desk.now_ms - held.since_ms < desk.policy.held_fill_ms:
                _look_up(desk, held)
                waiting.add(leg)
                continue
            owner = _presumed_owner(held.fill, _candidates(desk, held.fill))
        if owner is None and leg in waiting:
            continue
        del desk.held[key]
        trade = book_owned(desk, held.fill, owner) if owner is not None else book_foreign(desk, held.fill)
        if trade is not None:
            changed.append(trade)
    return changed


def _look_up(desk: Desk, held: HeldFill) -> None:
    if desk.now_ms >= held.look_up_at_ms:
        held.look_up_at_ms = desk.now_ms + desk.policy.query_retry_ms
        desk.ask(held.fill.symbol, IdentifyOrder(held.fill.symbol, held.fill.venue_order_id))


def note_identity(desk: Desk, symbol: str, venue_order_id: int, client_order_id: str) -> None:
    """The venue has said whose an order is: its held fills need not wait any longer."""
    for held in desk.held.values():
        if held.fill.symbol == symbol and held.fill.venue_order_id == venue_order_id:
            held.fill, held.is_told = replace(held.fill, client_order_id=client_order_id), True


def _candidates(desk: Desk, fill: FillReport) -> list[Owner]:
    """Orders of ours that may have made this fill: same leg and side, and their venue id is not known."""
    book, symbol, side, time_ms = desk.book, fill.symbol, fill.position_side, fill.event_time_ms
    return [
        (trade, order)
        for trades in (book.on(symbol), book.recent())
        for trade in trades
        if time_ms >= trade.created_time_ms and trade.symbol == symbol and trade.position_side is side
        for order in trade.orders.values()
        if order.venue_order_id is None and order.side is fill.side and not _cannot_fill(order)
    ]


def _cannot_fill(order: TrackedOrder) -> bool:
    """A definite refusal, and a conditional order that ended without having fired, never fill."""
    return order.phase is Phase.REFUSED or (order.phase is Phase.DONE and not order.is_firing)


def _presumed_owner(fill: FillReport, candidates: list[Owner]) -> Owner | None:
    """The venue did not tell whose fill it is: a market order of ours in doubt on that leg and side is likeliest."""
    fitting = [
        (trade, order)
        for trade, order in candidates
        if order.leg in (Leg.ENTRY, Leg.CLOSE) and order.booked + fill.quantity <= (order.quantity or ZERO)
        # One that was proved absent cannot have filled after the proof.
        if order.phase is not Phase.ABSENT or fill.event_time_ms <= order.update_time_ms
    ]
    if not fitting:
        return None
    trade, order = fitting[0]
    trade.flag(f"{order.leg.name.lower()} recognised from the trade list")
    order.venue_order_id = fill.venue_order_id
    return trade, order


def book_owned(desk: Desk, fill: FillReport, owner: Owner) -> Trade:
    """Book a fill of one of our orders."""
    trade, order = owner
    desk.book.mark_seen(fill.symbol, fill.trade_id)
    if order.venue_order_id is None:
        order.venue_order_id = fill.venue_order_id
    desk.book.link(trade, order)
    _book(desk, trade, fill, order)
    _after_booking(desk, trade)
    return trade


def book_foreign(desk: Desk, fill: FillReport) -> Trade | None:
    """Book a fill that no order of ours made: the venue's own hand, or a person's.

    On a leg that a trade of ours holds it changes that trade, flagged; elsewhere it is only recorded, so that the rows
    still add up to the wallet.
    """
    trade = _concerned(desk, fill)
    if trade is None:
        _record_foreign(desk, fill)
        return None
    desk.book.mark_seen(fill.symbol, fill.trade_id)
    _book(desk, trade, fill, None)
    reason = venue_exit_reason(fill.client_order_id)
    what = reason.value if reason is not None else "traded by somebody else"
    trade.flag(what)
    if reason is ExitReason.LIQUIDATION:
        desk.halt(fill.symbol, "liquidation", "position was liquidated", desk.policy.stop_failed_rest_ms)
    desk.alert(
        f"foreign-fill:{trade.intent_id}:{what}",
        Severity.WARNING if reason is None else Severity.CRITICAL,
        f"{fill.symbol}: {what}",
        f"{fill.side.value} {fill.quantity} at {fill.price} was not ordered by this trader; the position was adopted.",
        symbol=fill.symbol,
    )
    _after_booking(desk, trade)
    return trade


def _concerned(desk: Desk, fill: FillReport) -> Trade | None:
    """Return the trade that somebody else's fill changes, None where it concerns none of ours."""
    trade = desk.book.open_on(fill.symbol, fill.position_side)
    return trade if trade is not None and _belongs(trade, fill) else claimant(desk, fill)


def _record_foreign(desk: Desk, fill: FillReport) -> None:
    """Record a fill that changes no trade of ours."""
    symbol = fill.symbol
    desk.book.mark_seen(symbol, fill.trade_id)
    desk.out.write(symbol, fill_record(fill, desk.now_ms), durable=True)
    # Of older ones it is not known any more which were booked to trades that are over.
    if fill.event_time_ms > desk.start_ms - desk.policy.fills_reread_ms:
        desk.strangers.note(fill)
    desk.positions.note_activity(symbol, desk.now_ms)
    desk.suspect(symbol, fill.position_side)


def _book(desk: Desk, trade: Trade, fill: FillReport, order: TrackedOrder | None) -> None:
    """Book a real fill, undo the corrections that stood for it, and mend the day's totals of a trade that is over."""
    before = (trade.realized_pnl, trade.fees, trade.exit_cost)
    trade.book(fill, order, desk.now_ms)
    desk.strangers.drop(fill)
    explain(desk, trade, fill)
    if trade.state is TradeState.CLOSED:
        desk.write(trade.symbol, desk.days.amended(trade, *before, trade.closed_time_ms or desk.venue_ms))


def _belongs(trade: Trade, fill: FillReport) -> bool:
    """True when somebody else's fill happened while the trade held the leg.

    The leg is free before a trade is decided: an older fill was booked by an earlier process (its row stands, a second
    one is not taken) or concerned nobody here. One after our last exit is a position of its own.
    """
    if fill.event_time_ms <= trade.created_time_ms:
        return False
    if trade.entered == 0:
        # An entry of unknown outcome may have filled already, and somebody closed it before we heard of it.
        return trade.entry is not None and not trade.entry.has_ended and fill.side is trade.direction.exit_side
    is_flat = trade.leaves == 0 and not trade.lacks_fills
    return not is_flat or fill.event_time_ms <= trade.last_fill_time_ms


def recognise(desk: Desk, trade: Trade, order: TrackedOrder, known_id: int | None) -> None:
    """The venue has told the order's own id, not `known_id`: set right what was booked on a guess before.

    A fill under another id that the order was presumed to have made was somebody else's; one under this id that was
    taken for somebody else's is the order's.
    """
    if known_id is not None:
        desk.book.unlink(order.symbol, known_id)
    changed = False
    for row in list(trade.fills):
        is_told, is_booked = row.venue_order_id == order.venue_order_id, row.client_order_id == order.client_order_id
        if is_told is is_booked or row.correction or row.side is not order.side:
            continue
        trade.reassign(row, order, is_its=is_told)
        trade.flag("fills told apart by the order's own id")
        changed = True
    if changed:
        _after_booking(desk, trade)


def _after_booking(desk: Desk, trade: Trade) -> None:
    desk.positions.note_activity(trade.symbol, desk.now_ms)
    desk.suspect(trade.symbol, trade.position_side)
    desk.out.touch(trade, durable=True)


def fills_command(desk: Desk, symbol: str) -> FetchFills:
    """Return the read that certainly covers every fill of this symbol that may be missing.

    It reaches back in time, not by id: a fill that was lost may be older than one that is booked. With a trade on the
    symbol that is before the trade's start, without one some hours before the last complete read, or before this
    process's start.
    """
    desk.fills_asked_ms.setdefault(symbol, desk.venue_ms)
    starts = [trade.created_time_ms for trade in desk.book.of_symbol(symbol)]
    starts += [trade.created_time_ms for trade in desk.book.unexplained.values() if trade.symbol == symbol]
    if starts:
        return FetchFills(symbol, start_time_ms=min(starts) - desk.policy.fills_overlap_ms)
    return FetchFills(symbol, start_time_ms=_listed_until(desk, symbol))


def note_listed(desk: Desk, command: FetchFills) -> None:
    """A list of fills has arrived: what it covers without a gap need not be read again for as long as we run."""
    asked_ms = desk.fills_asked_ms.pop(command.symbol, None)
    start_ms = command.start_time_ms
    if asked_ms is not None and start_ms is not None and start_ms <= _listed_until(desk, command.symbol):
        desk.fills_complete_ms[command.symbol] = max(asked_ms, desk.fills_complete_ms.get(command.symbol, 0))


def _listed_until(desk: Desk, symbol: str) -> int:
    """Venue time before which no fill of the symbol can be missing."""
    return max(desk.history_start_ms, desk.fills_complete_ms.get(symbol, 0) - desk.policy.fills_reread_ms)
