"""Both streams over real sockets: proof of subscription, loss, silence, rotation, and nothing doubled or missed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest

from core.clock import SystemClock
from core.errors import RuntimeFailure
from core.events import (
    AccountUpdated,
    CandleClosed,
    Event,
    MarkPriceUpdated,
    OrderUpdated,
    PriceUpdated,
    StreamChanged,
    StreamState,
    UnknownVenueMessage,
)
from exchange.binance import connection
from exchange.binance.market_stream import BinanceMarketStream, MarketTimings
from exchange.binance.timesync import VenueClock
from exchange.binance.user_stream import BinanceUserStream, UserTimings
from tests.contract.venue_double import VenueDouble, until, venue_double
from tests.unit.exchange.test_user_frames import MESSAGE

MARKET, PRIVATE, PUBLIC = "/market/stream", "/private/stream", "/public/stream"
KLINE, MARK = "btcusdt@kline_1m", "btcusdt@markPrice@1s"
MINUTE = 60_000


@pytest.fixture(autouse=True)
def quick_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK sleeps half a second before each subscription; tests need not."""
    monkeypatch.setattr("binance_common.websocket.SUBSCRIBE_MESSAGE_DELAY_SECONDS", 0.0)
    monkeypatch.setattr("exchange.binance.supervisor.CHECK_EVERY_S", 0.01)
    monkeypatch.setattr("exchange.binance.supervisor.FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr("exchange.binance.supervisor.OVERLAP_S", 0.05)
    monkeypatch.setattr("exchange.binance.market_stream.JUDGE_EVERY_MS", 10)


@pytest.fixture
async def venue() -> AsyncIterator[VenueDouble]:
    async with venue_double() as double:
        yield double


@pytest.fixture
def events() -> list[Event]:
    return []


def kline(close: str, *, minute: int = 0, closed: bool = False, event_ms: int | None = None) -> dict[str, Any]:
    start = 1_700_000_040_000 + minute * MINUTE
    k = {"t": start, "T": start + MINUTE - 1, "s": "BTCUSDT", "i": "1m", "f": 1, "L": 2, "o": "1", "c": close}
    k |= {"h": "9", "l": "0.5", "v": "10", "n": 2, "x": closed, "q": "15", "V": "4", "Q": "6", "B": "0"}
    return {"e": "kline", "E": event_ms or start + MINUTE, "s": "BTCUSDT", "k": k}


def mark(price: str, event_ms: int = 1_700_000_000_000) -> dict[str, Any]:
    row = {"e": "markPriceUpdate", "E": event_ms, "s": "BTCUSDT", "p": price, "i": "1", "P": "1", "r": "0.0001"}
    return row | {"T": event_ms + 1_000, "st": 1}


@contextlib.asynccontextmanager
async def running(stream: BinanceMarketStream | BinanceUserStream) -> AsyncIterator[None]:
    task = asyncio.create_task(stream.run())
    try:
        async with asyncio.timeout(10):
            await stream.ready()
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def states(events: list[Event]) -> list[StreamState]:
    return [event.state for event in events if isinstance(event, StreamChanged)]


def closes(events: list[Event]) -> list[int]:
    return [event.candle.open_time_ms for event in events if isinstance(event, CandleClosed)]


def market(venue: VenueDouble, sink: Callable[[Event], None], **options: Any) -> BinanceMarketStream:
    return BinanceMarketStream(venue.settings, SystemClock(), ["BTCUSDT"], sink, **options)


async def test_market_frames_become_events_and_market_time(venue: VenueDouble, events: list[Event]) -> None:
    venue_time = VenueClock()
    async with running(market(venue, events.append, venue_time=venue_time)):
        socket = await venue.socket(MARKET)
        await socket.push(KLINE, kline("1.5"))
        await socket.push(KLINE, kline("1.6", closed=True))
        await socket.push(MARK, mark("1.55"))
        await until(lambda: len(events) == 4)
    assert isinstance(events[0], StreamChanged)
    told = {type(event): event for event in events[1:]}  # the candle that closed may come before the older price
    price, candle, marked = told[PriceUpdated], told[CandleClosed], told[MarkPriceUpdated]
    assert isinstance(price, PriceUpdated)
    assert price.price == Decimal("1.5")
    assert isinstance(candle, CandleClosed)
    assert candle.candle.close == Decimal("1.6")
    assert candle.received_ns > 0
    assert isinstance(marked, MarkPriceUpdated)
    assert venue_time.venue_time_ms() == candle.event_time_ms


async def test_market_stream_opens_one_socket_on_its_path_only(venue: VenueDouble, events: list[Event]) -> None:
    async with running(market(venue, events.append)):
        await venue.socket(MARKET)
        assert venue.opened == 1
        assert "X-MBX-APIKEY" not in venue.sockets[0].headers


async def test_quotes_come_over_the_public_path(venue: VenueDouble, events: list[Event]) -> None:
    async with running(market(venue, events.append, quotes=True)):
        socket = await venue.socket(PUBLIC)
        assert socket.subscribed == ["btcusdt@bookTicker"]


async def test_many_symbols_are_subscribed_in_chunks_on_few_connections(
    venue: VenueDouble, events: list[Event]
) -> None:
    symbols = [f"SYM{number}USDT" for number in range(1_199)]
    stream = BinanceMarketStream(venue.settings, SystemClock(), symbols, events.append)
    async with running(stream):
        sockets = list(venue.sockets)
        assert [len(socket.subscribed) for socket in sorted(sockets, key=lambda item: -len(item.subscribed))] == [
            1000,
            200,
        ]
        assert max(len(frame["params"]) for socket in sockets for frame in socket.frames) == 200
        assert states(events) == [StreamState.READY]


async def test_marks_of_many_symbols_come_in_one_stream_and_only_ours_are_taken(
    venue: VenueDouble, events: list[Event]
) -> None:
    symbols = ["BTCUSDT", *(f"SYM{number}USDT" for number in range(49))]
    stream = BinanceMarketStream(
        venue.settings, SystemClock(), symbols, events.append, timings=MarketTimings(symbol_stale_ms=150)
    )
    async with running(stream):
        socket = await venue.socket(MARKET)
        assert len(socket.subscribed) == 51
        rows = [mark("1.5"), mark("2.5") | {"s": "OTHERUSDT"}, mark("3.5") | {"s": "SYM7USDT"}]
        await socket.push("!markPrice@arr@1s", rows)
        await until(lambda: len(events) == 3)
        await socket.push("!markPrice@arr@1s", {"no": "list"})
        await until(lambda: stream.health()["undecodable"] == 1)
        assert stream.health()["age_ms"].keys() == {"kline_1m", "markPrice@1s"}
    marks = [event for event in events if isinstance(event, MarkPriceUpdated)]
    assert [(event.symbol, event.mark_price) for event in marks] == [
        ("BTCUSDT", Decimal("1.5")),
        ("SYM7USDT", Decimal("3.5")),
    ]


async def test_symbol_that_is_missing_from_the_marks_of_all_is_stale(venue: VenueDouble, events: list[Event]) -> None:
    symbols = ["BTCUSDT", *(f"SYM{number}USDT" for number in range(49))]
    timings = MarketTimings(symbol_stale_ms=150)
    stream = BinanceMarketStream(venue.settings, SystemClock(), symbols, events.append, timings=timings)
    rows = [mark("1") | {"s": symbol} for symbol in symbols if symbol != "SYM7USDT"]
    async with running(stream), feeding(venue, {"!markPrice@arr@1s": rows, KLINE: kline("1")}):
        await until(lambda: stream.health()["stale"] == ["sym7usdt@markPrice@1s"])


async def test_lost_connection_is_told_and_replaced_by_a_new_one(venue: VenueDouble, events: list[Event]) -> None:
    stream = market(venue, events.append)
    async with running(stream):
        socket = await venue.socket(MARKET)
        await socket.ws.close()
        await until(lambda: states(events) == [StreamState.READY, StreamState.LOST, StreamState.READY])
        again = await venue.socket(MARKET)
        assert again is not socket
        await again.push(KLINE, kline("2", closed=True))
        await until(lambda: closes(events))
        assert stream.health()["reconnects"] == 1


async def test_refused_subscription_never_counts_as_ready(venue: VenueDouble, events: list[Event]) -> None:
    venue.refuse_streams = {KLINE}
    stream = market(venue, events.append)
    task = asyncio.create_task(stream.run())
    await until(lambda: venue.opened >= 3)
    assert states(events) == []
    venue.refuse_streams = set()
    async with asyncio.timeout(10):
        await stream.ready()
    task.cancel()
    assert states(events) == [StreamState.READY]


async def test_unanswered_subscription_leads_to_a_new_connection(
    venue: VenueDouble, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PROOF_TIMEOUT_S", 0.1)
    venue.reply_to_frames = False
    stream = market(venue, events.append)
    task = asyncio.create_task(stream.run())
    await until(lambda: venue.opened >= 2)
    venue.reply_to_frames = True
    async with asyncio.timeout(10):
        await stream.ready()
    task.cancel()


async def test_refused_connections_are_tried_again_with_growing_pauses(
    venue: VenueDouble, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def wait(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)
        if len(pauses) == 8:
            venue.accept_sockets = True

    venue.accept_sockets = False
    async with running(market(venue, events.append, wait=wait)):
        tries = pauses[:8]
    assert max(tries) <= venue.settings.ws_max_backoff_s
    assert tries[-1] > tries[0]


@contextlib.asynccontextmanager
async def feeding(venue: VenueDouble, frames: dict[str, dict[str, Any]]) -> AsyncIterator[None]:
    """Push `frames` (by stream) to every market connection, over and over."""

    async def feed() -> None:
        while True:
            for socket in list(venue.sockets):
                for stream in frames.keys() & set(socket.subscribed):
                    with contextlib.suppress(ConnectionError):
                        await socket.push(stream, frames[stream])
            await asyncio.sleep(0.01)

    task = asyncio.create_task(feed())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_silent_group_is_replaced(venue: VenueDouble, events: list[Event]) -> None:
    stream = market(venue, events.append, timings=MarketTimings(group_silent_ms=200))
    async with running(stream), feeding(venue, {MARK: mark("1")}):
        await until(lambda: StreamState.LOST in states(events))
    lost = next(event for event in events if isinstance(event, StreamChanged) and event.state is StreamState.LOST)
    assert "no kline_1m message" in lost.detail


async def test_fed_groups_are_left_alone(venue: VenueDouble, events: list[Event]) -> None:
    stream = market(venue, events.append, timings=MarketTimings(group_silent_ms=200, symbol_stale_ms=200))
    async with running(stream), feeding(venue, {MARK: mark("1"), KLINE: kline("1")}):
        await asyncio.sleep(0.6)
        assert stream.health()["stale"] == []
        assert stream.health()["age_ms"]["kline_1m"] < 200
    assert states(events) == [StreamState.READY]
    assert venue.opened == 1


async def test_silent_symbol_is_resubscribed_once_without_a_gap(venue: VenueDouble, events: list[Event]) -> None:
    timings = MarketTimings(symbol_stale_ms=150)
    stream = BinanceMarketStream(venue.settings, SystemClock(), ["BTCUSDT", "ETHUSDT"], events.append, timings=timings)
    async with running(stream), feeding(venue, {MARK: mark("1"), KLINE: kline("1")}):
        await until(lambda: states(events) == [StreamState.READY, StreamState.READY])
        await asyncio.sleep(0.4)
        assert stream.health()["stale"] == ["ethusdt@markPrice@1s"]
    assert venue.opened == 2  # healed by one new connection, not by one after the other
    assert StreamState.LOST not in states(events)


async def test_malformed_frame_that_kills_the_sdks_reader_is_noticed(venue: VenueDouble, events: list[Event]) -> None:
    async with running(market(venue, events.append, timings=MarketTimings(group_silent_ms=200))):
        socket = await venue.socket(MARKET)
        await socket.ws.send_str("{not json")
        await until(lambda: venue.opened == 2)
    assert StreamState.LOST in states(events)


@pytest.mark.parametrize("data", [{}, {"e": "kline"}, {"e": "kline", "E": 1, "s": "X", "k": {"x": True}}, [], None])
async def test_undecodable_frame_is_counted_and_the_stream_goes_on(
    venue: VenueDouble, events: list[Event], data: Any
) -> None:
    stream = market(venue, events.append)
    async with running(stream):
        socket = await venue.socket(MARKET)
        await socket.push(KLINE, data)
        await socket.push(KLINE, kline("1", closed=True))
        await until(lambda: closes(events))
        assert stream.health()["undecodable"] == 1


async def test_sink_that_raises_does_not_stop_the_stream(venue: VenueDouble, events: list[Event]) -> None:
    def sink(event: Event) -> None:
        events.append(event)
        if isinstance(event, PriceUpdated):
            raise RuntimeError("a bug of the consumer")

    async with running(market(venue, sink)):
        socket = await venue.socket(MARKET)
        await socket.push(KLINE, kline("1"))
        await socket.push(KLINE, kline("2", closed=True))
        await until(lambda: closes(events))


async def test_rotation_opens_the_new_connection_before_the_old_one_goes(
    venue: VenueDouble, events: list[Event]
) -> None:
    stream = market(venue, events.append, timings=MarketTimings(rotate_ms=300))
    async with running(stream):
        minute = 0
        while len(venue.live_at_subscription) < 4:
            for socket in list(venue.sockets):
                if KLINE in socket.subscribed:
                    with contextlib.suppress(ConnectionError):
                        await socket.push(KLINE, kline("1", minute=minute, closed=True))
            minute += 1
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        got = closes(events)
    assert venue.live_at_subscription == [1, 2, 2, 2]
    assert got == sorted(set(got))  # nothing doubled by the overlap
    assert len(got) == minute  # nothing missed
    assert StreamState.LOST not in states(events)
    assert states(events).count(StreamState.READY) >= 3


class Keys:
    """A source of listen keys that a test controls."""

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.failures = 0

    async def listen_key(self) -> str:
        self.asked += 1
        if self.failures:
            self.failures -= 1
            raise RuntimeFailure("the venue did not answer")
        return self.keys.pop(0) if len(self.keys) > 1 else self.keys[0]


def user(venue: VenueDouble, keys: Keys, sink: Callable[[Event], None], **options: Any) -> BinanceUserStream:
    return BinanceUserStream(venue.settings, keys, SystemClock(), sink, **options)


async def test_user_events_reach_the_sink_in_order(venue: VenueDouble, events: list[Event]) -> None:
    venue_time = VenueClock()
    async with running(user(venue, Keys("KEY"), events.append, venue_time=venue_time)):
        socket = await venue.socket(PRIVATE)
        assert socket.subscribed == ["KEY"]
        account = {"e": "ACCOUNT_UPDATE", "E": 5, "T": 5, "a": {"m": "ORDER", "B": [], "P": []}}
        await socket.push("KEY", account)
        await socket.push("KEY", MESSAGE)
        await socket.push("KEY", {"e": "TRADE_LITE", "E": 6})
        await socket.push("KEY", {"e": "NEW_KIND", "E": 7})
        await until(lambda: len(events) == 4)
    assert [type(event) for event in events] == [StreamChanged, AccountUpdated, OrderUpdated, UnknownVenueMessage]
    assert venue_time.venue_time_ms() == MESSAGE["E"]


async def test_expired_listen_key_leads_to_a_new_key_and_connection(venue: VenueDouble, events: list[Event]) -> None:
    async with running(user(venue, Keys("OLD", "NEW"), events.append)):
        socket = await venue.socket(PRIVATE)
        await socket.push("OLD", {"e": "listenKeyExpired", "E": "1693427319838", "listenKey": "OLD"})
        await until(lambda: states(events) == [StreamState.READY, StreamState.LOST, StreamState.READY])
        assert (await venue.socket(PRIVATE)).subscribed == ["NEW"]


async def test_key_that_changed_at_renewal_leads_to_a_new_connection(venue: VenueDouble, events: list[Event]) -> None:
    keys = Keys("ONE", "ONE", "TWO")
    async with running(user(venue, keys, events.append, timings=UserTimings(renew_ms=30))):
        await until(lambda: any(socket.subscribed == ["TWO"] for socket in venue.sockets))
    assert StreamState.LOST in states(events)


async def test_failed_renewal_is_tried_again_in_seconds(venue: VenueDouble, events: list[Event]) -> None:
    keys = Keys("KEY")
    timings = UserTimings(renew_ms=30, renew_retry_s=0.01)
    async with running(user(venue, keys, events.append, timings=timings)):
        keys.failures = 3
        await until(lambda: keys.asked >= 6)
    assert states(events) == [StreamState.READY]


async def test_first_key_that_fails_is_asked_again(venue: VenueDouble, events: list[Event]) -> None:
    keys = Keys("KEY")
    keys.failures = 2
    async with running(user(venue, keys, events.append)):
        assert keys.asked == 3


async def test_quiet_user_stream_is_asked_and_kept(venue: VenueDouble, events: list[Event]) -> None:
    async with running(user(venue, Keys("KEY"), events.append, timings=UserTimings(probe_ms=20))):
        socket = await venue.socket(PRIVATE)
        await until(lambda: [frame["method"] for frame in socket.frames].count("LIST_SUBSCRIPTIONS") >= 3)
    assert states(events) == [StreamState.READY]


async def test_half_open_user_stream_is_replaced(
    venue: VenueDouble, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PROBE_TIMEOUT_S", 0.1)
    async with running(user(venue, Keys("KEY"), events.append, timings=UserTimings(probe_ms=50))):
        venue.reply_to_frames = False
        await until(lambda: StreamState.LOST in states(events))
        venue.reply_to_frames = True
        await until(lambda: states(events)[-1] is StreamState.READY)


async def test_doubled_user_event_is_delivered_once(venue: VenueDouble, events: list[Event]) -> None:
    async with running(user(venue, Keys("KEY"), events.append)):
        socket = await venue.socket(PRIVATE)
        for _ in range(3):
            await socket.push("KEY", MESSAGE)
        await socket.push("KEY", MESSAGE | {"E": MESSAGE["E"] + 1})
        await until(lambda: len(events) >= 3)
        await asyncio.sleep(0.02)
    assert len([event for event in events if isinstance(event, OrderUpdated)]) == 2


async def test_user_rotation_loses_and_doubles_nothing(venue: VenueDouble, events: list[Event]) -> None:
    async with running(user(venue, Keys("KEY"), events.append, timings=UserTimings(rotate_ms=200))):
        sent = 0
        while len(venue.live_at_subscription) < 4:
            for socket in list(venue.sockets):
                if socket.subscribed:
                    with contextlib.suppress(ConnectionError):
                        await socket.push("KEY", MESSAGE | {"E": sent + 1})
            sent += 1
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
    times = [event.event_time_ms for event in events if isinstance(event, OrderUpdated)]
    assert times == list(range(1, sent + 1))


async def test_listen_key_never_reaches_a_log(
    venue: VenueDouble, events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(user(venue, Keys("CANARYLISTENKEY"), events.append)):
        socket = await venue.socket(PRIVATE)
        await socket.push("CANARYLISTENKEY", {"e": "SOMETHING", "E": 1})
        await socket.push("unmatched", {"listenKey": "CANARYLISTENKEY"})
        await socket.ws.close()
        await until(lambda: states(events)[-1:] == [StreamState.READY] and len(states(events)) == 3)
    assert "CANARYLISTENKEY" not in caplog.text
