"""The walk inside a candle: the candle that results is exactly the given one."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.market.catalog import generated_specs
from simulator.market.generator import GeneratedSource
from simulator.market.noise import key_of
from simulator.market.path import Bar, prints
from simulator.market.recorded import load_directory
from tests.unit.simulator_market.markets import MINUTE_MS, NEW_YEAR_MS, built, tape_of, wanted

KEY = key_of("test")
MINUTE = NEW_YEAR_MS // MINUTE_MS


def bar(**changes: int) -> Bar:
    plain = Bar(MINUTE, 1000, 1010, 985, 1004, 5000, 4_990_123, 300, 2600, 2_594_000, 12, 700, 90)
    return plain._replace(**changes)


def played(one: Bar) -> list:
    return prints(KEY, one, Random(0))


def turns(one: Bar) -> list[int]:
    """Return the extremes in the order in which they are first traded."""
    prices = [trade.price for trade in played(one)]
    return sorted((one.high, one.low), key=prices.index)


@st.composite
def bars(draw) -> Bar:
    """Any candle with at least 8 aggregate trades whose volumes can belong to trades on the grid."""
    low = draw(st.integers(1, 10**6))
    high = low + draw(st.integers(0, 400))
    open_, close = draw(st.integers(low, high)), draw(st.integers(low, high))
    parts = draw(st.integers(8, 20))
    volume = draw(st.integers(parts * 5, 2000) | st.integers(10**6, 10**9))
    bought = draw(st.integers(parts, volume - parts))
    # volume-weighted mean prices strictly inside the candle, as any mix of its four prices has them
    middle = (open_ + high + low + close) // 4
    taker_quote = bought * middle + draw(st.integers(0, bought)) * (middle < high)
    quote = taker_quote + (volume - bought) * middle
    count = parts + draw(st.integers(0, 5000))
    return Bar(MINUTE, open_, high, low, close, volume, quote, count, bought, taker_quote, parts, 17, 3)


def is_roomy(one: Bar) -> bool:
    """Whether both sides have a mean price inside the candle and the volume to afford single steps at its ends."""
    sold, middle = one.volume - one.taker_volume, one.taker_quote // one.taker_volume
    room = 30 * one.parts * (one.high - one.low + 1)
    return one.low < middle < one.high - 1 and min(one.taker_volume, sold) > room


@given(bars())
@settings(max_examples=50)
def test_walk_of_any_candle_is_exact_and_in_order(one: Bar) -> None:
    trades = played(one)
    result, aim = built(one, trades), wanted(one)
    assert {**result, "quote": 0, "taker_quote": 0} == {**aim, "quote": 0, "taker_quote": 0}
    if is_roomy(one):
        assert result == aim
    assert len(trades) == one.parts
    assert all(trade.quantity > 0 and trade.last_id >= trade.first_id for trade in trades)
    assert all(after.first_id == before.last_id + 1 for before, after in pairwise(trades))
    times = [trade.time_ms for trade in trades]
    assert times == sorted(times)
    assert MINUTE * MINUTE_MS <= times[0] <= times[-1] < (MINUTE + 1) * MINUTE_MS


def test_walk_has_exactly_the_quote_volumes() -> None:
    assert built(bar(), played(bar())) == wanted(bar())


def test_walk_is_a_function_of_key_and_candle_alone() -> None:
    spent = Random(99)
    spent.random()
    assert prints(KEY, bar(), spent) == played(bar())
    assert prints(KEY + 5, bar(), Random(0)) != played(bar())


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        ({"open": 990, "close": 1000}, 985),
        ({"open": 1008, "close": 1000}, 1010),
        ({"open": 1000, "high": 1010, "low": 990, "close": 1005}, 990),
        ({"open": 1000, "high": 1010, "low": 990, "close": 995}, 1010),
    ],
)
def test_walk_goes_to_the_nearer_extreme_first(shape: dict[str, int], first: int) -> None:
    assert turns(bar(quote=-1, **shape))[0] == first


@pytest.mark.parametrize(
    "one",
    [
        bar(volume=0, quote=0, parts=0, trade_count=0, taker_volume=0, taker_quote=0),
    ],
)
def test_candle_without_volume_has_no_trades(one: Bar) -> None:
    assert played(one) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"open": 990, "high": 990, "low": 990, "close": 990, "quote": 4_950_000, "taker_quote": 2_574_000},
        {"open": 990, "high": 991, "low": 990, "close": 991, "quote": 4_952_600, "taker_quote": 2_576_600},
        {"taker_volume": 0, "taker_quote": 0},
        {"taker_volume": 5000, "taker_quote": 4_990_123},
        {"taker_volume": 4, "taker_quote": 3_999},
        {"taker_volume": 4997, "taker_quote": 4_987_123},
        {"parts": 8},
    ],
    ids=["flat", "buyers at the ask only", "sellers only", "buyers only", "few bought", "few sold", "eight trades"],
)
def test_walk_is_exact_at_the_edges(changes: dict[str, int]) -> None:
    one = bar(**changes)
    assert built(one, played(one)) == wanted(one)


@pytest.mark.parametrize("parts", range(1, 8))
def test_candle_with_few_trades_keeps_prices_as_far_as_there_are_trades_and_both_volumes(parts: int) -> None:
    one = bar(parts=parts, trade_count=parts)
    trades = played(one)
    result = built(one, trades)
    assert len(trades) == parts
    assert result["volume"] == one.volume
    assert trades[-1].price == one.close
    if parts > 1:
        assert trades[0].price == one.open
        assert result["taker_volume"] == one.taker_volume
    if parts >= 4:
        assert result["ohlc"] == wanted(one)["ohlc"]


def test_generated_candles_are_all_exact() -> None:
    source = GeneratedSource(generated_specs(300), seed=5, start_ms=NEW_YEAR_MS)
    for symbol in [*list(source.specs)[:10], "SYM012USDT", "SYM018USDT", "SYM300USDT"]:
        tape = tape_of(source, symbol)
        for one in tape.bars(source.columns(symbol, MINUTE, MINUTE + 300)):
            assert built(one, tape.prints_of(one)) == wanted(one)


EVERY_FOURTH_OR_ALL = pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.extended)])


@EVERY_FOURTH_OR_ALL
@pytest.mark.parametrize("folder", ["um_1m_2025-05", "um_1m_2023-07"])
def test_recorded_six_column_candles_are_all_exact(shared_data: Path, folder: str, step: int) -> None:
    recording = load_directory(shared_data / "klines" / folder)
    for symbol in recording.specs:
        tape = tape_of(recording, symbol)
        first, _ = recording.span(symbol)
        for one in tape.bars(recording.columns(symbol, first, first + 1500))[::step]:
            if one.parts >= 8:
                assert built(one, tape.prints_of(one)) == wanted(one)
            elif one.parts >= 4:
                assert built(one, tape.prints_of(one))["ohlc"] == wanted(one)["ohlc"]


@EVERY_FOURTH_OR_ALL
def test_recorded_twelve_column_candles_are_exact_unless_they_are_tiny(shared_data: Path, step: int) -> None:
    recording = load_directory(shared_data / "klines" / "um_1m_12col")
    for symbol in recording.specs:
        tape, tally = tape_of(recording, symbol), Counter[str]()
        assert tape.grid.quote_unit <= Decimal("0.001")
        first, _ = recording.span(symbol)
        for one in tape.bars(recording.columns(symbol, first, first + 3000))[::step]:
            if not one.parts:
                continue
            result, aim = built(one, tape.prints_of(one)), wanted(one)
            for name in ("volume", "ids"):
                assert result[name] == aim[name]
            if one.parts >= 8:
                assert result["ohlc"] == aim["ohlc"]
                assert result["taker_volume"] == aim["taker_volume"]
                tally["exact" if result == aim else "approximate"] += 1
        assert tally["approximate"] <= 0.02 * tally["exact"]
