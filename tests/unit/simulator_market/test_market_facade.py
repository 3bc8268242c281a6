"""The facade: time order, candles that result from the trades, jumps, queries, funding."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise

import pytest

from simulator.market.market import KlineClosed, Market, MarketEvent, MarketTrade
from tests.unit.simulator_market.markets import DAY_MS, MINUTE_MS, NEW_YEAR_MS, small_market

START = NEW_YEAR_MS + 5 * 3_600_000
HOUR_MS = 3_600_000


def play(market: Market, span_ms: int) -> list[MarketEvent]:
    return list(market.advance(market.now_ms + span_ms))


def state(market: Market) -> list[object]:
    return [
        (
            market.last_price(symbol),
            market.best_bid(symbol),
            market.best_ask(symbol),
            market.mark_price(symbol),
            market.index_price(symbol),
            market.depth(symbol, 30),
            market.forming(symbol, "1m"),
            market.forming(symbol, "5m"),
            market.klines(symbol, "15m", None, None, 20),
            market.agg_trades(symbol, None, None, None, 200),
        )
        for symbol in market.specs
    ]


def test_events_come_in_time_order_closes_before_trades_and_ties_by_symbol() -> None:
    market = small_market(20, start_ms=START + 17_000)
    order = {symbol: number for number, symbol in enumerate(market.specs)}
    keys = []
    for event in market.advance(START + 5 * MINUTE_MS):
        assert market.now_ms == event.time_ms
        keys.append((event.time_ms, isinstance(event, MarketTrade), order[event.symbol]))
    assert keys == sorted(keys)
    assert sum(not is_trade for _, is_trade, _ in keys) == 20 * 5
    assert market.now_ms == START + 5 * MINUTE_MS


def test_closed_candle_is_the_sum_of_its_trades_for_every_symbol() -> None:
    market = small_market(30, start_ms=START)
    trades: dict[str, list[MarketTrade]] = defaultdict(list)
    closed = 0
    for event in market.advance(START + 3 * MINUTE_MS):
        if isinstance(event, MarketTrade):
            trades[event.symbol].append(event)
            continue
        made, view = trades.pop(event.symbol), event.kline
        prices = [one.price for one in made]
        bought = [one for one in made if not one.buyer_is_maker]
        assert (view.open, view.high, view.low, view.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert view.volume == sum(one.quantity for one in made)
        assert view.quote_volume == sum(one.quantity * one.price for one in made)
        assert view.taker_buy_volume == sum(one.quantity for one in bought)
        assert view.taker_buy_quote_volume == sum(one.quantity * one.price for one in bought)
        assert (view.first_trade_id, view.last_trade_id) == (made[0].first_id, made[-1].last_id)
        assert view.trade_count == made[-1].last_id - made[0].first_id + 1
        assert view.closed
        closed += 1
    assert closed == 90


def test_trade_ids_are_consecutive_for_each_symbol() -> None:
    by_symbol: dict[str, list[MarketTrade]] = defaultdict(list)
    for event in play(small_market(5), 10 * MINUTE_MS):
        if isinstance(event, MarketTrade):
            by_symbol[event.symbol].append(event)
    for made in by_symbol.values():
        assert all(after.agg_id == before.agg_id + 1 for before, after in pairwise(made))
        assert all(after.first_id == before.last_id + 1 for before, after in pairwise(made))


def test_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    assert play(small_market(4), 2 * MINUTE_MS) == play(small_market(4), 2 * MINUTE_MS)
    assert play(small_market(4), 2 * MINUTE_MS) != play(small_market(4, seed=8), 2 * MINUTE_MS)


def test_advance_in_any_slices_gives_the_same_events() -> None:
    whole = play(small_market(4), 3 * MINUTE_MS)
    market, pieces = small_market(4), []
    while market.now_ms < START + 3 * MINUTE_MS:
        pieces.extend(play(market, min(777, START + 3 * MINUTE_MS - market.now_ms)))
    assert pieces == whole


def test_iterator_that_is_dropped_leaves_the_market_at_the_last_event() -> None:
    whole = play(small_market(4), 2 * MINUTE_MS)
    market, pieces = small_market(4), []
    while len(pieces) < len(whole):
        for event in market.advance(START + 2 * MINUTE_MS):
            pieces.append(event)
            assert market.now_ms == event.time_ms
            if len(pieces) % 3 == 0:
                break
    assert pieces == whole


@pytest.mark.parametrize("offset_ms", [0, 1, 29_999, 59_999, 60_000, 3_725_001])
def test_seek_stands_where_playing_would_have_led(offset_ms: int) -> None:
    played, jumped = small_market(4), small_market(4)
    play(played, offset_ms)
    jumped.seek(START + offset_ms)
    assert jumped.now_ms == played.now_ms
    assert state(jumped) == state(played)
    assert play(jumped, 2 * MINUTE_MS) == play(played, 2 * MINUTE_MS)


def test_seek_before_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match="before the market's start"):
        small_market(1).seek(START - 1)


def test_market_that_starts_inside_a_minute_has_played_its_beginning() -> None:
    market = small_market(1, start_ms=START + 40_000)
    view = market.forming("BTCUSDT", "1m")
    assert (view.open_time_ms, view.closed) == (START, False)
    assert view.trade_count > 0
    first = next(iter(market.advance(START + MINUTE_MS)))
    assert isinstance(first, MarketTrade)
    assert first.first_id == view.last_trade_id + 1


def test_forming_candle_without_a_trade_is_flat_at_the_last_price() -> None:
    market = small_market(1, start_ms=START)
    view = market.forming("BTCUSDT", "1m")
    assert view.open == view.high == view.low == view.close == market.last_price("BTCUSDT")
    assert (view.volume, view.trade_count, view.first_trade_id, view.last_trade_id) == (0, 0, -1, -1)


def test_klines_of_history_go_on_without_a_gap_into_what_is_played() -> None:
    market = small_market(2)
    play(market, 5 * MINUTE_MS + 30_000)
    views = market.klines("ETHUSDT", "1m", None, None, 1500)
    assert len(views) == 1500
    assert all(after.open_time_ms == before.open_time_ms + MINUTE_MS for before, after in pairwise(views))
    assert all(after.first_trade_id == before.last_trade_id + 1 for before, after in pairwise(views))
    assert [view.closed for view in views[-2:]] == [True, False]
    assert views[-1] == market.forming("ETHUSDT", "1m")


def test_closed_event_equals_the_kline_that_is_asked_for_afterwards() -> None:
    market = small_market(2)
    closed = [event for event in play(market, 10 * MINUTE_MS) if isinstance(event, KlineClosed)]
    for symbol in market.specs:
        mine = [event.kline for event in closed if event.symbol == symbol]
        assert market.klines(symbol, "1m", START, START + 10 * MINUTE_MS - 1, 100) == mine


@pytest.mark.parametrize("interval", ["1m", "5m", "1h"])
def test_klines_from_a_start_are_the_first_ones_and_up_to_an_end_the_last(interval: str) -> None:
    market = small_market(1)
    play(market, MINUTE_MS // 2)
    everything = market.klines("BTCUSDT", interval, None, None, 40)
    opens = [view.open_time_ms for view in everything]
    assert market.klines("BTCUSDT", interval, opens[3], None, 5) == everything[3:8]
    assert market.klines("BTCUSDT", interval, opens[3] - 1, None, 5) == everything[3:8]
    assert market.klines("BTCUSDT", interval, opens[3] + 1, opens[6], 50) == everything[4:7]
    assert market.klines("BTCUSDT", interval, None, opens[9] + 1, 4) == everything[6:10]
    assert market.klines("BTCUSDT", interval, market.now_ms + 1, None, 4) == []
    assert market.klines("BTCUSDT", interval, opens[0], None, 1000) == everything
    assert market.klines("BTCUSDT", interval, opens[9], opens[3], 10) == []


def test_larger_klines_limit_and_start_hold_for_weeks_and_months() -> None:
    market = small_market(1)
    assert len(market.klines("BTCUSDT", "1w", None, None, 10)) in (2, 3)
    assert [view.open_time_ms for view in market.klines("BTCUSDT", "1M", None, None, 10)] == [
        NEW_YEAR_MS - 31 * DAY_MS,
        NEW_YEAR_MS,
    ]
    assert len(market.klines("BTCUSDT", "1M", 0, None, 1000)) == 2


def test_agg_trades_are_what_was_played() -> None:
    market = small_market(2)
    made = [event for event in play(market, 4 * MINUTE_MS + 20_000) if isinstance(event, MarketTrade)]
    mine = [event for event in made if event.symbol == "ETHUSDT"]
    assert market.agg_trades("ETHUSDT", None, None, None, len(mine)) == mine
    assert market.agg_trades("ETHUSDT", mine[5].agg_id, None, None, 7) == mine[5:12]
    assert market.agg_trades("ETHUSDT", None, mine[8].time_ms, mine[20].time_ms, 500) == mine[8:21]
    assert market.agg_trades("ETHUSDT", None, None, mine[20].time_ms, 3) == mine[18:21]
    assert market.agg_trades("ETHUSDT", mine[-1].agg_id + 1, None, None, 10) == []


def test_agg_trades_before_the_start_come_from_history() -> None:
    market = small_market(1)
    before = market.agg_trades("BTCUSDT", None, START - HOUR_MS, None, 1000)
    assert before[0].time_ms >= START - HOUR_MS
    assert before[-1].time_ms < START
    assert len(before) > 400


def test_mark_price_lies_between_index_and_last_or_at_the_carried_index() -> None:
    market = small_market(3)
    for event in market.advance(START + 5 * MINUTE_MS):
        symbol = event.symbol
        mark, last, index = market.mark_price(symbol), market.last_price(symbol), market.index_price(symbol)
        assert mark == mark.quantize(Decimal("0.00000001"))
        assert abs(mark / last - 1) < Decimal("0.01")
        assert min(index, last) * Decimal("0.9999999") <= mark <= max(index, last) * Decimal("1.001")


def test_index_is_the_mean_of_the_minute_so_far() -> None:
    market = small_market(1, start_ms=START)
    prices = [market.last_price("BTCUSDT")]
    for event in market.advance(START + MINUTE_MS - 1):
        prices.append(event.price)
        assert market.index_price("BTCUSDT") == (sum(prices) / len(prices)).quantize(Decimal("0.00000001"))


def test_funding_comes_at_its_hours_with_a_steady_rate() -> None:
    market = small_market(20)
    assert market.next_funding_ms("BTCUSDT") == NEW_YEAR_MS + 8 * HOUR_MS
    assert market.next_funding_ms("SYM020USDT") == NEW_YEAR_MS + 8 * HOUR_MS
    assert market.specs["SYM020USDT"].funding_interval_hours == 4
    rate = market.funding_rate("BTCUSDT")
    market.seek(NEW_YEAR_MS + 8 * HOUR_MS - 1)
    assert market.funding_rate("BTCUSDT") == rate
    market.seek(NEW_YEAR_MS + 8 * HOUR_MS)
    assert market.next_funding_ms("BTCUSDT") == NEW_YEAR_MS + 16 * HOUR_MS
    assert market.next_funding_ms("SYM020USDT") == NEW_YEAR_MS + 12 * HOUR_MS
    assert market.funding_history("BTCUSDT")[-1].rate == rate
    assert market.funding_history("BTCUSDT")[-1].time_ms == NEW_YEAR_MS + 8 * HOUR_MS


def test_funding_history_rises_and_honours_start_end_and_limit() -> None:
    market = small_market(1)
    points = market.funding_history("BTCUSDT", None, None, 1000)
    assert len(points) >= 9
    assert all(after.time_ms == before.time_ms + 8 * HOUR_MS for before, after in pairwise(points))
    assert market.funding_history("BTCUSDT", points[2].time_ms, points[5].time_ms, 100) == points[2:6]
    assert market.funding_history("BTCUSDT", points[2].time_ms, None, 2) == points[2:4]
    assert market.funding_history("BTCUSDT", None, None, 3) == points[-3:]
    assert len({point.rate for point in points}) > 5
    assert all(abs(point.rate) <= market.specs["BTCUSDT"].funding_rate_cap for point in points)


def test_values_are_on_the_grid_and_print_plainly() -> None:
    market = small_market(15)
    for event in play(market, MINUTE_MS):
        if isinstance(event, MarketTrade):
            rules = market.specs[event.symbol].instrument
            assert rules.is_on_tick(event.price)
            assert rules.is_on_step(event.quantity)
            assert "E" not in format(event.price, "f")


def test_unknown_symbol_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        small_market(1).last_price("NOPEUSDT")
