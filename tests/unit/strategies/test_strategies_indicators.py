"""Each indicator against `ta`, against itself in its two forms, and at its edges."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from ta.momentum import RSIIndicator
from ta.trend import MACD, ADXIndicator, EMAIndicator, SMAIndicator
from ta.volatility import AverageTrueRange, BollingerBands
from ta.volume import VolumeWeightedAveragePrice

from core.candle import DAY_MS
from strategies.base import CandleColumns, History
from strategies.indicators import (
    Adx,
    Atr,
    Bollinger,
    CandleShape,
    Ema,
    Fibonacci,
    Indicator,
    Macd,
    OpeningRange,
    PivotPoints,
    Pivots,
    RollingStd,
    RollingVwap,
    RollingVwapBands,
    Rsi,
    SessionVwap,
    SessionVwapBands,
    Sma,
    SwingStructure,
    VolumeRatio,
)
from strategies.indicators.parts import decay
from tests.unit.strategies.support import MINUTE, START, columns, head, recorded, rows, walk

EVERY = [
    lambda: Sma(20),
    lambda: Sma(1),
    lambda: Ema(21),
    lambda: RollingStd(20),
    lambda: Bollinger(20, 2.0),
    lambda: VolumeRatio(30),
    lambda: Rsi(14),
    lambda: Atr(14),
    lambda: Adx(14),
    lambda: Adx(2),
    lambda: SessionVwap(),
    lambda: SessionVwapBands(2.0),
    lambda: RollingVwap(60),
    lambda: RollingVwapBands(30, 2.0),
    lambda: Macd(),
    lambda: CandleShape(),
    lambda: Pivots(3, 3),
    lambda: Pivots(1, 5),
    lambda: SwingStructure(3, 3, 200),
    lambda: SwingStructure(2, 2, 25),
    lambda: Fibonacci(3, 3, 200),
    lambda: PivotPoints(),
    lambda: OpeningRange(30),
]
NAMES = [repr(make().spec[0].__name__ + str(make().spec[1])) for make in EVERY]


@pytest.fixture(scope="module")
def market(shared_data):
    return columns(recorded(shared_data / "klines/um_1m_2025-05/ETHUSDT-1m.csv.gz", limit=6_000))


@pytest.fixture(scope="module")
def long_market(shared_data):
    return columns(recorded(shared_data / "klines/um_1m_2025-05/ETHUSDT-1m.csv.gz", limit=9_000))


def over(indicator: Indicator, data: CandleColumns) -> np.ndarray:
    result = indicator.over(data.open, data.high, data.low, data.close, data.volume, data.open_time)
    return np.atleast_2d(np.asarray(result, dtype=float))


def stepped(indicator: Indicator, data: CandleColumns) -> np.ndarray:
    return np.atleast_2d(np.asarray([indicator.update(*row) for row in rows(data)], dtype=float).T)


@pytest.mark.parametrize("make", EVERY, ids=NAMES)
def test_indicator_step_and_column_forms_agree(make, market) -> None:
    np.testing.assert_allclose(stepped(make(), market), over(make(), market), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("make", EVERY, ids=NAMES)
@pytest.mark.parametrize("length", [0, 1, 2, 3, 13, 14, 15, 27, 28, 29, 40])
def test_indicator_short_data_agrees_in_both_forms(make, length) -> None:
    data = columns(walk(40))
    short = CandleColumns(*(getattr(data, name)[:length] for name in CandleColumns.__dataclass_fields__))
    column = over(make(), short)
    assert column.shape[-1] == length
    if length:
        np.testing.assert_allclose(stepped(make(), short), column, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("make", EVERY, ids=NAMES)
def test_indicator_over_leaves_the_live_state_alone(make, market) -> None:
    disturbed, calm = make(), make()
    half = rows(market)[:300]
    for row in half[:200]:
        disturbed.update(*row)
        calm.update(*row)
    over(disturbed, market)
    for row in half[200:]:
        np.testing.assert_array_equal(disturbed.update(*row), calm.update(*row))


@pytest.mark.parametrize("make", EVERY, ids=NAMES)
def test_indicator_value_ignores_later_candles(make, market) -> None:
    whole = over(make(), market)
    for cut in (50, 777, 3_001):
        part = CandleColumns(*(getattr(market, name)[:cut] for name in CandleColumns.__dataclass_fields__))
        np.testing.assert_allclose(over(make(), part), whole[:, :cut], rtol=1e-12, atol=1e-11)


def frame(data: CandleColumns) -> pd.DataFrame:
    return pd.DataFrame({name: getattr(data, name) for name in ("open", "high", "low", "close", "volume")})


TA = {
    "sma": (lambda: Sma(20), lambda f: SMAIndicator(f.close, 20).sma_indicator(), 19),
    "ema": (lambda: Ema(21), lambda f: EMAIndicator(f.close, 21).ema_indicator(), 20),
    "rsi": (lambda: Rsi(14), lambda f: RSIIndicator(f.close, 14).rsi(), 13),
    "atr": (lambda: Atr(14), lambda f: AverageTrueRange(f.high, f.low, f.close, 14).average_true_range(), 13),
    "adx": (lambda: Adx(14), lambda f: ADXIndicator(f.high, f.low, f.close, 14).adx(), 27),
    "vwap": (
        lambda: RollingVwap(30),
        lambda f: VolumeWeightedAveragePrice(f.high, f.low, f.close, f.volume, 30).volume_weighted_average_price(),
        29,
    ),
    "adx7": (lambda: Adx(7), lambda f: ADXIndicator(f.high, f.low, f.close, 7).adx(), 13),
}


@pytest.mark.parametrize("name", TA)
def test_indicator_equals_ta(name, market) -> None:
    make, reference, first = TA[name]
    ours = over(make(), market)[0]
    theirs = np.asarray(reference(frame(market)), dtype=float)
    assert np.isnan(ours[:first]).all(), "before this ta has zeros or nothing: ours must not pretend to be a value"
    np.testing.assert_allclose(ours[first:], theirs[first:], rtol=1e-9, atol=1e-9)


def test_bollinger_equals_ta(market) -> None:
    middle, upper, lower, width = over(Bollinger(20, 2.0), market)
    theirs = BollingerBands(frame(market).close, 20, 2)
    for ours, reference in ((middle, theirs.bollinger_mavg()), (upper, theirs.bollinger_hband())):
        np.testing.assert_allclose(ours[19:], np.asarray(reference)[19:], rtol=1e-9)
    np.testing.assert_allclose(lower[19:], np.asarray(theirs.bollinger_lband())[19:], rtol=1e-9)
    np.testing.assert_allclose(width[19:], np.asarray(theirs.bollinger_wband())[19:] / 100, rtol=1e-9, atol=1e-9)


def test_macd_equals_ta(market) -> None:
    ours = over(Macd(12, 26, 9), market)
    theirs = MACD(frame(market).close, 26, 12, 9)
    for own, reference in zip(ours, (theirs.macd(), theirs.macd_signal(), theirs.macd_diff()), strict=True):
        np.testing.assert_allclose(own, np.asarray(reference), rtol=1e-9, atol=1e-9)  # NaN where ta has NaN


FIRST_VALUE = {
    "sma": (lambda: Sma(20), 20),
    "ema": (lambda: Ema(21), 21),
    "std": (lambda: RollingStd(20), 20),
    "bollinger": (lambda: Bollinger(20), 20),
    "volume ratio": (lambda: VolumeRatio(30), 30),
    "rsi": (lambda: Rsi(14), 14),
    "atr": (lambda: Atr(14), 14),
    "adx": (lambda: Adx(14), 28),
    "macd": (lambda: Macd(12, 26, 9), 34),
    "rolling vwap": (lambda: RollingVwap(60), 60),
    "session vwap": (lambda: SessionVwap(), 1),
    "shape": (lambda: CandleShape(), 1),
    "opening range": (lambda: OpeningRange(30), 31),
    "pivot points": (lambda: PivotPoints(), 1_441),
}


@pytest.mark.parametrize("name", FIRST_VALUE)
def test_indicator_first_whole_value_comes_at_the_documented_candle(name, market) -> None:
    start = int(np.argmax(market.open_time % DAY_MS == 0))
    make, first = FIRST_VALUE[name]
    values = over(make(), head(market, start, len(market)))
    assert int(np.argmax(~np.isnan(values).any(axis=0))) == first - 1


@pytest.mark.parametrize("make", EVERY, ids=NAMES)
def test_indicator_value_after_its_warm_up_does_not_depend_on_where_the_data_began(make, long_market) -> None:
    indicator = make()
    needed = History(indicator.warmup, indicator.day_anchored)
    whole = over(make(), long_market)
    # Of a value that never quite forgets its start, a billionth of the move since then may be left.
    for at in (5_011, 6_300, 8_999):
        start = int(np.searchsorted(long_market.open_time, needed.start_before(int(long_market.open_time[at]), "1m")))
        part = over(make(), head(long_market, start, at + 1))[:, -1]
        np.testing.assert_allclose(part, whole[:, at], rtol=1e-6, atol=1e-6)


def test_session_vwap_equals_the_plain_sums_of_its_definition(market) -> None:
    vwap, sd = over(SessionVwap(), market)
    typical = (market.high + market.low + market.close) / 3
    day = market.open_time // DAY_MS
    for index in (0, 1, 506, 507, 1_500, 5_999):
        today = slice(int(np.argmax(day == day[index])), index + 1)
        volume = market.volume[today]
        mean = (typical[today] * volume).sum() / volume.sum()
        spread = math.sqrt((volume * (typical[today] - mean) ** 2).sum() / volume.sum())
        assert vwap[index] == pytest.approx(mean, rel=1e-12)
        assert sd[index] == pytest.approx(spread, rel=1e-9, abs=1e-9)


def test_session_vwap_starts_again_at_midnight_utc() -> None:
    session = SessionVwap()
    for minute in range(3):
        session.update(50, 50, 50, 50.0, 9.0, START - 3 * MINUTE + minute * MINUTE)
    assert session.update(100.0, 100.0, 100.0, 100.0, 1.0, START) == (100.0, 0.0)
    vwap, sd = session.update(104.0, 104.0, 104.0, 104.0, 3.0, START + MINUTE)
    assert (vwap, sd) == (103.0, math.sqrt(3.0))


def test_session_vwap_without_volume_is_not_a_number() -> None:
    vwap, sd = SessionVwap().update(100.0, 100.0, 100.0, 100.0, 0.0, START)
    assert math.isnan(vwap) and math.isnan(sd)


def test_session_vwap_deviation_keeps_its_digits_at_high_prices() -> None:
    # Σv·p² - vwap² would lose a deviation of a cent at this price; 1e9 squared leaves no digit for it.
    session = SessionVwap()
    session.update(1e9, 1e9, 1e9, 1e9, 1.0, START)
    _, sd = session.update(1e9 + 0.02, 1e9 + 0.02, 1e9 + 0.02, 1e9 + 0.02, 1.0, START + MINUTE)
    assert sd == pytest.approx(0.01, rel=1e-4)


def test_rolling_std_of_a_flat_stretch_after_a_spike_is_exactly_zero() -> None:
    std = RollingStd(20)
    prices = [100.0] * 25 + [1e6] + [0.1] * 40
    last = [std.update(p, p, p, p, 1.0, START + i * MINUTE) for i, p in enumerate(prices)][-1]
    assert last == 0.0


def test_rsi_of_constant_prices_is_100_as_in_ta() -> None:
    rsi = Rsi(14)
    assert [rsi.update(5.0, 5.0, 5.0, 5.0, 1.0, i) for i in range(20)][-1] == 100.0


def test_adx_of_constant_prices_is_zero() -> None:
    adx = Adx(14)
    assert [adx.update(5.0, 5.0, 5.0, 5.0, 1.0, i) for i in range(60)][-1] == 0.0


def test_adx_of_a_straight_rise_is_100() -> None:
    adx = Adx(14)
    values = [adx.update(p, p + 1.0, p - 1.0, p, 1.0, i) for i, p in enumerate(map(float, range(100, 160)))]
    assert values[-1] == pytest.approx(100.0)


def test_volume_ratio_compares_with_the_mean_that_includes_the_candle() -> None:
    ratio = VolumeRatio(4)
    values = [ratio.update(1.0, 1.0, 1.0, 1.0, v, i) for i, v in enumerate([1.0, 1.0, 1.0, 5.0])]
    assert math.isnan(values[2])
    assert values[3] == 2.5


@pytest.mark.parametrize("make", [lambda: Adx(0), lambda: Sma(-1), lambda: Bollinger(1), lambda: Rsi(2.5)])
def test_indicator_with_an_impossible_window_is_refused(make) -> None:
    with pytest.raises(ValueError, match="window must be a whole number"):
        make()


def test_decay_equals_the_recursion_it_stands_for() -> None:
    values = np.random.default_rng(7).random(1_237)
    expected, last = [], 3.0
    for value in values.tolist():
        last = 0.9 * last + value
        expected.append(last)
    decay(values, 0.9, 3.0)
    np.testing.assert_allclose(values, expected, rtol=1e-13)
