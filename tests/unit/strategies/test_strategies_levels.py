"""Pivots, swings, retracements, daily levels and candle shapes against the words that define them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from strategies.base import CandleColumns
from strategies.indicators import (
    CandleShape,
    Fibonacci,
    Indicator,
    Macd,
    OpeningRange,
    PivotPoints,
    Pivots,
    RollingVwapBands,
    SessionVwap,
    SessionVwapBands,
    SwingStructure,
)
from tests.unit.strategies.support import DAY, MINUTE, START, columns, walk

NAN = math.nan


def play(indicator: Indicator, prices: Sequence[float], start: int = START) -> list[tuple[float, ...]]:
    """Advance through candles whose high and low are both the given price."""
    return [indicator.update(p, p, p, p, 1.0, start + i * MINUTE) for i, p in enumerate(prices)]


def over(indicator: Indicator, data: CandleColumns) -> np.ndarray:
    return np.asarray(indicator.over(data.open, data.high, data.low, data.close, data.volume, data.open_time))


def peaks_by_the_words(values: np.ndarray, left: int, right: int) -> np.ndarray:
    found = np.full(len(values), NAN)
    for at in range(left, len(values) - right):
        before, after = values[at - left : at], values[at + 1 : at + right + 1]
        if values[at] > before.max() and values[at] >= after.max():
            found[at + right] = values[at]
    return found


@pytest.mark.parametrize(("left", "right"), [(1, 1), (3, 3), (2, 5), (5, 1)])
def test_pivots_are_those_of_their_definition(left: int, right: int) -> None:
    data = columns(walk(1_500))
    highs, lows = over(Pivots(left, right), data)
    np.testing.assert_array_equal(highs, peaks_by_the_words(data.high, left, right))
    np.testing.assert_array_equal(lows, -peaks_by_the_words(-data.low, left, right))
    assert 30 < np.count_nonzero(~np.isnan(highs)) < 700


def test_pivot_is_told_only_after_the_candles_on_its_right() -> None:
    highs = [high for high, _ in play(Pivots(1, 2), [1.0, 2.0, 5.0, 3.0, 2.0, 2.5])]
    assert [i for i, high in enumerate(highs) if not math.isnan(high)] == [4]
    assert highs[4] == 5.0


def test_pivot_of_equal_neighbours_is_told_once() -> None:
    highs = [high for high, _ in play(Pivots(2, 2), [1.0, 2.0, 5.0, 5.0, 5.0, 2.0, 1.0])]
    assert [high for high in highs if not math.isnan(high)] == [5.0]


# Swing highs 10, 12, 11 and lows 5, 6, 4: a higher high, a higher low, a lower high, a lower low.
SWINGS = [7.0, 10.0, 8.0, 5.0, 9.0, 12.0, 9.0, 6.0, 8.0, 11.0, 7.0, 4.0, 9.0]


def test_swing_structure_names_higher_and_lower_highs_and_lows() -> None:
    rows = play(SwingStructure(1, 1), SWINGS)
    assert rows[5] == pytest.approx((10.0, 5.0, NAN, NAN, NAN), nan_ok=True)
    assert rows[6] == pytest.approx((12.0, 5.0, 1.0, NAN, NAN), nan_ok=True)  # HH
    assert rows[8] == (12.0, 6.0, 1.0, 1.0, 1.0)  # HH and HL: rising
    assert rows[10] == (11.0, 6.0, -1.0, 1.0, 0.0)  # LH and HL: neither
    assert rows[12] == (11.0, 4.0, -1.0, -1.0, -1.0)  # LH and LL: falling


def test_swing_is_forgotten_after_its_memory() -> None:
    rows = play(SwingStructure(1, 1, memory=4), [*SWINGS, 10.0, 11.0, 12.0, 13.0, 14.0])
    assert rows[12][:2] == (11.0, 4.0)
    assert math.isnan(rows[12][2]), "the swing high before was confirmed six candles ago"
    assert math.isnan(rows[14][0]) and rows[14][1] == 4.0
    assert all(math.isnan(value) for value in rows[16])


def test_swing_structure_of_equal_highs_is_neither_higher_nor_lower() -> None:
    rows = play(SwingStructure(1, 1), [1.0, 5.0, 2.0, 5.0, 2.0])
    assert rows[4][2] == 0.0


def test_fibonacci_levels_retrace_the_last_leg_from_its_end() -> None:
    rows = play(Fibonacci(1, 1, ratios=(0.5, 0.618)), SWINGS)
    assert all(math.isnan(value) for value in rows[3])
    assert rows[6] == pytest.approx((1.0, 12 - 0.5 * 7, 12 - 0.618 * 7))  # up from 5 to 12
    assert rows[8] == pytest.approx((-1.0, 6 + 0.5 * 6, 6 + 0.618 * 6))  # down from 12 to 6
    assert len(play(Fibonacci(), SWINGS)[0]) == 6


def test_fibonacci_of_a_swing_high_below_the_swing_low_is_not_a_number() -> None:
    levels = Fibonacci(1, 1)
    bars = [(1.0, 0.1), (3.0, 0.2), (2.0, 0.3), (8.0, 7.5), (9.0, 7.0), (10.0, 7.4)]
    rows = [levels.update(low, high, low, low, 1.0, START + i * MINUTE) for i, (high, low) in enumerate(bars)]
    assert all(math.isnan(value) for value in rows[-1])


def test_fibonacci_of_swings_that_one_candle_confirms_is_not_a_number() -> None:
    levels = Fibonacci(1, 1)
    bars = [(5.0, 4.0), (6.0, 3.0), (5.0, 4.0)]
    rows = [levels.update(low, high, low, low, 1.0, START + i * MINUTE) for i, (high, low) in enumerate(bars)]
    assert all(math.isnan(value) for value in rows[-1])


def test_pivot_points_are_those_of_yesterday() -> None:
    points = PivotPoints()
    bars = [(START, 110.0, 90.0, 100.0), (START + DAY - MINUTE, 120.0, 95.0, 105.0), (START + DAY, 1.0, 1.0, 1.0)]
    first, _, today = [points.update(close, high, low, close, 1.0, time) for time, high, low, close in bars]
    assert all(math.isnan(value) for value in first)
    pivot = (120 + 90 + 105) / 3
    assert today == pytest.approx(
        (pivot, 2 * pivot - 90, 2 * pivot - 120, pivot + 30, pivot - 30, 120 + 2 * (pivot - 90), 90 - 2 * (120 - pivot))
    )


def test_pivot_points_of_a_day_that_the_data_hold_in_part_are_not_a_number() -> None:
    late = play(PivotPoints(), [1.0] * 4, start=START + DAY - 2 * MINUTE)
    assert all(math.isnan(value) for row in late for value in row)


def test_pivot_points_ask_for_two_days_of_their_interval() -> None:
    assert (PivotPoints().warmup, PivotPoints("1h").warmup) == (2_880, 48)


def test_opening_range_is_known_when_its_minutes_are_over_and_until_midnight() -> None:
    rows = play(OpeningRange(3), [5.0, 9.0, 7.0, 20.0, 1.0])
    assert [math.isnan(high) for high, _ in rows] == [True, True, True, False, False]
    assert rows[3] == rows[4] == (9.0, 5.0)
    tomorrow = OpeningRange(3)
    play(tomorrow, [5.0, 9.0, 7.0, 20.0])
    assert math.isnan(tomorrow.update(8.0, 8.0, 8.0, 8.0, 1.0, START + DAY)[0])


def test_opening_range_may_begin_later_and_has_no_value_on_a_day_without_its_candles() -> None:
    later = play(OpeningRange(2, start_minute=2), [1.0, 9.0, 4.0, 5.0, 6.0])
    assert later[4] == (5.0, 4.0)
    missing = play(OpeningRange(2), [4.0, 5.0], start=START + 10 * MINUTE)
    assert all(math.isnan(value) for row in missing for value in row)


def test_candle_shape_tells_body_and_wicks_as_parts_of_the_range() -> None:
    assert CandleShape().update(4.0, 10.0, 0.0, 7.0, 1.0, START) == (0.3, 0.3, 0.4)
    assert CandleShape().update(7.0, 10.0, 0.0, 4.0, 1.0, START) == (0.3, 0.3, 0.4)
    assert all(math.isnan(part) for part in CandleShape().update(5.0, 5.0, 5.0, 5.0, 1.0, START))


def test_vwap_bands_lie_their_deviations_away() -> None:
    data = columns(walk(300))
    vwap, sd = over(SessionVwap(), data)
    np.testing.assert_array_equal(over(SessionVwapBands(1.5), data), [vwap, vwap + 1.5 * sd, vwap - 1.5 * sd])


def test_rolling_vwap_bands_equal_the_plain_sums_of_their_definition() -> None:
    data = columns(walk(300))
    middle, upper, lower = over(RollingVwapBands(20, 2.0), data)
    typical = (data.high + data.low + data.close) / 3
    for at in (19, 20, 39, 140, 299):
        part = slice(at - 19, at + 1)
        mean = np.average(typical[part], weights=data.volume[part])
        sd = math.sqrt(np.average((typical[part] - mean) ** 2, weights=data.volume[part]))
        assert (middle[at], upper[at], lower[at]) == pytest.approx((mean, mean + 2 * sd, mean - 2 * sd), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Macd(26, 12), "fast window must be shorter"),
        (lambda: Pivots(0, 1), "window must be a whole number"),
        (lambda: SwingStructure(3, 3, 1), "at least 2"),
        (lambda: OpeningRange(1_440), "within one UTC day"),
        (lambda: OpeningRange(30, -1), "within one UTC day"),
        (lambda: PivotPoints("7m"), "interval must be one of"),
    ],
)
def test_indicator_with_an_impossible_argument_is_refused(make, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        make()
