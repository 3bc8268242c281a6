"""The gateway over real sockets against every way in which an answer can go wrong (and the SDK's pitfalls)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from core.clock import SystemClock
from core.commands import (
    Accepted,
    CancelOrder,
    FetchFills,
    FetchOpenOrders,
    FetchPositions,
    InDoubt,
    QueryOrder,
    RefusalKind,
    Refused,
    SetMarginType,
    SetPositionMode,
    SubmitOrder,
    VenueReply,
)
from core.enums import MarginType, OrderService, PositionMode, Priority
from core.errors import RuntimeFailure
from core.events import ClockJumped, Event, InstrumentsRefreshed
from core.orders import OrderReport
from exchange.binance.gateway import BinanceGateway
from exchange.binance.settings import VenueSettings
from tests.contract.venue_double import API_KEY, API_SECRET, VenueDouble, error, raw, until, venue_double
from tests.unit.exchange.builders import algo_order, plain_order, submit
from tests.unit.exchange.test_exchange_info import symbol
from tests.unit.exchange.test_mapping import ORDER

ORDER_PATH = "/fapi/v1/order"


@pytest.fixture
async def venue() -> AsyncIterator[VenueDouble]:
    async with venue_double() as double:

        async def now(_: web.Request) -> web.Response:
            return web.json_response({"serverTime": time.time_ns() // 1_000_000})

        double.answers["GET", "/fapi/v1/time"] = now
        double.answers["GET", "/fapi/v1/exchangeInfo"] = {"symbols": [symbol()], "rateLimits": []}
        double.answers["GET", "/fapi/v1/premiumIndex"] = {"symbol": "AAAUSDT", "time": 1_700_000_000_000}
        yield double


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def gateway(venue: VenueDouble, events: list[Event]) -> AsyncIterator[BinanceGateway]:
    gateway = BinanceGateway(venue.settings, SystemClock(), on_event=events.append)
    await gateway.start()
    venue.hits.clear()
    yield gateway
    await gateway.close()


async def entry(gateway: BinanceGateway) -> VenueReply:
    return await gateway.execute(submit(plain_order()))


async def test_start_reads_time_instruments_and_market_time(gateway: BinanceGateway, events: list[Event]) -> None:
    assert set(gateway.instruments()) == {"AAAUSDT"}
    assert gateway.venue_time_ms() == 1_700_000_000_000
    assert abs(gateway.clock_offset_ms) < 200
    assert [type(event) for event in events] == [InstrumentsRefreshed]


async def test_start_without_a_venue_is_one_clear_error() -> None:
    gateway = BinanceGateway(VenueSettings("http://127.0.0.1:9", "ws://127.0.0.1:9", "k", "s"), SystemClock())
    with pytest.raises(RuntimeFailure, match="time cannot be read: no connection to the venue"):
        await gateway.start()
    await gateway.close()


async def test_order_is_signed_over_what_is_sent_with_window_and_plain_numbers(
    gateway: BinanceGateway, venue: VenueDouble
) -> None:
    venue.answers["POST", ORDER_PATH] = ORDER
    reply = await entry(gateway)
    assert isinstance(reply.outcome, Accepted)
    (hit,) = venue.to("POST", ORDER_PATH)
    payload, _, signature = hit.raw_query.rpartition("&signature=")
    assert signature == hmac.new(API_SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
    assert hit.query["recvWindow"] == "5000"
    assert hit.query["quantity"] == "0.010"
    assert hit.headers["X-MBX-APIKEY"] == API_KEY
    assert "br" not in hit.headers.get("Accept-Encoding", "")
    assert abs(int(hit.query["timestamp"]) - time.time_ns() // 1_000_000) < 2_000
    assert reply.expires_time_ms is not None
    assert 5_500 < reply.expires_time_ms - reply.received_time_ms <= 6_000


async def test_signature_follows_the_venues_clock_not_ours(venue: VenueDouble) -> None:
    async def ahead(_: web.Request) -> web.Response:
        return web.json_response({"serverTime": time.time_ns() // 1_000_000 + 90_000})

    venue.answers["GET", "/fapi/v1/time"] = ahead
    venue.answers["POST", ORDER_PATH] = ORDER
    gateway = BinanceGateway(venue.settings, SystemClock())
    await gateway.start()
    await entry(gateway)
    (hit,) = venue.to("POST", ORDER_PATH)
    assert abs(int(hit.query["timestamp"]) - 90_000 - time.time_ns() // 1_000_000) < 2_000
    await gateway.close()


async def hang(_: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def truncated(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "500"})
    await response.prepare(request)
    await response.write(b'{"orderId": 1')
    assert request.transport is not None
    request.transport.close()
    return response


UNKNOWN: dict[str, Any] = {
    "500": raw(500, '{"code":-1000,"msg":"An unknown error"}'),
    "502 html": raw(502, "<html>bad gateway</html>", "text/html"),
    "503 unknown": raw(503, '{"msg":"Unknown error, please check your request or try again later."}'),
    "503 overloaded": error(503, -1008, "Server is currently overloaded with other requests."),
    "504": raw(504, ""),
    "408": error(408, -1007, "Timeout waiting for response from backend server."),
    "400 without code": raw(400, "<html></html>", "text/html"),
    "400 -1007": error(400, -1007, "Timeout waiting for response from backend server."),
    "400 list": raw(400, "[]"),
    "400 bad json": raw(400, "{"),
    "403 html": raw(403, "<html>firewall</html>", "text/html"),
    "404 html": raw(404, "<html></html>", "text/html"),
    "418 as html would be": raw(451, "x", "text/plain"),
    "200 html": raw(200, "<html>maintenance</html>", "text/html"),
    "200 empty": raw(200, ""),
    "200 truncated json": raw(200, '{"orderId": 1'),
    "200 empty object": raw(200, "{}"),
    "200 list": raw(200, "[]"),
    "200 code": raw(200, '{"code":-2019,"msg":"Margin is insufficient."}'),
    "200 other shape": raw(200, '{"orderId":"x","status":"NEW"}'),
    "cut": cut,
    "truncated": truncated,
    "redirect 307": raw(307, "", Location=ORDER_PATH),
    "redirect 302": raw(302, "", Location="/elsewhere"),
}


@pytest.mark.parametrize("shape", UNKNOWN)
async def test_order_without_a_definite_answer_is_in_doubt_and_sent_once(
    gateway: BinanceGateway, venue: VenueDouble, shape: str
) -> None:
    venue.answers["POST", ORDER_PATH] = UNKNOWN[shape]
    reply = await entry(gateway)
    assert isinstance(reply.outcome, InDoubt), reply.outcome
    assert reply.expires_time_ms is not None
    assert len(venue.hits) == 1
    assert "signature" not in reply.outcome.detail


@pytest.mark.parametrize("kind", [QueryOrder, CancelOrder])
async def test_get_and_delete_are_never_retried_behind_our_back(
    gateway: BinanceGateway, venue: VenueDouble, kind: type[QueryOrder] | type[CancelOrder]
) -> None:
    for method in ("GET", "DELETE"):
        venue.answers[method, ORDER_PATH] = raw(503, "")
    reply = await gateway.execute(kind("X", "i", OrderService.PLAIN))
    assert isinstance(reply.outcome, InDoubt)
    assert len(venue.hits) == 1


async def test_order_that_hangs_is_in_doubt_after_the_time_limit(venue: VenueDouble, monkeypatch: Any) -> None:
    monkeypatch.setattr("exchange.binance.requester.WRITE_TIMEOUT_MS", 200)
    gateway = BinanceGateway(venue.settings, SystemClock())
    await gateway.start()
    venue.answers["POST", ORDER_PATH] = hang
    reply = await entry(gateway)
    assert reply.outcome == InDoubt("transport failed (ReadTimeout)")
    await gateway.close()


async def test_order_to_a_venue_that_is_not_there_was_certainly_not_sent(venue: VenueDouble) -> None:
    gateway = BinanceGateway(VenueSettings("http://127.0.0.1:9", "ws://127.0.0.1:9", "k", "s"), SystemClock())
    reply = await entry(gateway)
    assert isinstance(reply.outcome, Refused)
    assert reply.outcome.kind is RefusalKind.LOCAL
    await gateway.close()


async def test_refusal_keeps_code_and_text(gateway: BinanceGateway, venue: VenueDouble) -> None:
    venue.answers["POST", ORDER_PATH] = error(400, -2019, "Margin is insufficient.")
    reply = await entry(gateway)
    assert reply.outcome == Refused(RefusalKind.BUSINESS, -2019, "Margin is insufficient.")


async def test_429_stops_everything_but_exits(gateway: BinanceGateway, venue: VenueDouble) -> None:
    venue.answers["POST", ORDER_PATH] = error(429, -1003, "Too many requests", Retry_After="30")
    reply = await entry(gateway)
    assert isinstance(reply.outcome, Refused)
    assert (reply.outcome.kind, reply.outcome.retry_after_s) == (RefusalKind.THROTTLED, 30.0)
    venue.answers["POST", ORDER_PATH] = ORDER
    refused = (await entry(gateway)).outcome
    assert isinstance(refused, Refused)
    assert refused.code == 0
    assert (await gateway.execute(QueryOrder("X", "i", OrderService.PLAIN))).outcome.kind is RefusalKind.THROTTLED  # type: ignore[union-attr]
    assert len(venue.hits) == 1
    exit_reply = await gateway.execute(submit(plain_order(), Priority.EXIT))
    assert isinstance(exit_reply.outcome, Accepted)


async def test_418_stops_exits_too(gateway: BinanceGateway, venue: VenueDouble) -> None:
    venue.answers["POST", ORDER_PATH] = error(418, -1003, "banned", Retry_After="120")
    await entry(gateway)
    reply = await gateway.execute(submit(plain_order(), Priority.EXIT))
    assert isinstance(reply.outcome, Refused)
    assert reply.outcome.kind is RefusalKind.BANNED
    assert len(venue.hits) == 1


async def test_already_so_counts_as_accepted(gateway: BinanceGateway, venue: VenueDouble) -> None:
    venue.answers["POST", "/fapi/v1/marginType"] = error(400, -4046, "No need to change margin type.")
    venue.answers["POST", "/fapi/v1/positionSide/dual"] = error(400, -4059, "No need to change position side.")
    for command in (SetMarginType("X", MarginType.ISOLATED), SetPositionMode(PositionMode.HEDGE)):
        assert (await gateway.execute(command)).outcome == Accepted(None)


async def test_clock_refusal_resynchronises_before_the_reply(gateway: BinanceGateway, venue: VenueDouble) -> None:
    venue.answers["POST", ORDER_PATH] = error(400, -1021, "Timestamp for this request is outside of the recvWindow.")
    reply = await entry(gateway)
    assert isinstance(reply.outcome, Refused)
    assert reply.outcome.kind is RefusalKind.CLOCK
    assert len(venue.to("GET", "/fapi/v1/time")) == 4


async def test_offset_that_moves_is_told_as_a_clock_jump(
    gateway: BinanceGateway, venue: VenueDouble, events: list[Event]
) -> None:
    async def ahead(_: web.Request) -> web.Response:
        return web.json_response({"serverTime": time.time_ns() // 1_000_000 + 5_000})

    venue.answers["GET", "/fapi/v1/time"] = ahead
    await gateway.synchronise()
    (jump,) = [event for event in events if isinstance(event, ClockJumped)]
    assert 4_800 < jump.jump_ms < 5_200


async def test_filter_refusal_leads_to_a_fresh_exchange_info(venue: VenueDouble, events: list[Event]) -> None:
    clock = SystemClock()
    steps = asyncio.Event()
    waits = 0

    async def wait(_: float) -> None:
        nonlocal waits
        waits += 1
        await steps.wait()
        await asyncio.sleep(0)

    gateway = BinanceGateway(venue.settings, clock, on_event=events.append, wait=wait)
    await gateway.start()
    venue.answers["POST", ORDER_PATH] = error(400, -1111, "Precision is over the maximum defined for this asset.")
    await entry(gateway)
    venue.answers["GET", "/fapi/v1/exchangeInfo"] = {"symbols": [symbol(status="SETTLING")]}
    gateway._refreshed_ms -= 60_000  # the last refresh is a minute old
    task = asyncio.create_task(gateway.maintain())
    steps.set()
    await until(lambda: gateway.instruments()["AAAUSDT"].status.value == "SETTLING")
    task.cancel()
    await gateway.close()
    assert isinstance(events[-1], InstrumentsRefreshed)
    assert events[-1].changed == ("AAAUSDT",)


async def test_close_waits_for_a_write_under_way_and_refuses_new_ones(
    gateway: BinanceGateway, venue: VenueDouble
) -> None:
    release = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await release.wait()
        return web.json_response(ORDER)

    venue.answers["POST", ORDER_PATH] = slow
    task = asyncio.create_task(entry(gateway))
    await until(lambda: venue.hits)
    closing = asyncio.create_task(gateway.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    late = (await gateway.execute(submit(plain_order(), Priority.EXIT))).outcome
    assert isinstance(late, Refused)
    assert late.kind is RefusalKind.LOCAL
    release.set()
    await closing
    assert isinstance((await task).outcome, Accepted)


async def test_read_that_waits_for_a_thread_while_the_gateway_closes_is_refused_not_raised(
    gateway: BinanceGateway, venue: VenueDouble
) -> None:
    release = asyncio.Event()

    async def stuck(_: web.Request) -> web.Response:
        await release.wait()
        return web.json_response([])

    venue.answers["GET", "/fapi/v3/positionRisk"] = stuck
    reads = [asyncio.create_task(gateway.execute(FetchPositions())) for _ in range(8)]
    await until(lambda: len(venue.hits) == 6)
    await gateway.close()
    release.set()
    outcomes = [reply.outcome for reply in await asyncio.gather(*reads)]
    assert outcomes.count(Accepted(())) == 6
    assert [item.kind for item in outcomes if isinstance(item, Refused)] == [RefusalKind.LOCAL] * 2


async def test_answer_that_breaks_our_own_mapping_is_in_doubt_not_a_crash(
    gateway: BinanceGateway, venue: VenueDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("unforeseen")

    venue.answers["POST", ORDER_PATH] = ORDER
    monkeypatch.setattr("exchange.binance.mapping.payload_of", broken)
    assert (await entry(gateway)).outcome == InDoubt("unreadable answer (KeyError)")


async def test_one_time_sample_is_enough(gateway: BinanceGateway, venue: VenueDouble) -> None:
    answers = [{"serverTime": time.time_ns() // 1_000_000}]

    async def once(_: web.Request) -> web.Response:
        return web.json_response(answers.pop()) if answers else web.Response(status=503)

    venue.answers["GET", "/fapi/v1/time"] = once
    await gateway.synchronise()
    with pytest.raises(RuntimeFailure, match="time cannot be read"):
        await gateway.synchronise()


async def test_cancelled_caller_does_not_stop_a_write(gateway: BinanceGateway, venue: VenueDouble) -> None:
    release = asyncio.Event()
    ended = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await release.wait()
        ended.set()
        return web.json_response(ORDER)

    venue.answers["POST", ORDER_PATH] = slow
    task = asyncio.create_task(entry(gateway))
    await until(lambda: venue.hits)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await gateway.close()
    assert ended.is_set()


async def test_hanging_reads_delay_neither_entries_nor_exits_nor_the_loop(
    gateway: BinanceGateway, venue: VenueDouble
) -> None:
    release = asyncio.Event()

    async def stuck(_: web.Request) -> web.Response:
        await release.wait()
        return web.json_response([])

    venue.answers["GET", "/fapi/v3/positionRisk"] = stuck
    venue.answers["POST", ORDER_PATH] = ORDER
    reads = [asyncio.create_task(gateway.execute(FetchPositions())) for _ in range(20)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        assert isinstance((await entry(gateway)).outcome, Accepted)
        assert isinstance((await gateway.execute(submit(plain_order(), Priority.EXIT))).outcome, Accepted)
    release.set()
    replies = await asyncio.gather(*reads)
    assert all(reply.outcome == Accepted(()) for reply in replies)


async def test_reads_of_lists_learn_the_market_time(gateway: BinanceGateway, venue: VenueDouble) -> None:
    newest = 1_800_000_000_000
    venue.answers["GET", "/fapi/v1/openOrders"] = [ORDER, ORDER | {"updateTime": newest}]
    reply = await gateway.execute(FetchOpenOrders())
    assert gateway.venue_time_ms() == newest == reply.event_time_ms


async def test_failed_page_makes_the_whole_list_unknown(gateway: BinanceGateway, venue: VenueDouble) -> None:
    venue.answers["GET", "/fapi/v1/userTrades"] = raw(503, "")
    reply = await gateway.execute(FetchFills("X", from_trade_id=1))
    assert isinstance(reply.outcome, InDoubt)


async def test_order_queries_return_reports(gateway: BinanceGateway, venue: VenueDouble) -> None:
    venue.answers["GET", ORDER_PATH] = ORDER | {"avgPrice": "60000.5", "status": "FILLED", "executedQty": "0.010"}
    report = (await gateway.execute(QueryOrder("BTCUSDT", "ft-1-1-E0", OrderService.PLAIN))).payload()
    assert isinstance(report, OrderReport)
    assert report.execution_type == "QUERY"


async def test_candles_drop_the_forming_one_and_survive_a_hiccup(gateway: BinanceGateway, venue: VenueDouble) -> None:
    now_ms = gateway.venue_time_ms()
    first = now_ms - now_ms % 60_000 - 120_000
    rows = [
        [first + 60_000 * n, "1", "2", "0.5", "1.5", "10", first + 60_000 * n + 59_999, "15", 7, "4", "6", "0"]
        for n in range(3)
    ]
    answers = [raw(503, ""), rows]

    async def klines(request: web.Request) -> web.StreamResponse:
        answer = answers.pop(0)
        return await answer(request) if callable(answer) else web.json_response(answer)  # type: ignore[return-value]

    venue.answers["GET", "/fapi/v1/klines"] = klines
    candles = await gateway.candles("AAAUSDT", "1m", None, None, 2)
    assert [candle.open_time_ms for candle in candles] == [first, first + 60_000]
    assert len(venue.hits) == 2
    assert venue.hits[0].query["limit"] == "3"  # one more, because the last may be forming


async def test_candles_that_cannot_be_read_raise_one_clear_error(gateway: BinanceGateway, venue: VenueDouble) -> None:
    venue.answers["GET", "/fapi/v1/klines"] = error(400, -1121, "Invalid symbol.")
    with pytest.raises(RuntimeFailure, match=r"klines: Invalid symbol. \(-1121\)"):
        await gateway.candles("NOPE", "1m", None, None, 2)


async def test_listen_key_sends_the_key_header_without_a_signature(gateway: BinanceGateway, venue: VenueDouble) -> None:
    venue.answers["POST", "/fapi/v1/listenKey"] = {"listenKey": "abc"}
    assert await gateway.listen_key() == "abc"
    (hit,) = venue.to("POST", "/fapi/v1/listenKey")
    assert hit.raw_query == ""
    assert hit.headers["X-MBX-APIKEY"] == API_KEY


async def test_used_weight_follows_the_headers(gateway: BinanceGateway, venue: VenueDouble) -> None:
    venue.answers["GET", "/fapi/v1/openOrders"] = raw(200, "[]", X_MBX_USED_WEIGHT_1M="777")
    await gateway.execute(FetchOpenOrders("X"))
    assert gateway.used_weight >= 777


async def test_environment_proxies_never_stand_before_this_machine(venue: VenueDouble, monkeypatch: Any) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    gateway = BinanceGateway(venue.settings, SystemClock())
    await gateway.start()
    await gateway.close()


async def test_requests_never_run_on_the_loops_thread(gateway: BinanceGateway, venue: VenueDouble) -> None:
    venue.answers["POST", ORDER_PATH] = ORDER
    seen: list[tuple[SubmitOrder, int]] = []
    gateway.on_sent = lambda command, sent_ns: seen.append((command, threading.get_ident()))  # type: ignore[arg-type]
    await entry(gateway)
    assert seen[0][0] == submit(plain_order())
    assert seen[0][1] != threading.get_ident()
    assert gateway.latency["count"] == 1


async def test_on_sent_is_called_when_the_request_has_left_and_before_its_answer_is_read(
    gateway: BinanceGateway, venue: VenueDouble
) -> None:
    left_ns: list[int] = []

    async def answer_once_told(_: web.Request) -> web.StreamResponse:
        await until(lambda: bool(left_ns))
        return web.json_response(ORDER)

    venue.answers["POST", ORDER_PATH] = answer_once_told
    gateway.on_sent = lambda _, sent_ns: left_ns.append(sent_ns)
    began_ns = time.monotonic_ns()
    assert isinstance((await entry(gateway)).outcome, Accepted)
    assert len(left_ns) == 1
    assert began_ns < left_ns[0] < time.monotonic_ns()


def _fails(*_: Any, **__: Any) -> None:
    raise ValueError("nothing was sent")


async def test_request_that_never_leaves_does_not_hold_back_the_answers_of_others(
    gateway: BinanceGateway, venue: VenueDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.binance.departures.PATIENCE_S", 60.0)
    venue.answers["POST", ORDER_PATH] = ORDER
    client = gateway._requester._writes
    with monkeypatch.context() as broken:
        broken.setattr("exchange.binance.rest.send_request", _fails)
        await entry(gateway)
    async with asyncio.timeout(5):
        await entry(gateway)
    assert client._departures._under_way == 0


async def test_no_secret_reaches_a_log_whatever_fails(
    gateway: BinanceGateway, venue: VenueDouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for answer in UNKNOWN.values():
        venue.answers["POST", ORDER_PATH] = answer
        await entry(gateway)
        await gateway.execute(submit(algo_order(), Priority.EXIT))
    assert API_SECRET not in caplog.text
    assert API_KEY not in caplog.text
    assert "signature=" not in caplog.text


async def test_a_candle_that_ends_while_the_answer_is_under_way_is_not_taken_as_closed(
    gateway: BinanceGateway, venue: VenueDouble
) -> None:
    """The row was written while the candle was forming: its last trades are missing, whatever the time is by now."""
    first = gateway.venue_time_ms() // 60_000 * 60_000

    async def klines(_: web.Request) -> web.StreamResponse:
        gateway.venue_time.observe(first + 2 * 60_000 + 1)  # the streams go on while we wait
        return web.json_response([kline(first), kline(first + 60_000)])

    def kline(open_ms: int) -> list[object]:
        return [open_ms, "1", "2", "1", "2", "3", open_ms + 59_999, "5", 2, "1", "2", "0"]

    venue.answers["GET", "/fapi/v1/klines"] = klines
    candles = await gateway.candles("AAAUSDT", "1m", first, None, 10)
    assert [candle.open_time_ms for candle in candles] == [first]


# --- the lease ----------------------------------------------------------------------------------------------------


async def test_writes_that_wait_for_the_budget_do_not_leave_once_the_lease_is_lost(
    gateway: BinanceGateway, venue: VenueDouble
) -> None:
    gateway._requester.budget.pause(0.05)
    waiting = asyncio.create_task(gateway.execute(SetMarginType("AAAUSDT", MarginType.ISOLATED)))
    await asyncio.sleep(0)
    gateway.refuse_writes("another process took over")
    outcome = (await waiting).outcome
    assert outcome == Refused(RefusalKind.LOCAL, 0, "another process took over")
    assert venue.hits == []


async def test_writes_that_wait_for_a_connection_do_not_leave_once_the_lease_is_lost(
    gateway: BinanceGateway, venue: VenueDouble
) -> None:
    free = asyncio.Event()

    async def held(_: web.Request) -> web.Response:
        await free.wait()
        return web.json_response(ORDER)

    venue.answers["POST", ORDER_PATH] = held
    closes = [submit(plain_order(client_order_id=f"ft-1-{n}-C0"), Priority.EXIT) for n in range(20)]
    replies = [asyncio.create_task(gateway.execute(close)) for close in closes]
    await until(lambda: len(venue.hits) == 16 and gateway._requester.waiting == 4)
    gateway.refuse_writes("another process took over")
    free.set()
    outcomes = [(await reply).outcome for reply in replies]
    assert [isinstance(outcome, Refused) for outcome in outcomes] == [False] * 16 + [True] * 4
    assert len(venue.hits) == 16


async def test_reads_go_on_after_the_lease_is_lost(gateway: BinanceGateway, venue: VenueDouble) -> None:
    venue.answers["GET", "/fapi/v1/openOrders"] = []
    gateway.refuse_writes("another process took over")
    assert isinstance((await gateway.execute(FetchOpenOrders("AAAUSDT"))).outcome, Accepted)
