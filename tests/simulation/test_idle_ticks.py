"""Ticks that may be left out: every timer of the core ends the calm in time, and a tick that passes does nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from core.candle import DAY_MS
from core.commands import FetchBalances
from core.effects import Effect
from core.enums import Leg, PositionSide
from core.events import MarkPriceUpdated, PriceUpdated, Tick
from executor.core import TradingCore
from executor.inputs import FlattenRequested, Input, KillRequested, ReconcileRequested
from executor.policy import ExecutionPolicy
from tests.simulation.liveness import run_world
from tests.unit.executor.lab import BTC, D, Lab

LONG_MS = 10**12
STEP_MS = 50


def _lab(**policy: int | None) -> Lab:
    """A trader of whose timers only those given are short."""
    off: dict[str, int | None] = dict.fromkeys(
        ("mark_every_ms", "account_stat_every_ms", "account_stat_venue_ms", "reconcile_every_ms"), LONG_MS
    )
    return Lab(policy=ExecutionPolicy(**{**off, **policy}))  # type: ignore[arg-type]


def _calm_ms(lab: Lab, most_ms: int = 100_000) -> int:
    """Return for how long ticks may be left out from now on, `most_ms` if longer. The core says it beforehand, but for
    marks of which there are none."""
    due_ms, marks_ms = lab.core.pulse.due_ms() - lab.now_ms, lab.core.pulse._mark_at_ms - lab.now_ms
    calm_ms = _asked_calm_ms(lab, most_ms)
    assert min(due_ms, most_ms) <= calm_ms
    assert calm_ms - due_ms < STEP_MS or due_ms == marks_ms or calm_ms == most_ms
    return calm_ms


def _asked_calm_ms(lab: Lab, most_ms: int) -> int:
    for ms in range(STEP_MS, most_ms, STEP_MS):
        if not lab.core.pulse.let_pass(lab.now_ms + ms, lab.now_ms + ms):
            return ms
    return most_ms


def test_nothing_is_due_for_long_when_no_timer_runs() -> None:
    assert _calm_ms(_lab()) == 100_000


def test_a_protected_trade_alone_needs_no_tick() -> None:
    lab = _lab()
    lab.open_long()
    assert _calm_ms(lab) == 100_000


def test_marks_are_due_while_something_is_open_and_only_then() -> None:
    lab = _lab(mark_every_ms=1_000)
    lab.run(2_000, step_ms=1_000)
    assert _calm_ms(lab) == 100_000
    lab = _lab(mark_every_ms=1_000)
    lab.open_long()
    assert 0 < _calm_ms(lab) <= 1_000


@pytest.mark.parametrize(
    ("policy", "most_ms"),
    [
        ({"account_stat_every_ms": 10_000}, 10_000),
        ({"account_stat_venue_ms": 60_000}, 60_000),
        ({"reconcile_every_ms": 30_000}, 30_000),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_done_periodically_ends_the_calm_in_time(policy: dict[str, int], most_ms: int) -> None:
    lab = _lab(**policy)
    lab.open_long()
    assert 0 < _calm_ms(lab) <= most_ms


def test_the_longest_holding_time_ends_the_calm() -> None:
    lab = _lab()
    lab.open_long(max_holding_ms=30_000)
    opened_ms = lab.trade().opened_time_ms
    assert opened_ms is not None
    assert lab.core.pulse.let_pass(lab.now_ms + 1, opened_ms + 29_999)
    assert not lab.core.pulse.let_pass(lab.now_ms + 1, opened_ms + 30_000)


def test_the_end_of_a_halt_and_of_the_day_end_the_calm() -> None:
    lab = _lab()
    lab.core._desk.halt(BTC, "volatility", "", 20_000)
    lab.run(1_000)
    assert _calm_ms(lab) == 19_000
    lab.run(20_000)
    midnight_ms = lab.now_ms - lab.now_ms % DAY_MS + DAY_MS
    assert lab.core.pulse.let_pass(lab.now_ms + 1, midnight_ms - 1)
    assert not lab.core.pulse.let_pass(lab.now_ms + 1, midnight_ms)


@pytest.mark.parametrize("kind", [PriceUpdated, MarkPriceUpdated])
def test_a_price_beyond_the_stop_ends_the_calm(kind: type) -> None:
    lab = _lab()
    lab.open_long()
    assert lab.core.pulse.let_pass(lab.now_ms, lab.now_ms)
    stop = lab.trade().stop_price
    assert stop is not None
    beyond = stop - D("0.1")
    if kind is PriceUpdated:
        lab.feed(PriceUpdated(BTC, beyond, lab.now_ms, lab.now_ms))
    else:
        lab.feed(MarkPriceUpdated(BTC, beyond, beyond, D(0), lab.now_ms + 1, lab.now_ms, lab.now_ms))
    assert lab.core.pulse.due_ms() == 0
    assert not lab.core.pulse.let_pass(lab.now_ms, lab.now_ms)


def _suspect(lab: Lab) -> None:
    lab.core._desk.suspect(BTC, PositionSide.BOTH)
    lab.core.pulse.known = None  # nothing but an event makes one suspect a leg


def _lose_the_answer(lab: Lab) -> None:
    lab.fault(None, leg=Leg.ENTRY)
    lab.signal(BTC)


@pytest.mark.parametrize(
    "happen",
    [
        _suspect,
        _lose_the_answer,
        lambda lab: lab.feed(KillRequested("test", lab.now_ms)),
        lambda lab: lab.feed(FlattenRequested(BTC, "test", lab.now_ms)),
        lambda lab: lab.feed(ReconcileRequested("test", lab.now_ms)),
    ],
    ids=["suspicion", "doubt", "kill", "flatten", "reconcile"],
)
def test_open_business_ends_the_calm_at_once(happen: Callable[[Lab], None]) -> None:
    lab = _lab(reconcile_again_ms=0)
    happen(lab)
    assert lab.core.pulse.due_ms() <= lab.now_ms
    assert not lab.core.pulse.let_pass(lab.now_ms, lab.now_ms)


def test_a_comparison_demanded_soon_after_another_ends_the_calm_at_its_time() -> None:
    lab = _lab(reconcile_again_ms=700)
    lab.feed(ReconcileRequested("test", lab.now_ms))
    assert _asked_calm_ms(lab, 5_000) <= 700
    lab.run(1_000)
    assert lab.core._reconciler.completed == 2


def test_a_reconciliation_without_answers_ends_the_calm_when_it_is_given_up() -> None:
    lab = _lab(reconcile_ms_max=7_000)
    lab.fault(None, kind=FetchBalances, times=99)
    lab.feed(ReconcileRequested("test", lab.now_ms))
    lab.run(250)
    assert 0 < _calm_ms(lab) <= 7_000


def test_a_core_that_has_not_begun_or_keeps_a_countdown_gets_every_tick() -> None:
    begun = Lab(ready=False)
    assert begun.core.pulse.due_ms() == 0
    assert not begun.core.pulse.let_pass(begun.now_ms, begun.now_ms)
    lab = _lab(countdown_ms=9_000)
    assert not lab.core.pulse.let_pass(lab.now_ms, lab.now_ms)


def test_time_that_passes_without_a_tick_is_known() -> None:
    lab = _lab()
    assert lab.core.pulse.let_pass(lab.now_ms + 500, lab.now_ms + 400)
    lab.feed(KillRequested("test", lab.now_ms + 600))
    assert lab.rows.halts["*", "kill"].since_time_ms == lab.now_ms + 400


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Send every tick that could have been left out, and see that it does nothing."""
    passed: list[int] = []
    handle = TradingCore.handle

    def checked(core: TradingCore, event: Input) -> list[Effect]:
        passes = type(event) is Tick and core.pulse.let_pass(event.received_time_ms, event.event_time_ms)
        desk = core._desk
        before = _picture(core) if passes else ""
        core.pulse.known = None  # so that the tick looks at everything
        effects = handle(core, event)
        if passes:
            passed.append(desk.now_ms)
            assert not effects
            assert _picture(core) == before
        return effects

    monkeypatch.setattr(TradingCore, "handle", checked)
    yield passed


def _picture(core: TradingCore) -> str:
    desk = core._desk
    # The time of the next mark is not in it: with nothing open a mark writes nothing.
    state = (desk.book.active, desk.inflight, desk.suspects, desk.held, desk.unwinding, desk.link, desk.days.day)
    money = (desk.account.peak_equity, desk.account.day_start_equity, desk.account.margin_used)
    return f"{state} {money} {desk.halts.active()} {desk.wanted_reconcile} {core.pulse._stat_ms}"


@pytest.mark.parametrize(("seed", "hedge"), [(3, False), (4, True)])
def test_a_tick_that_may_be_left_out_does_nothing(passed: list[int], seed: int, hedge: bool) -> None:
    run_world(seed, minutes=12, hedge=hedge, every_tick=True)
    assert len(passed) > 300


@pytest.mark.parametrize(("seed", "hedge"), [(1, False), (2, False), (3, True), (6, False)])
def test_a_world_without_idle_ticks_has_the_same_history(seed: int, hedge: bool) -> None:
    """Byte for byte, but for the ticks themselves."""
    with_all = run_world(seed, hedge=hedge, trace=True, every_tick=True)[0]
    without = run_world(seed, hedge=hedge, trace=True)[0]
    assert without.log != with_all.log
    assert _without_ticks(without.log) == _without_ticks(with_all.log)
    assert without.disk.rows == with_all.disk.rows


def _without_ticks(log: list[str]) -> list[str]:
    return [line for line in log if " > Tick(" not in line]
