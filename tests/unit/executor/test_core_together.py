"""Events of one instant taken together: all is noted first, then each trade is looked at once."""

from __future__ import annotations

import pytest

from core.enums import Leg
from core.records import TradeState
from executor import steering
from executor.desk import Desk
from executor.trade import Trade
from tests.unit.executor.lab import BTC, D, Lab


def hear_together(lab: Lab) -> None:
    """Hand the core everything that the venue has told, at once, until it tells nothing more."""
    while lab.venue.events:
        events = list(lab.venue.events)
        lab.venue.events.clear()
        lab.carry_out(lab.core.handle_together(events))


def live(*, together: bool) -> Lab:
    """Enter in three fills, be protected, and leave at the stop."""
    lab = Lab()
    lab.venue.fill_parts = (D("0.25"), D("0.25"), D("0.5"))
    lab.hold_events = together
    lab.signal()
    hear_together(lab)
    assert len(lab.submitted(Leg.STOP)) == 1  # in the same instant, not only with the next tick
    lab.hold_events = False
    lab.run(500)
    assert lab.state() is TradeState.PROTECTED
    lab.hold_events = together
    lab.price(BTC, "99.5")
    hear_together(lab)
    lab.hold_events = False
    lab.run(1_000)
    return lab


def test_events_taken_together_end_like_events_taken_one_by_one() -> None:
    together, one_by_one = live(together=True), live(together=False)
    assert together.state() is TradeState.CLOSED
    assert len(together.rows.fills) == len(one_by_one.rows.fills) > 3
    assert together.rows.fills == one_by_one.rows.fills
    assert together.rows.positions == one_by_one.rows.positions
    assert together.rows.performance == one_by_one.rows.performance
    assert [c.approved.order for leg in Leg for c in together.submitted(leg)] == [
        c.approved.order for leg in Leg for c in one_by_one.submitted(leg)
    ]


def test_events_taken_together_look_at_a_trade_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    steer = steering._steer

    def counted(desk: Desk, trade: Trade) -> None:
        looks.append(trade.intent_id)
        steer(desk, trade)

    lab = Lab()
    lab.venue.fill_parts = (D("0.25"), D("0.25"), D("0.5"))
    lab.hold_events = True
    lab.signal()
    events = list(lab.venue.events)
    lab.venue.events.clear()
    monkeypatch.setattr(steering, "_steer", counted)
    lab.core.handle_together(events)
    assert len(events) > 3
    assert looks == [1]
