"""The dead-man timer: when a countdown is started, renewed and stopped, and where it is refused."""

from __future__ import annotations

import pytest

from core.commands import Accepted, SetCountdownCancel
from core.enums import CountdownEffect, Environment, Leg
from core.events import StreamKind, StreamState
from executor.deadman import VenueCountdown, refusal_of_venue
from executor.inputs import LeaseLost, PersistenceFailed, StopRequested
from executor.policy import ExecutionPolicy
from tests.unit.executor.fake_venue import Rule, doubt
from tests.unit.executor.lab import BTC, ETH, Lab, resting_order

LENGTH_MS = 9_000
ENTRY_ID = "ft-1-1-E0"


def _lab(countdown_ms: int | None = LENGTH_MS) -> Lab:
    """A trader that uses the timer, at a venue that knows it."""
    lab = Lab(policy=ExecutionPolicy(countdown_ms=countdown_ms))
    lab.fault(Accepted(None), kind=SetCountdownCancel, times=1_000)
    return lab


def rest_an_entry(lab: Lab) -> None:
    """Let the next entry on BTC rest in the book of the venue."""
    lab.venue.orders[ENTRY_ID] = resting_order(ENTRY_ID)
    lab.fault(Accepted(resting_order(ENTRY_ID)), leg=Leg.ENTRY)
    lab.signal(BTC)


def _fail(lab: Lab) -> None:
    lab.venue.rules.insert(0, Rule(lambda c: isinstance(c, SetCountdownCancel), apply=False, outcome=doubt(), times=99))


def _mend(lab: Lab) -> None:
    del lab.venue.rules[0]


def _asked(lab: Lab) -> list[tuple[str, int]]:
    found = lab.sent(SetCountdownCancel)
    return [(c.symbol, c.countdown_ms) for c in found if isinstance(c, SetCountdownCancel)]


def _end_the_entry(lab: Lab) -> None:
    del lab.venue.orders[ENTRY_ID]
    entry = lab.core._desk.book.by_client_id(ENTRY_ID)
    assert entry is not None
    lab.core._desk.book.retire(entry[0])


def test_countdown_is_off_by_default() -> None:
    lab = _lab(countdown_ms=None)
    rest_an_entry(lab)
    lab.run(10_000)
    assert _asked(lab) == []
    assert ExecutionPolicy().countdown_ms is None


def test_countdown_runs_while_an_entry_rests_and_is_renewed_in_time() -> None:
    lab = _lab()
    rest_an_entry(lab)
    lab.run(750)
    assert _asked(lab) == []  # a market order would be over by now
    lab.run(12_000)
    assert set(_asked(lab)) == {(BTC, LENGTH_MS)}
    assert len(_asked(lab)) == 4  # every third of its length


def test_countdown_is_not_used_for_positions_with_a_stop() -> None:
    lab = _lab()
    lab.open_long()
    lab.run(20_000)
    assert lab.live_stops()
    assert _asked(lab) == []


def test_countdown_is_stopped_once_no_entry_rests() -> None:
    lab = _lab()
    rest_an_entry(lab)
    lab.run(2_000)
    _end_the_entry(lab)
    lab.run(500)
    assert _asked(lab) == [(BTC, LENGTH_MS), (BTC, 0)]
    lab.run(30_000)
    assert len(_asked(lab)) == 2
    assert lab.core._desk.countdowns == {}


def test_countdown_stop_without_an_answer_is_asked_again_until_it_must_be_over() -> None:
    lab = _lab()
    rest_an_entry(lab)
    lab.run(2_000)
    _end_the_entry(lab)
    _fail(lab)
    lab.run(60_000)
    stops = [countdown for _, countdown in _asked(lab) if not countdown]
    assert 3 <= len(stops) <= 8
    assert lab.core._desk.countdowns == {}
    assert [title for title in lab.titles() if "countdown" in title] == [
        f"{BTC}: the countdown at the venue could not be stopped"
    ]


def test_countdown_renewal_that_fails_is_told_once_and_tried_again() -> None:
    lab = _lab()
    rest_an_entry(lab)
    lab.run(2_000)
    _fail(lab)
    lab.run(10_000)
    titles = [title for title in lab.titles() if "countdown" in title]
    assert titles == [f"{BTC}: the countdown at the venue could not be renewed"]
    _mend(lab)
    lab.run(6_000)
    _fail(lab)
    lab.run(6_000)
    assert len([title for title in lab.titles() if "countdown" in title]) == 2


@pytest.mark.parametrize("trouble", ["stream", "disk", "lease", "stopping"])
def test_countdown_of_an_unhealthy_trader_is_neither_renewed_nor_stopped(trouble: str) -> None:
    lab = _lab()
    rest_an_entry(lab)
    lab.run(2_000)
    before = _asked(lab)
    if trouble == "stream":
        lab.stream(StreamKind.USER, StreamState.LOST)
    elif trouble == "disk":
        lab.feed(PersistenceFailed("disk full", lab.now_ms))
    elif trouble == "lease":
        lab.feed(LeaseLost("gone", lab.now_ms))
    else:
        lab.feed(StopRequested(lab.now_ms))
    lab.run(20_000)
    assert before == _asked(lab) == [(BTC, LENGTH_MS)]


def test_countdown_spares_the_order_of_somebody_else() -> None:
    lab = _lab()
    rest_an_entry(lab)
    lab.venue.orders["web_1"] = resting_order("web_1")
    lab.run(45_000)
    assert lab.core._desk.foreign_orders.keys() == {BTC}
    assert _asked(lab)[-1] == (BTC, 0)
    renewals = len(_asked(lab))
    lab.run(10_000)
    assert len(_asked(lab)) == renewals


def test_countdown_of_one_symbol_leaves_the_others_alone() -> None:
    lab = _lab()
    rest_an_entry(lab)
    lab.signal(ETH)
    lab.run(20_000)
    assert {symbol for symbol, _ in _asked(lab)} == {BTC}


@pytest.mark.parametrize("mode", [Environment.TESTNET, Environment.MAINNET])
def test_venue_of_unknown_behaviour_is_refused_and_says_what_to_do(mode: Environment) -> None:
    refusal = refusal_of_venue(VenueCountdown(mode, CountdownEffect.UNKNOWN))
    assert refusal is not None
    assert "COUNTDOWN_CANCEL_SEC" in refusal and mode.value in refusal and "leave it empty" in refusal


def test_venue_whose_countdown_takes_stops_is_refused() -> None:
    refusal = refusal_of_venue(VenueCountdown(Environment.SIM, CountdownEffect.ALL))
    assert refusal is not None and "remove a protective stop" in refusal


def test_venue_whose_countdown_takes_plain_orders_only_is_accepted() -> None:
    assert refusal_of_venue(VenueCountdown(Environment.SIM, CountdownEffect.PLAIN)) is None
