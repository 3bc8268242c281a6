"""Offset by midpoint of the quickest sample; market time only moves forward; steps of the wall clock are seen."""

from __future__ import annotations

import pytest

from core.clock import VirtualClock
from exchange.binance.timesync import GatewayTime, JumpWatch, TimeSample, VenueClock, best_offset_ms


def test_best_offset_uses_the_midpoint_of_the_quickest_sample() -> None:
    samples = [
        TimeSample(sent_ms=1000, received_ms=1400, server_ms=6390),  # slow way back: would claim 5190
        TimeSample(sent_ms=2000, received_ms=2010, server_ms=7005),
        TimeSample(sent_ms=3000, received_ms=3100, server_ms=8090),
    ]
    assert best_offset_ms(samples) == 5000


def test_best_offset_without_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="no time sample"):
        best_offset_ms([])


def test_gateway_time_adds_the_offset_and_reports_how_far_it_moved() -> None:
    time = GatewayTime(VirtualClock(10_000))
    assert time.adjust(-400) == 0
    assert time.now_ms() == 9_600
    assert time.adjust(1_200) == 1_600


def test_venue_clock_never_goes_back() -> None:
    clock = VenueClock()
    for time_ms in (5, 9, 7):
        clock.observe(time_ms)
    assert clock.venue_time_ms() == 9


def test_jump_watch_reports_a_step_once_and_ignores_small_ones() -> None:
    clock = VirtualClock(1_000_000)
    watch = JumpWatch(clock)
    clock.skew_wall(1_500)
    assert watch.jump_ms() == 0
    clock.skew_wall(3_600_000)
    assert watch.jump_ms() == 3_600_000
    assert watch.jump_ms() == 0
    clock.skew_wall(0)
    assert watch.jump_ms() == -3_600_000
