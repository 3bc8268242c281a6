"""The live market: what the venue says happens in order, once, and never back in time."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from simulator.market.catalog import CATALOG
from simulator.market.live import LiveMarket, LiveSnapshot
from simulator.market.live_wire import Marking, Quote
from simulator.market.model import KlineClosed, KlineView, MarketEvent, MarketTrade
from tests.unit.simulator_market.markets import MINUTE_MS, NEW_YEAR_MS

START = NEW_YEAR_MS + 10 * MINUTE_MS
FUNDING_MS = NEW_YEAR_MS + 8 * 3_600_000


def candle(minute: int, *, close: str = "101.0", volume: str = "3.000", closed: bool = True) -> KlineView:
    """Candle `minute` minutes after START."""
    opened, price = START + minute * MINUTE_MS, Decimal("100.0")
    return KlineView(
        opened, opened + MINUTE_MS - 1, price, Decimal("102.0"), Decimal("99.0"), Decimal(close), Decimal(volume),
        Decimal(volume) * 100, 7, Decimal("1.000"), Decimal("100.0"), 1000 + minute * 7, 1006 + minute * 7, closed,
    )  # fmt: skip


def market(symbols: int = 1) -> LiveMarket:
    """A market whose candles -5 to -1 are closed and whose candle 0 forms."""
    quote = Quote(Decimal("100.9"), Decimal("2.5"), Decimal("101.0"), Decimal("1.25"))
    marking = Marking(Decimal("100.95"), Decimal("100.9"), Decimal("0.0001"), FUNDING_MS)
    klines = [*(candle(minute) for minute in range(-5, 0)), candle(0, closed=False)]
    specs = list(CATALOG.values())[:symbols]
    return LiveMarket([LiveSnapshot(spec, klines, quote, marking) for spec in specs], START + 5_000)


def trade_event(time_ms: int, price: str = "101.5", agg_id: int = 1) -> dict[str, object]:
    return {"e": "aggTrade", "E": time_ms, "a": agg_id, "s": "BTCUSDT", "p": price, "q": "0.100", "f": agg_id * 2,
            "l": agg_id * 2 + 1, "T": time_ms, "m": True, "st": 1}  # fmt: skip


def kline_event(view: KlineView, time_ms: int) -> dict[str, object]:
    return {"e": "kline", "E": time_ms, "s": "BTCUSDT", "k": {
        "t": view.open_time_ms, "T": view.close_time_ms, "s": "BTCUSDT", "i": "1m", "f": view.first_trade_id,
        "L": view.last_trade_id, "o": str(view.open), "c": str(view.close), "h": str(view.high), "l": str(view.low),
        "v": str(view.volume), "n": view.trade_count, "x": view.closed, "q": str(view.quote_volume),
        "V": str(view.taker_buy_volume), "Q": str(view.taker_buy_quote_volume), "B": "0"}}  # fmt: skip


def happen(live: LiveMarket) -> list[MarketEvent]:
    return list(live.advance(live.newest_ms))


def closed_minutes(events: list[MarketEvent]) -> list[int]:
    return [(one.kline.open_time_ms - START) // MINUTE_MS for one in events if isinstance(one, KlineClosed)]


def test_nothing_happens_before_it_is_advanced() -> None:
    live = market()
    live.feed(trade_event(START + 6_000))
    assert live.last_price("BTCUSDT") == Decimal("101.0")
    assert live.now_ms == START + 5_000
    assert list(live.advance(START + 5_999)) == []
    (trade,) = live.advance(START + 6_000)
    assert trade == MarketTrade(START + 6_000, "BTCUSDT", Decimal("101.5"), Decimal("0.100"), True, 1, 2, 3)
    assert (live.last_price("BTCUSDT"), live.now_ms) == (Decimal("101.5"), START + 6_000)


def test_late_event_is_stamped_with_the_newest_time() -> None:
    live = market()
    live.feed(trade_event(START + 7_000, agg_id=1))
    live.feed(trade_event(START + 6_500, agg_id=2))
    assert [one.time_ms for one in happen(live)] == [START + 7_000, START + 7_000]


def test_quotes_and_marks_are_the_venue_s() -> None:
    live = market()
    quote = {"b": "101.1", "B": "4.0", "a": "101.3", "A": "5.0"}
    live.feed({"e": "bookTicker", "s": "BTCUSDT", "T": START + 6_000, "E": START + 6_000, **quote})
    live.feed({"e": "markPriceUpdate", "E": START + 6_001, "s": "BTCUSDT", "p": "101.2", "i": "101.15", "P": "0",
               "r": "0.00025", "T": FUNDING_MS})  # fmt: skip
    assert happen(live) == []
    assert (live.best_bid("BTCUSDT"), live.best_ask("BTCUSDT")) == (Decimal("101.1"), Decimal("101.3"))
    bids, asks = live.depth("BTCUSDT", 10)
    assert (bids[0], asks[0]) == ((Decimal("101.1"), Decimal("4.0")), (Decimal("101.3"), Decimal("5.0")))
    assert [price for price, _ in bids] == [Decimal("101.1") - Decimal("0.1") * level for level in range(10)]
    assert [price for price, _ in asks] == [Decimal("101.3") + Decimal("0.1") * level for level in range(10)]
    assert all(quantity > 0 and quantity % Decimal("0.001") == 0 for _, quantity in bids + asks)
    assert (live.mark_price("BTCUSDT"), live.index_price("BTCUSDT")) == (Decimal("101.2"), Decimal("101.15"))
    assert live.funding_rate("BTCUSDT") == Decimal("0.00025")


def test_candle_closes_once_and_the_next_one_forms() -> None:
    live = market()
    live.feed(kline_event(candle(0, volume="3.500", closed=False), START + 30_000))
    assert happen(live) == []
    assert live.forming("BTCUSDT", "1m").volume == Decimal("3.500")
    for _ in range(2):  # a duplicate changes nothing
        live.feed(kline_event(candle(0), START + MINUTE_MS + 20))
    (closed,) = happen(live)
    assert closed == KlineClosed("BTCUSDT", "1m", candle(0), START + MINUTE_MS + 20)
    flat = live.forming("BTCUSDT", "1m")
    assert (flat.open_time_ms, flat.volume, flat.close) == (START + MINUTE_MS, 0, live.last_price("BTCUSDT"))
    live.feed(kline_event(candle(1, closed=False), START + MINUTE_MS + 400))
    happen(live)
    assert live.klines("BTCUSDT", "1m", None, None, 3) == [candle(-1), candle(0), candle(1, closed=False)]


def test_candle_after_a_gap_waits_until_the_missing_ones_are_told() -> None:
    live = market()
    live.feed(kline_event(candle(2), START + 3 * MINUTE_MS))
    assert happen(live) == []
    assert live.gaps == {"BTCUSDT"}
    assert live.missing_from_ms("BTCUSDT") == START
    told = [candle(0), candle(1), candle(2), candle(3, closed=False)]
    live.mend("BTCUSDT", told, START + 3 * MINUTE_MS + 500)
    assert closed_minutes(happen(live)) == [0, 1, 2]
    assert live.gaps == set()
    live.feed(kline_event(candle(3), START + 4 * MINUTE_MS))
    assert closed_minutes(happen(live)) == [3]


def test_candle_that_the_venue_does_not_have_is_passed_over() -> None:
    live = market()
    live.mend("BTCUSDT", [candle(0), candle(3), candle(4, closed=False)], START + 4 * MINUTE_MS + 1)
    assert closed_minutes(happen(live)) == [0, 3]
    assert live.forming("BTCUSDT", "1m") == candle(4, closed=False)


def test_candle_newer_than_what_was_told_is_held_back_when_one_between_is_still_open() -> None:
    live = market()
    live.feed(kline_event(candle(2), START + 3 * MINUTE_MS))
    live.mend("BTCUSDT", [candle(0), candle(1, closed=False)], START + 3 * MINUTE_MS + 1)  # told just before the close
    assert closed_minutes(happen(live)) == [0]
    assert live.gaps == {"BTCUSDT"}
    live.mend("BTCUSDT", [candle(1), candle(2), candle(3, closed=False)], START + 3 * MINUTE_MS + 900)
    assert closed_minutes(happen(live)) == [1, 2]


def test_older_state_of_the_forming_candle_does_not_replace_a_newer_one() -> None:
    live = market()
    live.feed(kline_event(candle(0, volume="9.000", closed=False), START + 30_000))
    live.mend("BTCUSDT", [candle(0, volume="8.000", closed=False)], START + 29_000)
    happen(live)
    assert live.forming("BTCUSDT", "1m").volume == Decimal("9.000")


def test_larger_candles_are_sums_of_the_minutes() -> None:
    live = market()
    (view,) = live.klines("BTCUSDT", "15m", None, None, 5)
    assert (view.open_time_ms, view.close_time_ms) == (NEW_YEAR_MS, NEW_YEAR_MS + 15 * MINUTE_MS - 1)
    assert (view.volume, view.trade_count, view.closed) == (Decimal("18.000"), 42, False)
    assert view.first_trade_id == candle(-5).first_trade_id
    assert view.last_trade_id == candle(0).last_trade_id
    assert live.forming("BTCUSDT", "15m") == view
    five = live.klines("BTCUSDT", "5m", None, None, 5)
    assert [one.closed for one in five] == [True, False]
    assert live.klines("BTCUSDT", "1m", START - 2 * MINUTE_MS, START - MINUTE_MS, 9) == [candle(-2), candle(-1)]


def test_trades_are_kept_for_those_who_ask() -> None:
    live = market()
    for number in range(6):
        live.feed(trade_event(START + 6_000 + number, agg_id=number))
    made = happen(live)
    assert live.agg_trades("BTCUSDT", None, None, None, 4) == made[2:]
    assert live.agg_trades("BTCUSDT", 1, None, None, 2) == made[1:3]
    assert live.agg_trades("BTCUSDT", None, START + 6_003, START + 6_004, 10) == made[3:5]


def test_funding_that_has_passed_joins_the_history() -> None:
    live = market()
    following = FUNDING_MS + 8 * 3_600_000
    live.feed({"e": "markPriceUpdate", "E": FUNDING_MS + 900, "s": "BTCUSDT", "p": "101.2", "i": "101.1", "P": "0",
               "r": "0.0003", "T": following})  # fmt: skip
    happen(live)
    assert [(one.time_ms, one.rate) for one in live.funding_history("BTCUSDT")] == [(FUNDING_MS, Decimal("0.0001"))]
    assert live.next_funding_ms("BTCUSDT") == following


def test_unknown_events_and_symbols_are_passed_over_and_bad_ones_raise() -> None:
    live = market()
    live.feed({"e": "forceOrder", "s": "BTCUSDT"})
    live.feed({**trade_event(START + 6_000), "s": "OTHERUSDT"})
    assert happen(live) == []
    with pytest.raises(KeyError):
        live.feed({"e": "aggTrade", "s": "BTCUSDT", "T": START})
    bad = kline_event(candle(0), START + MINUTE_MS)
    bad["k"] = {**bad["k"], "i": "5m"}  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="no 1m candle"):
        live.feed(bad)


def test_market_of_closed_candles_only_forms_the_next_minute() -> None:
    spec = CATALOG["BTCUSDT"]
    snapshot = LiveSnapshot(spec, [candle(-1)], *_quote_and_marking())
    live = LiveMarket([snapshot], START + 1)
    assert live.forming("BTCUSDT", "1m").open_time_ms == START
    assert replace(snapshot).spec is spec


def _quote_and_marking() -> tuple[Quote, Marking]:
    one = Decimal(1)
    return Quote(one, one, one + one, one), Marking(one, one, Decimal(0), FUNDING_MS)
