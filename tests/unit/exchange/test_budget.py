"""The budget never lets the venue's limits be reached, and exits always have their share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import VirtualClock
from core.commands import RefusalKind
from core.enums import Priority
from exchange.binance.budget import EXIT_SHARE_PCT, Budget, RateLimits

START_MS = 1_700_000_000_000 - 1_700_000_000_000 % 60_000


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START_MS)


def test_acquire_keeps_the_exit_share_of_the_weight(clock: VirtualClock) -> None:
    budget = Budget(clock, RateLimits(weight_1m=100))
    assert budget.acquire(70, 0, Priority.QUERY) is None
    refused = budget.acquire(1, 0, Priority.ENTRY)
    assert refused is not None
    assert refused.kind is RefusalKind.THROTTLED
    assert budget.acquire(30, 0, Priority.EXIT) is None
    assert budget.acquire(1, 0, Priority.EXIT) is not None


def test_acquire_keeps_the_exit_share_of_both_order_counts(clock: VirtualClock) -> None:
    budget = Budget(clock, RateLimits(orders_10s=10, orders_1m=20))
    for _ in range(7):
        assert budget.acquire(0, 1, Priority.ENTRY) is None
    assert budget.acquire(0, 1, Priority.ENTRY) is not None
    clock.advance_to(START_MS + 10_000)
    for _ in range(7):
        assert budget.acquire(0, 1, Priority.ENTRY) is None
    clock.advance_to(START_MS + 20_000)
    refused = budget.acquire(0, 1, Priority.ENTRY)  # 14 of the minute's 20 are used: 70 %
    assert refused is not None
    assert budget.acquire(0, 1, Priority.EXIT) is None


def test_acquire_refusal_says_when_there_is_room_again(clock: VirtualClock) -> None:
    budget = Budget(clock, RateLimits(weight_1m=100))
    budget.acquire(40, 0, Priority.QUERY)
    clock.advance_to(START_MS + 20_000)
    budget.acquire(30, 0, Priority.QUERY)
    refused = budget.acquire(40, 0, Priority.QUERY)
    assert refused is not None
    assert refused.retry_after_s == 40.0
    clock.advance_to(START_MS + 60_000)
    assert budget.acquire(40, 0, Priority.QUERY) is None


def test_acquire_lets_history_use_less_than_other_queries(clock: VirtualClock) -> None:
    budget = Budget(clock, RateLimits(weight_1m=100))
    assert budget.acquire(60, 0, Priority.QUERY, bulk=True) is None
    assert budget.acquire(1, 0, Priority.QUERY, bulk=True) is not None
    assert budget.acquire(10, 0, Priority.QUERY) is None


def test_pause_lets_only_exits_pass_until_it_ends(clock: VirtualClock) -> None:
    budget = Budget(clock)
    budget.pause(30)
    refused = budget.acquire(1, 0, Priority.QUERY)
    assert refused is not None
    assert refused.retry_after_s == 30.0
    assert budget.acquire(1, 0, Priority.EXIT) is None
    clock.advance_to(START_MS + 30_000)
    assert budget.acquire(1, 0, Priority.QUERY) is None


def test_ban_lets_nothing_pass_until_it_ends(clock: VirtualClock) -> None:
    budget = Budget(clock)
    budget.ban(None)
    refused = budget.acquire(1, 0, Priority.EXIT)
    assert refused is not None
    assert refused.kind is RefusalKind.BANNED
    clock.advance_to(START_MS + 120_000)
    assert budget.acquire(1, 0, Priority.EXIT) is None


def test_pause_is_never_shortened_by_a_later_one(clock: VirtualClock) -> None:
    budget = Budget(clock)
    budget.pause(60)
    budget.pause(1)
    clock.advance_to(START_MS + 30_000)
    assert budget.acquire(1, 0, Priority.QUERY) is not None


def test_observe_raises_our_count_until_the_venues_minute_ends(clock: VirtualClock) -> None:
    budget = Budget(clock, RateLimits(weight_1m=100))
    clock.advance_to(START_MS + 45_000)
    budget.observe(weight_1m=69, orders_10s=None, orders_1m=None)
    assert budget.used_weight == 69
    assert budget.acquire(1, 0, Priority.QUERY) is None
    refused = budget.acquire(1, 0, Priority.QUERY)
    assert refused is not None
    assert refused.retry_after_s == 15.0
    clock.advance_to(START_MS + 60_000)
    assert budget.acquire(1, 0, Priority.QUERY) is None
    assert budget.used_weight == 2


def test_observe_never_lowers_our_count(clock: VirtualClock) -> None:
    budget = Budget(clock)
    budget.acquire(50, 0, Priority.QUERY)
    budget.observe(weight_1m=1, orders_10s=None, orders_1m=None)
    assert budget.used_weight == 50


@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 40), st.sampled_from(list(Priority))), max_size=60))
def test_acquire_never_exceeds_a_limit_in_any_window(steps: list[tuple[int, int, Priority]]) -> None:
    clock = VirtualClock(START_MS)
    budget = Budget(clock, RateLimits(weight_1m=100))
    granted: list[tuple[int, int, Priority]] = []
    for gap_ms, weight, priority in steps:
        clock.advance_to(clock.now_ms() + gap_ms)
        if budget.acquire(weight, 0, priority) is None:
            granted.append((clock.now_ms(), weight, priority))
        window = [row for row in granted if row[0] > clock.now_ms() - 60_000]
        assert sum(weight for _, weight, _ in window) <= 100
        last_is_exit = bool(window) and window[-1][2] is Priority.EXIT
        if window and not last_is_exit:
            assert sum(weight for _, weight, _ in window) <= 100 - EXIT_SHARE_PCT or window[-1][0] != clock.now_ms()
