"""The kill switch over random histories: pressed at any moment, under any mixture of faults, it ends flat and only then
says so; nothing is entered after its latch was written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.commands import (
    CancelOrder,
    FetchOpenAlgoOrders,
    FetchPositions,
    InDoubt,
    QueryOrder,
    RefusalKind,
    SubmitOrder,
)
from core.enums import Direction, Leg
from core.events import StreamKind, StreamState
from core.records import TradeState
from executor.inputs import KillRequested
from tests.unit.executor.lab import BTC, ETH, D, Lab, refused

FAULTS = {
    "entry in doubt, done": (Leg.ENTRY, None, InDoubt("timeout"), True),
    "entry in doubt, not done": (Leg.ENTRY, None, InDoubt("timeout"), False),
    "close 503, done": (Leg.CLOSE, None, InDoubt("503"), True),
    "close 503, not done": (Leg.CLOSE, None, InDoubt("503"), False),
    "close -4118": (Leg.CLOSE, None, refused(RefusalKind.REDUCE_ONLY, -4118), False),
    "close throttled": (Leg.CLOSE, None, refused(RefusalKind.THROTTLED, -1003), False),
    "stop in doubt, done": (Leg.STOP, None, InDoubt("timeout"), True),
    "stop refused": (Leg.STOP, None, refused(RefusalKind.BUSINESS, -4130), False),
    "cancel lost": (None, CancelOrder, InDoubt("timeout"), False),
    "positions unknown": (None, FetchPositions, refused(RefusalKind.THROTTLED, -1003), False),
    "lists unknown": (None, FetchOpenAlgoOrders, InDoubt("timeout"), False),
    "query hidden": (None, QueryOrder, refused(RefusalKind.NOT_FOUND, -2013), False),
}
STEPS = st.one_of(
    st.tuples(st.just("fault"), st.sampled_from(sorted(FAULTS)), st.integers(1, 3)),
    st.tuples(st.just("signal"), st.sampled_from([BTC, ETH]), st.sampled_from(list(Direction))),
    st.tuples(st.just("wait"), st.integers(1, 12), st.none()),
    st.tuples(st.just("price"), st.sampled_from([BTC, ETH]), st.integers(-8, 8)),
    st.tuples(st.just("stream"), st.sampled_from(list(StreamState)), st.none()),
    st.tuples(st.just("hold"), st.booleans(), st.none()),
    st.tuples(st.just("disk"), st.booleans(), st.none()),
    st.tuples(st.just("restart"), st.integers(0, 20_000), st.none()),
)


class History:
    """Plays steps on a laboratory; `killed` tells since when the latch was asked for."""

    def __init__(self) -> None:
        self.lab, self.number = Lab(), 0
        self.killed = False
        self.entries_at_kill = 0

    def play(self, step: tuple[object, ...]) -> None:
        name, first, second = step
        getattr(self, f"_{name}")(first, second)
        self.check()

    def kill(self) -> None:
        self.lab.feed(KillRequested("test", self.lab.now_ms))
        self.killed, self.entries_at_kill = True, len(self.lab.submitted(Leg.ENTRY))
        self.check()

    def _fault(self, name: str, times: int) -> None:
        leg, kind, outcome, apply = FAULTS[name]
        self.lab.fault(outcome, leg=leg, kind=kind, apply=apply, times=times)  # type: ignore[arg-type]

    def _signal(self, symbol: str, direction: Direction) -> None:
        self.number += 1
        self.lab.signal(symbol, direction, number=self.number)

    def _wait(self, quarters: int, _: None) -> None:
        for _i in range(quarters):
            self.lab.run(250)
            self.check()

    def _price(self, symbol: str, tenths: int) -> None:
        base = D(100) if symbol == BTC else D(50)
        self.lab.price(symbol, base + D(tenths) / 10)

    def _stream(self, state: StreamState, _: None) -> None:
        self.lab.stream(StreamKind.USER, state)

    def _hold(self, is_held: bool, _: None) -> None:
        self.lab.hold_events = is_held

    def _disk(self, is_broken: bool, _: None) -> None:
        if self.lab.fail_writes and not is_broken:
            self.lab.mend_disk()
        self.lab.fail_writes = is_broken

    def _restart(self, away_ms: int, _: None) -> None:
        if not self.lab.fail_writes:
            self.lab = self.lab.restart(away_ms=away_ms)

    def is_flat(self) -> bool:
        venue = self.lab.venue
        plain = any(not order.status.is_terminal for order in venue.orders.values())
        algo = any(not order.status.is_terminal for order in venue.algos.values())
        return venue.position(BTC) == venue.position(ETH) == 0 and not plain and not algo

    def check(self) -> None:
        if self.killed:
            assert len(self.lab.submitted(Leg.ENTRY)) == self.entries_at_kill, "an entry after the latch"
            assert self.lab.core.view().is_killed
            if "*" not in self.lab.core.view().unwinding:
                assert self.is_flat(), "said flat before it was"

    def heal(self) -> None:
        self.lab.venue.rules.clear()
        self._hold(False, None)
        self._disk(False, None)
        self._stream(StreamState.READY, None)


@given(st.lists(STEPS, max_size=12), st.lists(STEPS, max_size=10))
def test_kill_at_any_moment_ends_flat_and_says_so_only_then(
    before: list[tuple[object, ...]], after: list[tuple[object, ...]]
) -> None:
    history = History()
    for step in before:
        history.play(step)
    history.kill()
    for step in after:
        history.play(step)
    history.heal()
    for _ in range(480):
        history.lab.run(250)
        history.check()
        if not history.lab.core.view().unwinding:
            break
    assert history.is_flat()
    assert not history.lab.core.view().unwinding
    assert all(state in (TradeState.CLOSED, TradeState.REFUSED) for state in _states(history.lab))


def _states(lab: Lab) -> list[TradeState]:
    return [row.state for row in lab.rows.intents.values()]


def test_history_is_not_empty_of_orders() -> None:
    """The alphabet of the histories does open positions, so that the property above means something."""
    history = History()
    history.play(("signal", BTC, Direction.LONG))
    history.play(("wait", 2, None))
    assert history.lab.venue.position(BTC) > 0
    assert any(isinstance(c, SubmitOrder) for c in history.lab.venue.commands)
