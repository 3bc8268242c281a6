"""What proves that a request of unknown outcome never reached the venue: every piece, at its exact limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from core.commands import FetchFills, FetchPositions, QueryOrder, RefusalKind
from core.effects import Send
from core.enums import Leg, PositionSide
from core.orders import FillReport
from core.records import TradeState
from executor import doubt, exits
from executor.account import PositionFact
from executor.desk import Desk, HeldFill
from executor.protection import give_up
from executor.tracked import Phase, TrackedOrder
from executor.trade import Trade
from tests.unit.executor.fake_venue import doubt as unknown
from tests.unit.executor.lab import BTC, ETH, D, Lab, refused

KEY = (BTC, PositionSide.BOTH)


def _doubtful_entry() -> tuple[Desk, Trade, TrackedOrder]:
    """Return an entry in doubt with a complete proof of its absence at hand."""
    lab = Lab()
    lab.fault(unknown(), leg=Leg.ENTRY)
    lab.signal()
    desk = lab.core._desk
    trade = desk.book.active[1]
    order = trade.entry
    assert order is not None and order.expires_ms is not None
    assert order.phase is Phase.IN_DOUBT
    desk.now_ms = order.expires_ms + desk.policy.settle_ms + 1
    order.not_found = desk.policy.not_found_min
    desk.positions.facts[KEY] = PositionFact(D(0), order.expires_ms + 1, 0, from_stream=False)
    desk.fills_read_ms[BTC] = order.expires_ms + 1
    desk.inflight.clear()
    desk.reads.clear()
    return desk, trade, order


def _fill(symbol: str) -> FillReport:
    lab = Lab()
    lab.open_long()
    return replace(lab.venue.fills[0], symbol=symbol, client_order_id="", venue_order_id=77)


def _fact(desk: Desk, **changes: object) -> None:
    desk.positions.facts[KEY] = replace(desk.positions.facts[KEY], **changes)


def test_entry_with_every_proof_is_absent() -> None:
    desk, trade, order = _doubtful_entry()
    doubt.judge_absence(desk, trade, order)
    assert order.phase is Phase.ABSENT
    assert order.detail == (f"absent: not found 3 times, last at {desk.now_ms}, request expired at {order.expires_ms}")
    assert order.update_time_ms == desk.venue_ms


LACKS: dict[str, Callable[[Desk, TrackedOrder], object]] = {
    "one look-up": lambda desk, order: setattr(order, "not_found", 2),
    "one millisecond": lambda desk, order: setattr(desk, "now_ms", desk.now_ms - 1),
    "the position": lambda desk, order: desk.positions.facts.clear(),
    "a position read after the request's life": lambda desk, order: _fact(desk, as_of_ms=order.expires_ms),
    "an explanation of the position": lambda desk, order: _fact(desk, quantity=D("0.5")),
    "the trade list": lambda desk, order: desk.fills_read_ms.clear(),
    "a trade list read after the request's life": lambda desk, order: desk.fills_read_ms.update(
        {BTC: order.expires_ms or 0}
    ),
    "the owner of a fill": lambda desk, order: desk.held.update({(BTC, 5): HeldFill(_fill(BTC), 0)}),
}


@pytest.mark.parametrize("lack", LACKS)
def test_entry_is_not_absent_while_its_proof_lacks(lack: str) -> None:
    desk, trade, order = _doubtful_entry()
    LACKS[lack](desk, order)
    doubt.judge_absence(desk, trade, order)
    assert order.phase is Phase.IN_DOUBT


@pytest.mark.parametrize(("quantity", "phase"), [("0.5", Phase.ABSENT), ("0.4", Phase.IN_DOUBT)])
def test_entry_is_absent_beside_a_position_only_when_a_strangers_fills_make_exactly_it(
    quantity: str, phase: Phase
) -> None:
    desk, trade, order = _doubtful_entry()
    desk.strangers.note(replace(_fill(BTC), quantity=D("0.5")))
    _fact(desk, quantity=D(quantity))
    doubt.judge_absence(desk, trade, order)
    assert order.phase is phase


def test_fill_of_another_symbol_without_an_owner_does_not_hold_back_the_proof() -> None:
    desk, trade, order = _doubtful_entry()
    desk.held[ETH, 5] = HeldFill(_fill(ETH), 0)
    doubt.judge_absence(desk, trade, order)
    assert order.phase is Phase.ABSENT


def test_entry_whose_expiry_was_not_told_counts_from_the_longest_life_of_a_write() -> None:
    desk, trade, order = _doubtful_entry()
    order.expires_ms = None
    expires_ms = order.sent_ms + desk.policy.write_life_ms
    desk.fills_read_ms[BTC] = expires_ms + 1
    _fact(desk, as_of_ms=expires_ms + 1)
    desk.now_ms = expires_ms + desk.policy.settle_ms
    doubt.judge_absence(desk, trade, order)
    assert order.phase is Phase.IN_DOUBT
    desk.now_ms += 1
    doubt.judge_absence(desk, trade, order)
    assert order.phase is Phase.ABSENT


def _asked(desk: Desk) -> set[str]:
    sends = [effect for effect in desk.out.drain(desk.venue_ms) if isinstance(effect, Send)]
    return {type(send.command).__name__ for send in sends}


@pytest.mark.parametrize(
    ("position_late_ms", "fills_late_ms", "asked"),
    [
        (1, 1, set()),
        (0, 1, {"FetchPositions"}),
        (1, 0, {"FetchFills"}),
        (None, 1, {"FetchPositions"}),
        (1, None, {"FetchFills"}),
    ],
)
def test_what_the_proof_of_an_entry_lacks_is_read(
    position_late_ms: int | None, fills_late_ms: int | None, asked: set[str]
) -> None:
    desk, _, order = _doubtful_entry()
    assert order.expires_ms is not None
    desk.now_ms = order.expires_ms + 1
    desk.positions.facts.clear()
    desk.fills_read_ms.clear()
    if position_late_ms is not None:
        desk.positions.facts[KEY] = PositionFact(D(0), order.expires_ms + position_late_ms, 0, from_stream=False)
    if fills_late_ms is not None:
        desk.fills_read_ms[BTC] = order.expires_ms + fills_late_ms
    doubt._gather_proof(desk, order)
    assert _asked(desk) == asked


def test_nothing_is_read_while_the_entrys_request_may_still_be_accepted() -> None:
    desk, _, order = _doubtful_entry()
    assert order.expires_ms is not None
    desk.positions.facts.clear()
    desk.fills_read_ms.clear()
    desk.now_ms = order.expires_ms
    doubt._gather_proof(desk, order)
    assert _asked(desk) == set()


# --- exits ----------------------------------------------------------------------------------------------------


def _doubtful_exit(leg: Leg) -> tuple[Lab, Desk, Trade, TrackedOrder]:
    lab = Lab()
    if leg is Leg.CLOSE:
        lab.signal(max_holding_ms=1_000)
        lab.fault(unknown(), leg=leg, times=99)
        lab.run(1_250)
    else:
        lab.fault(unknown(), leg=leg)
        lab.signal()
    desk = lab.core._desk
    trade = desk.book.active[1]
    order = trade.newest(leg)
    assert order is not None and order.expires_ms is not None
    assert order.phase is Phase.IN_DOUBT
    desk.inflight.clear()
    desk.reads.clear()
    return lab, desk, trade, order


@pytest.mark.parametrize(("not_found", "late_ms", "phase"), [(1, 1, "IN_DOUBT"), (2, 0, "IN_DOUBT"), (2, 1, "ABSENT")])
def test_close_is_absent_after_two_look_ups_past_its_life(not_found: int, late_ms: int, phase: str) -> None:
    _, desk, trade, order = _doubtful_exit(Leg.CLOSE)
    assert order.expires_ms is not None
    order.not_found = not_found
    desk.now_ms = order.expires_ms + desk.policy.settle_ms + late_ms
    doubt.judge_absence(desk, trade, order)
    assert order.phase is Phase(phase)


@pytest.mark.parametrize(
    ("not_found", "over", "phase"), [(1, False, "IN_DOUBT"), (2, False, "ABSENT"), (2, True, "IN_DOUBT")]
)
def test_stop_is_absent_after_two_look_ups_while_its_trade_is_open(not_found: int, over: bool, phase: str) -> None:
    _, desk, trade, order = _doubtful_exit(Leg.STOP)
    order.not_found = not_found
    if over:
        trade.state = TradeState.CLOSED
    doubt.judge_absence(desk, trade, order)
    assert order.phase is Phase(phase)


def test_stop_of_a_finished_trade_is_absent_once_its_request_is_dead() -> None:
    _, desk, trade, order = _doubtful_exit(Leg.STOP)
    assert order.expires_ms is not None
    order.not_found, trade.state = 2, TradeState.CLOSED
    desk.now_ms = order.expires_ms + desk.policy.settle_ms + 1
    doubt.judge_absence(desk, trade, order)
    assert order.phase is Phase.ABSENT


@pytest.mark.parametrize(("late_ms", "asked"), [(0, {"FetchPositions"}), (1, set())])
def test_position_is_read_after_a_close_in_doubt_was_sent(late_ms: int, asked: set[str]) -> None:
    _, desk, _, order = _doubtful_exit(Leg.CLOSE)
    desk.out.drain(desk.venue_ms)
    desk.positions.facts[KEY] = PositionFact(D(1), order.sent_ms + late_ms, 0, from_stream=False)
    doubt._gather_proof(desk, order)
    assert _asked(desk) == asked


@pytest.mark.parametrize(
    ("phase", "not_found", "late_ms", "quantity", "may"),
    [
        (Phase.IN_DOUBT, 1, 1, "0.5", True),
        (Phase.LIVE, 1, 1, "0.5", False),
        (Phase.IN_DOUBT, 0, 1, "0.5", False),
        (Phase.IN_DOUBT, 1, 0, "0.5", False),
        (Phase.IN_DOUBT, 1, 1, "0", False),
        (Phase.IN_DOUBT, 1, 1, "-0.5", False),
    ],
)
def test_close_in_doubt_is_followed_by_another_only_while_the_position_certainly_stands(
    phase: Phase, not_found: int, late_ms: int, quantity: str, may: bool
) -> None:
    _, desk, trade, order = _doubtful_exit(Leg.CLOSE)
    order.phase, order.not_found = phase, not_found
    desk.positions.facts[KEY] = PositionFact(D(quantity), order.sent_ms + late_ms, 0, from_stream=False)
    assert exits._may_repeat(desk, trade, order) is may
    desk.positions.facts.clear()
    assert exits._may_repeat(desk, trade, order) is False


# --- look-ups -------------------------------------------------------------------------------------------------


def test_look_ups_come_at_growing_pauses_up_to_the_longest() -> None:
    lab = Lab()
    lab.fault(unknown(), leg=Leg.ENTRY)
    lab.fault(unknown(), kind=QueryOrder, times=99)
    start = lab.now_ms
    lab.signal()
    times: list[int] = []
    for _ in range(400):
        before = len(lab.sent(QueryOrder))
        lab.run(100, step_ms=100)
        times += [lab.now_ms - start] * (len(lab.sent(QueryOrder)) - before)
    pauses = [after - before for before, after in pairwise(times)]
    assert times[0] == 1_000
    assert pauses[:6] == [2_000, 3_000, 4_000, 5_000, 5_000, 5_000]


def test_close_stuck_from_the_first_try_says_that_there_was_no_answer_yet() -> None:
    policy = replace(Lab(ready=False).core._desk.policy, close_tries_alert=1)
    lab = Lab(policy=policy)
    lab.signal(max_holding_ms=1_000)
    lab.run(2_000)
    (alert,) = [a for a in lab.alerts if a.title == "BTCUSDT: closing takes long"]
    assert "last answer: none." in alert.text


def test_position_without_any_stop_order_names_no_answer_when_given_up() -> None:
    lab = Lab()
    lab.hold_events = True
    lab.signal()
    desk = lab.core._desk
    trade = desk.book.active[1]
    give_up(desk, trade, "no try was made")
    effects = desk.out.drain(desk.venue_ms)
    texts = [effect.alert.text for effect in effects if hasattr(effect, "alert")]
    assert texts[0].startswith("no try was made; last answer: none. ")
    halt = desk.halts.blocking(BTC)
    assert halt is not None and (halt.scope, halt.detail) == (BTC, "no try was made; last answer: none")


def test_target_in_the_way_is_cancelled_again_only_after_the_pause() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=1_000)
    lab.fault(refused(RefusalKind.REDUCE_ONLY, -4118), leg=Leg.CLOSE, times=99)
    lab.fault(refused(RefusalKind.THROTTLED, -1008), where=lambda c: type(c).__name__ == "CancelOrder", times=99)
    start = lab.now_ms
    times: list[int] = []
    for _ in range(80):
        before = [c for c in lab.venue.commands if type(c).__name__ == "CancelOrder"]
        lab.run(100, step_ms=100)
        after = [c for c in lab.venue.commands if type(c).__name__ == "CancelOrder"]
        times += [lab.now_ms - start] * (len(after) - len(before))
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses and min(pauses) >= lab.core._desk.policy.cancel_retry_ms
    assert {c.priority.name for c in after} == {"EXIT"}  # type: ignore[union-attr]
    assert not any(isinstance(c, FetchFills | FetchPositions) and c.symbol == ETH for c in lab.venue.commands)
