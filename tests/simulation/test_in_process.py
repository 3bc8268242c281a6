"""The trader's core against the pure exchange, on a virtual clock, under seeded faults.

A failing seed replays alone: `run_world(seed)`. The campaigns over many seeds are next door.
"""

from __future__ import annotations

from collections import Counter

import pytest

from core.records import TradeState
from executor import ledger, protection
from executor.book import Book
from simulator.faults.kinds import FaultKind
from tests.simulation.acts import NAMES, Act
from tests.simulation.campaign import Job
from tests.simulation.liveness import run_world
from tests.simulation.world import World


def test_undisturbed_worlds_trade_and_agree_to_the_last_digit() -> None:
    closed = 0
    for seed in range(3):
        world, _ = run_world(seed, faults=False)
        assert world.violations == [], f"seed {seed}"
        closed += sum(1 for row in world.disk.rows.positions.values() if row.state is TradeState.CLOSED)
    assert closed > 15


def test_same_seed_gives_the_same_history() -> None:
    first, second = run_world(7, trace=True)[0], run_world(7, trace=True)[0]
    assert first.log == second.log
    assert first.disk.rows == second.disk.rows


def test_every_name_is_drawn_within_fifty_seeds() -> None:
    planned: set[str] = set()
    for seed in range(50):
        planned |= World(seed).plan.names
    assert planned == NAMES - {Act.LIMIT_TRIPPED}


@pytest.mark.slow
def test_every_kind_takes_hold_and_every_invariant_is_checked() -> None:
    """What needs sockets, secrets or candles is checked elsewhere: docs/safety.md names the tests."""
    met: Counter[str] = Counter()
    checks: Counter[str] = Counter()
    for seed in range(30_000, 30_032):
        world, watch = Job(seed).run()
        assert not world.violations, f"seed {seed}"
        met += world.faults_by_name()
        checks += watch.checks
    rare = {
        FaultKind.SUBSCRIBE_REJECT,
        FaultKind.SUBSCRIBE_IGNORE,
        FaultKind.LATE_APPLY,
        FaultKind.QUERY_LAG_SINGLE,
        FaultKind.ALGO_REJECT,
        FaultKind.ALGO_STUCK,
    }
    assert NAMES - met.keys() <= rare
    elsewhere = {19, 20, 23, 25}
    assert {f"I-{number}" for number in range(1, 26) if number not in elsewhere} <= checks.keys()


def _violations(seeds: range) -> list[str]:
    found: list[str] = []
    for seed in seeds:
        found = run_world(seed)[0].violations
        if found:
            break
    return found


@pytest.mark.slow
def test_watcher_finds_a_fill_that_is_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Book, "is_seen", lambda self, symbol, trade_id: False)
    assert _violations(range(40))


@pytest.mark.slow
def test_watcher_finds_a_stop_that_is_not_placed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real = protection.place_stop

    def once(desk: object, trade: object) -> None:
        if trade.newest(protection.Leg.STOP) is None:  # type: ignore[attr-defined]
            real(desk, trade)  # type: ignore[arg-type]

    monkeypatch.setattr(protection, "place_stop", once)
    monkeypatch.setattr(protection, "give_up", lambda desk, trade, why: None)
    assert any("I-4" in text for text in _violations(range(60)))


@pytest.mark.slow
def test_watcher_finds_fills_that_are_never_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "take_listed_fills", lambda desk, fills: [])
    assert _violations(range(40))
