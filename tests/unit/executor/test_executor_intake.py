"""When signals are taken: together, behind orders on their way, and never later than promised."""

from __future__ import annotations

import pytest

from core.clock import VirtualClock
from core.events import SignalReceived
from executor.intake import GATHER_MS, PAUSE_MS, QUIET_MS, SLICE_MS, VAIN_MAX, SignalIntake
from tests.unit.executor.lab import BTC, signal


class Desk:
    """An intake on a clock of its own. `brings` are the signals (by number) that bring an order."""

    def __init__(self) -> None:
        self.clock = TickingClock()
        self.is_leaving = self.is_backlog = False
        self.brings: set[int] = set()
        self.room: int | None = None
        self.handled: list[int] = []
        self.intake = SignalIntake(self.clock, lambda: self.is_leaving, lambda: self.room)
        self.intake.has_backlog = lambda: self.is_backlog
        self._put = 0

    def put(self, count: int = 1) -> None:
        for _ in range(count):
            self.intake.put(SignalReceived(signal(BTC, number=self._put), self._put, 0))
            self._put += 1

    def take(self, cost_ms: float = 0.0) -> list[int]:
        """Take once and return the numbers that were handled."""
        before = len(self.handled)

        def handle(event: SignalReceived) -> bool:
            self.handled.append(event.event_time_ms)
            self.clock.pass_ms(cost_ms)
            return event.event_time_ms in self.brings

        self.intake.take(handle)
        return self.handled[before:]


class TickingClock(VirtualClock):
    """A clock that also knows parts of a millisecond."""

    def __init__(self) -> None:
        super().__init__(0)
        self.ns = 10**9

    def pass_ms(self, ms: float) -> None:
        self.ns += int(ms * 1e6)

    def monotonic_ns(self) -> int:
        return self.ns


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_intake_without_signals_is_never_due(desk: Desk) -> None:
    desk.clock.pass_ms(1_000)
    assert not desk.intake.is_due()


def test_intake_waits_until_no_more_signals_come(desk: Desk) -> None:
    desk.put()
    desk.clock.pass_ms(QUIET_MS * 0.9)
    desk.put()
    desk.clock.pass_ms(QUIET_MS * 0.9)
    assert not desk.intake.is_due()
    desk.clock.pass_ms(QUIET_MS * 0.2)
    assert desk.intake.is_due()
    assert desk.take() == [0, 1]
    assert not desk.intake.is_due()


def test_intake_waits_for_frames_that_may_bring_more_but_not_for_ever(desk: Desk) -> None:
    desk.is_backlog = True
    desk.put()
    desk.clock.pass_ms(QUIET_MS * 2)
    assert not desk.intake.is_due()
    desk.clock.pass_ms(GATHER_MS)
    assert desk.intake.is_due()


def test_intake_stays_due_for_the_rest_of_a_long_queue_while_signals_keep_coming(desk: Desk) -> None:
    desk.put(100)
    desk.clock.pass_ms(GATHER_MS)
    assert 0 < len(desk.take(cost_ms=1)) < 100
    desk.put()
    assert desk.intake.is_due()


def test_intake_ends_a_slice_when_orders_wait_and_the_next_signals_bring_none(desk: Desk) -> None:
    desk.brings = {0, 1, 5}
    desk.put(50)
    assert desk.take() == list(range(5 + VAIN_MAX + 1))


def test_intake_without_any_order_goes_on_until_its_slice_is_over(desk: Desk) -> None:
    desk.put(50)
    assert desk.take() == list(range(50))
    desk.put(50)
    assert 0 < len(desk.take(cost_ms=1)) < 50


def test_intake_waits_for_orders_on_their_way_but_not_for_ever(desk: Desk) -> None:
    desk.put(100)
    desk.clock.pass_ms(GATHER_MS)
    desk.take(cost_ms=1)
    desk.is_leaving = True
    assert not desk.intake.is_due()
    desk.clock.pass_ms(PAUSE_MS * 0.99)
    assert not desk.intake.is_due()
    desk.clock.pass_ms(PAUSE_MS * 0.02)
    assert desk.intake.is_due()


def test_intake_does_not_wait_for_signals_that_there_is_no_room_for(desk: Desk) -> None:
    desk.room, desk.is_backlog = 3, True
    desk.put(2)
    assert not desk.intake.is_due()
    desk.put(2)
    assert desk.intake.is_due()
    desk.brings = {0, 1, 2}
    assert desk.take() == [0, 1, 2]  # the last for which there is room ends the turn
    assert not desk.intake.is_due()  # the others can only be denied: they let frames go first
    desk.clock.pass_ms(GATHER_MS)
    assert desk.take() == [3]


def test_intake_without_any_room_waits_as_long_as_with_plenty(desk: Desk) -> None:
    desk.room, desk.is_backlog = 0, True
    desk.put(2)
    assert not desk.intake.is_due()
    desk.clock.pass_ms(GATHER_MS)
    assert desk.intake.is_due()
    assert desk.take() == [0, 1]


def test_intake_of_its_own_knows_of_no_backlog() -> None:
    clock = TickingClock()
    intake = SignalIntake(clock, lambda: False)
    intake.put(SignalReceived(signal(BTC), 0, 0))
    clock.pass_ms(QUIET_MS)
    assert intake.is_due()


def test_intake_ends_its_waits_at_the_very_moment_that_they_are_over(desk: Desk) -> None:
    desk.put(2)
    desk.clock.pass_ms(QUIET_MS)
    assert desk.intake.is_due()
    desk.take()
    desk.put()
    desk.is_leaving = True
    desk.clock.pass_ms(PAUSE_MS)
    assert desk.intake.is_due()


def test_intake_ends_a_slice_at_the_very_moment_that_it_is_over(desk: Desk) -> None:
    desk.put(3)
    assert desk.take(cost_ms=SLICE_MS) == [0]


def test_intake_with_room_for_as_many_as_wait_is_due_at_once(desk: Desk) -> None:
    desk.room, desk.is_backlog = 1, True
    desk.put()
    assert desk.intake.is_due()


def test_intake_whose_room_is_taken_ends_its_turn_after_the_only_order(desk: Desk) -> None:
    desk.room, desk.brings = 1, {0}
    desk.put(VAIN_MAX * 3)
    assert desk.take() == [0]


def test_intake_counts_the_room_down_by_the_orders_of_each_turn(desk: Desk) -> None:
    desk.room, desk.is_backlog, desk.brings = 3, True, {0, 1, 2 + VAIN_MAX}
    desk.put(40)
    assert desk.take() == list(range(2 + VAIN_MAX))  # two orders, then so many in vain
    assert desk.intake.is_due()  # there is room for one more
    assert desk.take() == [2 + VAIN_MAX]
    assert not desk.intake.is_due()
