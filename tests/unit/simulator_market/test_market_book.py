"""Quotes and depth: never crossed, on the grid, the same for the same instant."""

from __future__ import annotations

from simulator.market.book import side_levels, touch
from tests.unit.simulator_market.markets import small_market


def test_touch_puts_the_last_trade_on_the_side_that_its_taker_took() -> None:
    assert touch(100, True, 2) == (98, 100)
    assert touch(100, False, 2) == (100, 102)


def test_touch_never_falls_below_one_tick() -> None:
    assert touch(1, True, 1) == (1, 2)
    assert touch(1, False, 3) == (1, 4)


def test_few_levels_equal_the_start_of_many() -> None:
    for direction in (-1, 1):
        few = side_levels(77, 5000, direction, count=8, level_steps=120.0, now_ms=123_456)
        many = side_levels(77, 5000, direction, count=100, level_steps=120.0, now_ms=123_456)
        assert (many[0][:8], many[1][:8]) == few


def test_bids_end_at_one_tick() -> None:
    ticks, quantities = side_levels(1, 5, -1, count=20, level_steps=0.01, now_ms=0)
    assert ticks == [5, 4, 3, 2, 1]
    assert min(quantities) >= 1


def test_depth_stays_uncrossed_and_on_the_grid_while_the_market_plays() -> None:
    market = small_market(12)
    rules = {symbol: spec.instrument for symbol, spec in market.specs.items()}
    for event in market.advance(market.start_ms + 90_000):
        symbol = event.symbol
        bids, asks = market.depth(symbol, 5)
        assert bids[0][0] == market.best_bid(symbol) < market.best_ask(symbol) == asks[0][0]
        assert market.best_ask(symbol) - market.best_bid(symbol) == (
            market.specs[symbol].spread_ticks * rules[symbol].tick_size
        )
        assert market.last_price(symbol) in (bids[0][0], asks[0][0])
        assert [price for price, _ in bids] == sorted((price for price, _ in bids), reverse=True)
        assert [price for price, _ in asks] == sorted(price for price, _ in asks)
        for price, quantity in bids + asks:
            assert rules[symbol].is_on_tick(price)
            assert rules[symbol].is_on_step(quantity)
            assert quantity > 0


def test_depth_is_the_same_when_asked_again_and_changes_in_time() -> None:
    market = small_market(1)
    before = market.depth("BTCUSDT", 20)
    assert market.depth("BTCUSDT", 20) == before
    for _ in market.advance(market.start_ms + 12_000):
        pass
    assert market.depth("BTCUSDT", 20) != before


def test_level_quantity_is_about_the_stated_one_at_the_touch() -> None:
    market = small_market(1)
    stated = market.specs["BTCUSDT"].level_quantity
    seen = []
    for _ in market.advance(market.start_ms + 600_000):
        seen.append(market.depth("BTCUSDT", 1)[0][0][1])
    assert 0.8 * float(stated) < float(sum(seen)) / len(seen) < 1.2 * float(stated)
