"""The stream hub: who gets which frame, when, and in which form."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest

from simulator.market.intervals import open_time
from simulator.server.listen_keys import LIFE_MS
from simulator.server.session import MAX_BACKLOG, MAX_STREAMS, Session
from simulator.server.stream_names import Category, Kind, parse
from tests.unit.simulator_server.support import START_MS, Desk, frames

MINUTE = 60_000


def closed(found: list[Any]) -> list[int]:
    return [frame["k"]["t"] for frame in found if frame["e"] == "kline" and frame["k"]["x"]]


def order(desk: Desk) -> None:
    desk.call("POST", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.010")


@pytest.mark.parametrize(
    ("text", "kind", "category", "period_ms"),
    [
        ("btcusdt@kline_1m", Kind.KLINE, Category.MARKET, 0),
        ("btcusdt@kline_1M", Kind.KLINE, Category.MARKET, 0),
        ("btcusdt@markPrice", Kind.MARK_PRICE, Category.MARKET, 3000),
        ("btcusdt@markPrice@1s", Kind.MARK_PRICE, Category.MARKET, 1000),
        ("btcusdt@aggTrade", Kind.AGG_TRADE, Category.MARKET, 0),
        ("btcusdt@bookTicker", Kind.BOOK_TICKER, Category.PUBLIC, 0),
        ("btcusdt@depth", Kind.DEPTH, Category.PUBLIC, 250),
        ("btcusdt@depth@100ms", Kind.DEPTH, Category.PUBLIC, 100),
        ("btcusdt@depth20@500ms", Kind.DEPTH, Category.PUBLIC, 500),
    ],
)
def test_stream_names_are_understood(text: str, kind: Kind, category: Category, period_ms: int) -> None:
    name = parse(text)
    assert name is not None
    assert (name.kind, name.category, name.period_ms, name.symbol) == (kind, category, period_ms, "BTCUSDT")


@pytest.mark.parametrize(
    "text",
    [
        "BTCUSDT@kline_1m",
        "btcusdt@kline_7m",
        "btcusdt@kline",
        "btcusdt@kline_1m@1s",
        "btcusdt@depth7",
        "btcusdt@depth@1s",
        "btcusdt@markPrice@2s",
        "btcusdt@aggTrade@100ms",
        "btcusdt@aggTrade5",
        "!markPrice@arr@2s",
        "btcusdt",
        "0",
        "",
    ],
)
def test_other_names_are_not_streams(text: str) -> None:
    assert parse(text) is None


def test_every_candle_is_closed_exactly_once_and_never_followed_by_its_own_forming_frame(desk: Desk) -> None:
    session = desk.connect(Category.MARKET, "btcusdt@kline_1m")
    for _ in range(400):
        desk.play(777, wall_ms=100)
    found = frames(session)
    ends = closed(found)
    assert ends == list(range(START_MS, START_MS + len(ends) * MINUTE, MINUTE))
    assert len(ends) == 400 * 777 // MINUTE
    finished: set[int] = set()
    for frame in found:
        assert frame["k"]["t"] not in finished
        if frame["k"]["x"]:
            finished.add(frame["k"]["t"])
            assert frame["E"] == frame["k"]["T"] + 1


def test_no_closing_frame_is_lost_when_one_slice_holds_many_minutes(desk: Desk) -> None:
    session = desk.connect(Category.MARKET, "btcusdt@kline_1m", "btcusdt@kline_5m")
    desk.play(20 * MINUTE, wall_ms=10)
    found = frames(session)
    assert len([f for f in found if f["k"]["x"] and f["k"]["i"] == "1m"]) == 20
    assert len([f for f in found if f["k"]["x"] and f["k"]["i"] == "5m"]) == 4


def test_forming_frames_come_at_most_every_250_ms_of_wall_time(desk: Desk) -> None:
    session = desk.connect(Category.MARKET, "btcusdt@kline_1m")
    for _ in range(100):
        desk.play(500, wall_ms=10)
    forming = [frame for frame in frames(session) if not frame["k"]["x"]]
    assert 1 <= len(forming) <= 5


@pytest.mark.parametrize("interval", ["3m", "15m", "1h"])
def test_larger_candles_close_with_the_sums_of_their_minutes(desk: Desk, interval: str) -> None:
    session = desk.connect(Category.MARKET, "btcusdt@kline_1m", f"btcusdt@kline_{interval}")
    for _ in range(61):
        desk.play(MINUTE, wall_ms=1)
    found = frames(session)
    minutes = {f["k"]["t"]: f["k"] for f in found if f["k"]["i"] == "1m" and f["k"]["x"]}
    larger = [f["k"] for f in found if f["k"]["i"] == interval and f["k"]["x"]]
    assert larger
    for candle in larger:
        parts = [minutes[t] for t in sorted(minutes) if open_time(interval, t) == candle["t"]]
        assert Decimal(candle["o"]) == Decimal(parts[0]["o"])
        assert Decimal(candle["c"]) == Decimal(parts[-1]["c"])
        assert Decimal(candle["h"]) == max(Decimal(part["h"]) for part in parts)
        assert Decimal(candle["v"]) == sum(Decimal(part["v"]) for part in parts)
        assert Decimal(candle["q"]) == sum(Decimal(part["q"]) for part in parts)
        assert candle["n"] == sum(part["n"] for part in parts)


def test_streamed_candle_equals_the_rest_one(desk: Desk) -> None:
    session = desk.connect(Category.MARKET, "btcusdt@kline_1m")
    desk.play(3 * MINUTE)
    rows = desk.call("GET", "/fapi/v1/klines", symbol="BTCUSDT", interval="1m", startTime=START_MS, limit=3)
    streamed = [frame["k"] for frame in frames(session) if frame["k"]["x"]]
    for row, candle in zip(rows, streamed, strict=True):
        assert row == [candle[key] for key in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q")] + ["0"]


def test_aggregate_trades_are_complete_and_consecutive(desk: Desk) -> None:
    session = desk.connect(Category.MARKET, "btcusdt@aggTrade")
    desk.play(5 * MINUTE)
    found = frames(session)
    assert [f["a"] for f in found] == list(range(found[0]["a"], found[0]["a"] + len(found)))
    candles = desk.call("GET", "/fapi/v1/klines", symbol="BTCUSDT", interval="1m", startTime=START_MS, limit=5)
    assert sum(Decimal(f["q"]) for f in found) == sum(Decimal(row[5]) for row in candles)


@pytest.mark.parametrize(("name", "count"), [("btcusdt@markPrice@1s", 6), ("btcusdt@markPrice", 2)])
def test_mark_prices_follow_the_wall_clock(desk: Desk, name: str, count: int) -> None:
    session = desk.connect(Category.MARKET, name)
    for _ in range(60):
        desk.play(6000, wall_ms=100)
    assert len(frames(session)) in (count, count + 1)


def test_mark_prices_of_all_symbols_come_in_one_frame(desk: Desk) -> None:
    both = desk.connect(Category.MARKET, "!markPrice@arr@1s", "btcusdt@markPrice@1s")
    for _ in range(30):
        desk.play(6000, wall_ms=100)
    found = frames(both)
    arrays, singles = [f for f in found if isinstance(f, list)], [f for f in found if isinstance(f, dict)]
    assert len(arrays) == len(singles) in (3, 4)
    assert [row["s"] for row in arrays[0]] == list(desk.precisions)
    assert [next(row for row in rows if row["s"] == "BTCUSDT") for rows in arrays] == singles


def test_mark_prices_of_all_symbols_end_with_their_last_listener(desk: Desk) -> None:
    session = desk.connect(Category.MARKET, "!markPrice@arr@1s")
    desk.hub.leave(session, "!markPrice@arr@1s")
    desk.play(6000, wall_ms=5_000)
    assert frames(session) == []


def test_book_ticker_comes_only_when_the_touch_changes(desk: Desk) -> None:
    session = desk.connect(Category.PUBLIC, "btcusdt@bookTicker")
    for _ in range(300):
        desk.play(200, wall_ms=10)
    found = frames(session)
    tops = [(f["b"], f["B"], f["a"], f["A"]) for f in found]
    assert len(tops) > 3
    assert all(before != after for before, after in pairwise(tops))
    assert all(Decimal(f["b"]) < Decimal(f["a"]) for f in found)


def test_local_book_built_the_documented_way_equals_the_exchanges(desk: Desk) -> None:
    session = desk.connect(Category.PUBLIC, "btcusdt@depth@100ms")
    events: list[Any] = []
    for step in range(120):
        desk.play(1_500, wall_ms=40)
        events += frames(session)
        if step == 30:
            snapshot = desk.call("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
    book = {side: {Decimal(p): Decimal(q) for p, q in snapshot[side]} for side in ("bids", "asks")}
    usable = [event for event in events if event["u"] >= snapshot["lastUpdateId"]]
    assert usable[0]["U"] <= snapshot["lastUpdateId"] <= usable[0]["u"]
    for before, after in pairwise(usable):
        assert after["pu"] == before["u"]
        assert after["U"] > after["pu"]
    for event in usable:
        for side, key in (("bids", "b"), ("asks", "a")):
            for price, quantity in event[key]:
                book[side][Decimal(price)] = Decimal(quantity)
    book = {side: {p: q for p, q in levels.items() if q} for side, levels in book.items()}
    desk.wall_ms += 1000
    desk.hub.tick(desk.wall_ms)
    for event in frames(session):
        for side, key in (("bids", "b"), ("asks", "a")):
            book[side] |= {Decimal(p): Decimal(q) for p, q in event[key]}
    bids, asks = desk.market.depth("BTCUSDT", 200)
    for side, levels in (("bids", bids), ("asks", asks)):
        known = {p: q for p, q in book[side].items() if q}
        assert {price: known.get(price) for price, _ in levels} == dict(levels)


def test_a_level_that_a_snapshot_showed_is_sent_again_even_if_it_changed_back(desk: Desk) -> None:
    session = desk.connect(Category.PUBLIC, "btcusdt@depth@100ms")
    desk.play(1, wall_ms=100)
    frames(session)
    bids, asks = desk.market.depth("BTCUSDT", 5)
    shown = [(price, quantity + 1) for price, quantity in bids]
    desk.hub.note_book_shown("BTCUSDT", shown, asks)
    desk.play(1, wall_ms=100)
    sent = {Decimal(price): Decimal(quantity) for price, quantity in frames(session)[0]["b"]}
    assert {price: sent[price] for price, _ in bids} == dict(bids)


def test_partial_books_have_their_levels_best_first(desk: Desk) -> None:
    session = desk.connect(Category.PUBLIC, "btcusdt@depth5@100ms", "btcusdt@depth20@100ms")
    for _ in range(20):
        desk.play(5_000, wall_ms=100)
    found = frames(session)
    assert {len(frame["b"]) for frame in found} == {5, 20}
    for frame in found:
        bids, asks = [Decimal(p) for p, _ in frame["b"]], [Decimal(p) for p, _ in frame["a"]]
        assert bids == sorted(bids, reverse=True) and asks == sorted(asks) and bids[0] < asks[0]


def test_wrong_category_unknown_symbol_and_unknown_stream_stay_silent(desk: Desk) -> None:
    silent = [
        desk.connect(Category.PUBLIC, "btcusdt@kline_1m", "btcusdt@aggTrade"),
        desk.connect(Category.MARKET, "btcusdt@bookTicker", "nopeusdt@kline_1m", "BTCUSDT@kline_1m", "0"),
        desk.connect(Category.PRIVATE, "btcusdt@kline_1m", "not-a-listen-key"),
    ]
    order(desk)
    desk.play(2 * MINUTE, wall_ms=1000)
    assert [frames(session) for session in silent] == [[], [], []]


def test_frames_are_wrapped_for_combined_connections_only(desk: Desk) -> None:
    raw = desk.connect(Category.MARKET, "btcusdt@aggTrade")
    combined = desk.connect(Category.MARKET, "btcusdt@aggTrade", is_combined=True)
    desk.play(MINUTE)
    assert frames(combined) == [{"stream": "btcusdt@aggTrade", "data": frame} for frame in frames(raw)]


def test_after_leaving_nothing_comes_and_nothing_is_kept(desk: Desk) -> None:
    names = ["btcusdt@kline_1m", "btcusdt@aggTrade", "btcusdt@markPrice@1s"]
    session = desk.connect(Category.MARKET, *names)
    books = desk.connect(Category.PUBLIC, "btcusdt@bookTicker", "btcusdt@depth", "btcusdt@depth5")
    desk.play(1000, wall_ms=1000)
    frames(session)
    frames(books)
    for name in names:
        desk.hub.leave(session, name)
    desk.hub.leave_all(books)
    desk.play(2 * MINUTE, wall_ms=5000)
    assert frames(session) == [] and frames(books) == []
    assert session.names == {} and books.names == {}


def test_joining_twice_gives_each_frame_once(desk: Desk) -> None:
    session = desk.connect(Category.MARKET, "btcusdt@aggTrade", "btcusdt@aggTrade")
    desk.play(MINUTE)
    ids = [frame["a"] for frame in frames(session)]
    assert len(ids) == len(set(ids))


def test_account_update_comes_before_the_fill_with_the_same_time(desk: Desk) -> None:
    session = desk.user_stream()
    order(desk)
    kinds = [(frame["e"], frame["T"]) for frame in frames(session)]
    assert [kind for kind, _ in kinds] == ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE"]
    assert len({time for _, time in kinds[1:]}) == 1


def test_entry_with_stop_and_target_is_told_to_its_end(desk: Desk) -> None:
    session = desk.user_stream()
    order(desk)
    entry = desk.market.last_price("BTCUSDT")
    for kind, factor, side in (("STOP_MARKET", "0.997", "SELL"), ("TAKE_PROFIT_MARKET", "1.003", "SELL")):
        price = (entry * Decimal(factor)).quantize(Decimal("0.1"))
        algo = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": side, "type": kind, "closePosition": "true"}
        desk.call("POST", "/fapi/v1/algoOrder", **algo, triggerPrice=f"{price}")
    found = frames(session)
    for _ in range(3000):
        desk.play(MINUTE)
        found += frames(session)
        if not desk.exchange.positions("BTCUSDT"):
            break
    algos = [frame["o"] for frame in found if frame["e"] == "ALGO_UPDATE"]
    assert [algo["X"] for algo in algos[:2]] == ["NEW", "NEW"]
    winner = next(algo["aid"] for algo in algos if algo["X"] == "TRIGGERING")
    assert [algo["X"] for algo in algos if algo["aid"] == winner] == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]
    assert [algo["X"] for algo in algos if algo["aid"] != winner][-1] == "EXPIRED"
    fills = [frame["o"] for frame in found if frame["e"] == "ORDER_TRADE_UPDATE" and frame["o"]["x"] == "TRADE"]
    assert sum(Decimal(fill["l"]) * (1 if fill["S"] == "BUY" else -1) for fill in fills) == 0
    last = [frame for frame in found if frame["e"] == "ACCOUNT_UPDATE"][-1]
    assert last["a"]["P"][0]["pa"] == "0"
    realised = sum(Decimal(fill["rp"]) - Decimal(fill["n"]) for fill in fills)
    funding = sum(Decimal(r["income"]) for r in desk.call("GET", "/fapi/v1/income", incomeType="FUNDING_FEE"))
    assert Decimal(last["a"]["B"][0]["wb"]) == Decimal(10_000) + realised + funding


def test_user_events_can_be_limited_to_named_types(desk: Desk) -> None:
    key = desk.call("POST", "/fapi/v1/listenKey")["listenKey"]
    session = Session(Category.PRIVATE, is_combined=True, events=frozenset({"ACCOUNT_UPDATE"}))
    desk.hub.join(session, key)
    order(desk)
    found = frames(session)
    assert [(frame["stream"], frame["data"]["e"]) for frame in found] == [(key, "ACCOUNT_UPDATE")]


def test_leverage_change_is_told(desk: Desk) -> None:
    session = desk.user_stream()
    desk.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=3)
    assert frames(session)[0]["ac"] == {"s": "BTCUSDT", "l": 3}


def test_expired_listen_key_is_told_once_and_then_silent(desk: Desk) -> None:
    session = desk.user_stream()
    key = next(iter(session.names))
    desk.play(1, wall_ms=LIFE_MS - 1)
    assert frames(session) == []
    desk.play(1, wall_ms=1)
    desk.play(1, wall_ms=1)
    found = frames(session)
    assert [frame["e"] for frame in found] == ["listenKeyExpired"]
    assert found[0]["listenKey"] == key
    order(desk)
    assert frames(session) == []


def test_renewed_listen_key_lives_on(desk: Desk) -> None:
    session = desk.user_stream()
    for _ in range(3):
        desk.play(1, wall_ms=LIFE_MS // 2)
        desk.call("PUT", "/fapi/v1/listenKey")
    order(desk)
    assert "ORDER_TRADE_UPDATE" in {frame["e"] for frame in frames(session)}


def test_closed_listen_key_is_told_at_the_next_tick(desk: Desk) -> None:
    session = desk.user_stream()
    desk.call("DELETE", "/fapi/v1/listenKey")
    desk.play(1, wall_ms=1)
    assert [frame["e"] for frame in frames(session)] == ["listenKeyExpired"]


class Room:
    """A hub that only notes who joins."""

    def __init__(self) -> None:
        self.joined: list[str] = []

    def join(self, session: Session, name: str) -> None:
        session.names[name] = None
        self.joined.append(name)

    def leave(self, session: Session, name: str) -> None:
        session.names.pop(name, None)


def say(message: Any, *, is_combined: bool = True) -> tuple[list[Any], Session, Room]:
    session, room = Session(Category.MARKET, is_combined=is_combined), Room()
    text = message if isinstance(message, str) else orjson.dumps(message).decode()
    session.receive(text, room)
    return frames(session), session, room


@pytest.mark.parametrize("request_id", [7, "c6a1b2", None])
def test_subscribe_is_acknowledged_with_the_id_as_sent(request_id: Any) -> None:
    replies, session, room = say({"method": "SUBSCRIBE", "params": ["a@b", "c@d"], "id": request_id})
    assert replies == [{"result": None, "id": request_id}]
    assert room.joined == ["a@b", "c@d"] == list(session.names)


def test_unsubscribe_and_list_reflect_what_is_left() -> None:
    _, session, room = say({"method": "SUBSCRIBE", "params": ["a@b", "c@d"], "id": 1})
    session.receive('{"method":"UNSUBSCRIBE","params":["a@b"],"id":2}', room)
    session.receive('{"method":"LIST_SUBSCRIPTIONS","id":3}', room)
    assert frames(session) == [{"result": None, "id": 2}, {"result": ["c@d"], "id": 3}]


def test_combined_can_be_read_and_set() -> None:
    _, session, room = say({"method": "GET_PROPERTY", "params": ["combined"], "id": 1}, is_combined=False)
    session.receive('{"method":"SET_PROPERTY","params":["combined",true],"id":2}', room)
    assert session.is_combined is True
    assert frames(session) == [{"result": None, "id": 2}]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"method": "DANCE", "id": 1}, 2),
        ({"method": "SUBSCRIBE", "params": "a", "id": 1}, 2),
        ({"method": "SUBSCRIBE", "params": [1], "id": 1}, 2),
        ({"method": "SUBSCRIBE", "params": [f"{n}@x" for n in range(MAX_STREAMS + 1)], "id": 1}, 2),
        ({"method": "SET_PROPERTY", "params": ["combined", "yes"], "id": 1}, 1),
        ({"method": "GET_PROPERTY", "params": ["colour"], "id": 1}, 0),
        ({"id": 1}, 0),
        ([1], 0),
    ],
)
def test_bad_control_frames_are_answered_with_an_error(message: Any, code: int) -> None:
    replies, session, room = say(message)
    assert replies[0]["error"]["code"] == code
    assert session.must_close is None and room.joined == []


def test_invalid_json_is_answered_and_ends_the_connection() -> None:
    replies, session, _ = say("{not json")
    assert replies[0]["error"]["code"] == 3
    assert session.must_close is not None


def test_a_reader_that_falls_too_far_behind_is_cut_off() -> None:
    session = Session(Category.MARKET, is_combined=False)
    for _ in range(MAX_BACKLOG + 1):
        session.push(b"x")
    assert session.must_close == "the reader is too slow"
    assert len(session.outgoing) == MAX_BACKLOG
