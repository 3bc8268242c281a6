"""Faults of streams: single frames, whole connections, listen keys, and candles over a gap."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from simulator.faults.streams import FaultySession, frame_names
from simulator.server.stream_names import Category
from tests.unit.simulator_faults.support import BTC, ORDER, D, FaultyVenue

KLINE, MARK = "btcusdt@kline_1m", "btcusdt@markPrice@1s"
SUBSCRIBE = f'{{"method":"SUBSCRIBE","params":["{KLINE}"],"id":7}}'


@pytest.fixture
def venue() -> FaultyVenue:
    return FaultyVenue()


def taken(session: FaultySession) -> list[bytes]:
    found = list(session.outgoing)
    session.outgoing.clear()
    return found


def events(session: FaultySession) -> list[str]:
    """Return the event types of the frames that wait, and remove them."""
    return [orjson.loads(frame)["data"]["e"] for frame in taken(session)]


def buy(venue: FaultyVenue) -> None:
    venue.call("POST", "/fapi/v1/order", **ORDER)


SOUND = ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE"]


def test_sound_frames_pass_unchanged(venue: FaultyVenue) -> None:
    session = venue.user_stream()
    buy(venue)
    assert events(session) == SOUND


def test_muted_user_stream_is_silent_while_the_market_goes_on_and_frames_are_lost(venue: FaultyVenue) -> None:
    user, market = venue.user_stream(), venue.connect(Category.MARKET, KLINE, MARK)
    venue.inject("stream_mute", for_ms=2_000, target="private")
    buy(venue)
    venue.wait(1_500)
    assert events(user) == [] and events(market)
    venue.wait(1_000)
    assert events(user) == []
    buy(venue)
    assert events(user) == SOUND


@pytest.mark.parametrize(
    ("target", "left"), [(KLINE, "markPriceUpdate"), (MARK, "kline"), ("kline", "markPriceUpdate")]
)
@pytest.mark.parametrize("is_combined", [True, False])
def test_mute_of_one_stream_leaves_the_others_of_its_connection(
    venue: FaultyVenue, target: str, left: str, is_combined: bool
) -> None:
    session = venue.connect(Category.MARKET, KLINE, MARK, is_combined=is_combined)
    venue.inject("stream_mute", for_ms=60_000, target=target)
    venue.wait(10_000)
    frames = [orjson.loads(frame) for frame in taken(session)]
    assert {(frame["data"] if is_combined else frame)["e"] for frame in frames} == {left}


def test_frames_are_dropped_and_doubled_by_their_index(venue: FaultyVenue) -> None:
    session = venue.user_stream()
    venue.inject("stream_drop", target="ORDER_TRADE_UPDATE", skip=1)
    venue.inject("stream_duplicate", target="ACCOUNT_UPDATE", amount=2)
    buy(venue)
    assert events(session) == ["ORDER_TRADE_UPDATE", *["ACCOUNT_UPDATE"] * 3, "TRADE_LITE"]


def test_reordered_frames_come_backwards_and_none_is_lost(venue: FaultyVenue) -> None:
    session = venue.user_stream()
    venue.inject("stream_reorder", target="private", count=6, amount=4)
    buy(venue)
    assert events(session) == SOUND[::-1]
    buy(venue)
    assert events(session) == SOUND[2:]
    venue.wait(2_000)
    assert events(session) == SOUND[1::-1]


def test_delayed_frames_come_later_in_their_order(venue: FaultyVenue) -> None:
    session = venue.user_stream()
    venue.inject("stream_delay", target="ORDER_TRADE_UPDATE", count=2, amount=3_000)
    buy(venue)
    assert events(session) == ["ACCOUNT_UPDATE", "TRADE_LITE"]
    venue.wait(2_999)
    assert events(session) == []
    venue.wait(1)
    assert events(session) == ["ORDER_TRADE_UPDATE"] * 2


def test_malformed_frame_is_no_json_and_the_next_one_is_sound(venue: FaultyVenue) -> None:
    session = venue.user_stream()
    venue.inject("stream_malformed", target="private")
    buy(venue)
    first, *others = taken(session)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(first)
    assert [orjson.loads(frame)["data"]["e"] for frame in others] == SOUND[1:]


def test_half_open_connection_is_dead_for_good_and_a_new_one_is_not(venue: FaultyVenue) -> None:
    old = venue.user_stream()
    venue.inject("stream_half_open", target="private")
    venue.wait(0)
    new = venue.user_stream()
    known = dict(old.names)
    old.receive(SUBSCRIBE, venue.hub)
    assert old.names == known
    buy(venue)
    venue.wait(60_000)
    assert taken(old) == [] and old.must_close is None
    assert events(new) == SOUND


@pytest.mark.parametrize(("part", "closed"), [("private", [1001, None]), ("market", [None, 1001]), ("", [1001, 1001])])
def test_close_reaches_the_connections_of_its_part(venue: FaultyVenue, part: str, closed: list[int | None]) -> None:
    sessions = [venue.user_stream(), venue.connect(Category.MARKET, KLINE)]
    venue.inject("stream_close", target=part, amount=1001)
    venue.wait(0)
    assert [session.close_code for session in sessions] == closed
    assert [session.must_close is not None for session in sessions] == [code is not None for code in closed]


def test_connections_are_refused_for_the_time_of_the_fault(venue: FaultyVenue) -> None:
    venue.inject("stream_refuse", for_ms=1_000, target="private")
    assert venue.desk.streams.is_refused(Category.PRIVATE) and not venue.desk.streams.is_refused(Category.MARKET)
    venue.wait(1_000)
    assert not venue.desk.streams.is_refused(Category.PRIVATE)


@pytest.mark.parametrize(("kind", "replies"), [("subscribe_ignore", 0), ("subscribe_reject", 1)])
def test_subscription_that_is_ignored_or_refused_brings_nothing(venue: FaultyVenue, kind: str, replies: int) -> None:
    session = venue.connect(Category.MARKET)
    venue.inject(kind, target="market")
    session.receive('{"method":"LIST_SUBSCRIPTIONS","id":1}', venue.hub)
    session.receive(SUBSCRIBE, venue.hub)
    found = taken(session)[1:]
    assert len(found) == replies
    assert all(orjson.loads(frame) | {"error": 0} == {"error": 0, "id": 7} for frame in found)
    venue.wait(2_000)
    assert taken(session) == []
    session.receive(SUBSCRIBE, venue.hub)
    venue.wait(2_000)
    assert len(taken(session)) > 1


@pytest.mark.parametrize(("detail", "told"), [("event", ["listenKeyExpired"]), ("silent", [])])
def test_expired_listen_key_ends_the_user_stream_with_or_without_a_word(
    venue: FaultyVenue, detail: str, told: list[str]
) -> None:
    session = venue.user_stream()
    venue.inject("listen_key_expire", detail=detail)
    venue.wait(10)
    assert events(session) == told
    buy(venue)
    assert events(session) == [] and session.must_close is None
    assert venue.error("PUT", "/fapi/v1/listenKey") == (400, -1125)
    again = venue.user_stream()
    buy(venue)
    assert events(again) == SOUND


def test_replies_to_control_frames_are_never_bent(venue: FaultyVenue) -> None:
    session = venue.connect(Category.MARKET)
    venue.inject("stream_mute", for_ms=60_000)
    session.receive(SUBSCRIBE, venue.hub)
    assert [orjson.loads(frame) for frame in taken(session)] == [{"result": None, "id": 7}]


def test_names_of_a_frame() -> None:
    raw = b'{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":1,"T":2,"s":"BTCUSDT","i":"5m"}}'
    assert frame_names(Category.MARKET, raw) == {"market", "kline", "btcusdt@kline_5m"}
    wrapped = b'{"stream":"abc","data":{"e":"ORDER_TRADE_UPDATE","T":1}}'
    assert frame_names(Category.PRIVATE, wrapped) == {"private", "abc", "ORDER_TRADE_UPDATE"}
    assert frame_names(Category.PUBLIC, b"{}") == {"public"}


def test_candles_over_a_gap_hang_together_and_earlier_ones_stay(venue: FaultyVenue) -> None:
    venue.wait(90_000)
    before = venue.call("GET", "/fapi/v1/klines", symbol=BTC, interval="1m", limit=5)
    venue.inject("price_gap", for_ms=120_000, amount="-0.05", target=BTC)
    session = venue.connect(Category.MARKET, KLINE)
    for _ in range(30):
        venue.wait(10_000)
    rows: list[list[Any]] = venue.call("GET", "/fapi/v1/klines", symbol=BTC, interval="1m", limit=10)
    found = {row[0]: [D(str(value)) for value in row[1:5]] for row in rows}
    for row in before[:-1]:
        assert found[row[0]] == [D(str(value)) for value in row[1:5]]
    for opened, high, low, closed in found.values():
        assert low <= min(opened, closed) and max(opened, closed) <= high
    gapped = found[before[-1][0]]
    assert gapped[3] < gapped[0] * D("0.96")
    lows = [low for _, _, low, _ in found.values()]
    assert min(lows) < max(lows) * D("0.96")
    frames = [orjson.loads(frame)["data"]["k"] for frame in taken(session)]
    closes = {frame["t"]: D(frame["c"]) for frame in frames if frame["x"]}
    assert closes and all(found[opened][3] == close for opened, close in closes.items())


def test_quotes_trades_and_marks_move_with_the_gap(venue: FaultyVenue) -> None:
    sound = [D(venue.call("GET", "/fapi/v1/ticker/bookTicker", symbol=BTC)[side]) for side in ("bidPrice", "askPrice")]
    venue.inject("price_gap", for_ms=60_000, amount="0.1", target=BTC)
    venue.wait(0)
    tick = venue.market.specs[BTC].instrument.tick_size
    moved = [D(venue.call("GET", "/fapi/v1/ticker/bookTicker", symbol=BTC)[side]) for side in ("bidPrice", "askPrice")]
    assert all(abs(new - old * D("1.1")) <= tick for old, new in zip(sound, moved, strict=True))
    bids, asks = venue.market.depth(BTC, 20)
    assert bids[0][0] == moved[0] and asks[0][0] == moved[1]
    assert sorted(price for price, _ in asks) == [price for price, _ in asks]
    venue.wait(5_000)
    low, high = moved[0] * D("0.99"), moved[1] * D("1.01")
    recent = venue.call("GET", "/fapi/v1/aggTrades", symbol=BTC, limit=1)
    assert low < D(recent[0]["p"]) < high
    premium = venue.call("GET", "/fapi/v1/premiumIndex", symbol=BTC)
    assert low < D(premium["markPrice"]) < high and low < D(premium["indexPrice"]) < high
