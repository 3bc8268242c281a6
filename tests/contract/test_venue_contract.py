"""What the trader relies on, asked of a venue through the SDK and real sockets.

Runs over the embedded exchange, and over the testnet where its keys are in the environment. Every test leaves the
account flat and without orders.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from core.clock import SystemClock
from core.commands import (
    Accepted,
    CancelOrder,
    CommissionRate,
    FetchBalances,
    FetchCommissionRate,
    FetchFills,
    FetchIncome,
    FetchLeverageBrackets,
    FetchOpenAlgoOrders,
    FetchOpenOrders,
    FetchPositionMode,
    FetchPositions,
    FetchSymbolConfig,
    IdentifyOrder,
    QueryOrder,
    RefusalKind,
    Refused,
    SetLeverage,
    SetMarginType,
    SetPositionMode,
    SymbolConfig,
    VenueReply,
)
from core.enums import (
    AlgoStatus,
    Leg,
    MarginType,
    OrderService,
    OrderStatus,
    OrderType,
    PositionMode,
    PositionSide,
    Priority,
    Side,
    SymbolStatus,
    TimeInForce,
)
from core.events import AccountUpdated, AlgoOrderUpdated, CandleClosed, MarkPriceUpdated, OrderUpdated, PriceUpdated
from core.ids import ClientOrderId
from core.orders import AlgoOrderReport, AlgoOrderRequest, FillReport, OrderReport, OrderRequest, PositionReport
from exchange.binance.gateway import BinanceGateway
from exchange.binance.settings import VenueSettings
from tests.contract.venue_double import until
from tests.contract.venues import SYMBOL, Trader, embedded_exchange, has_testnet_keys, settings_of_testnet, trader
from tests.unit.exchange.builders import submit

EMBEDDED_SPEED = 30.0

VENUES = [
    "embedded",
    pytest.param(
        "testnet",
        marks=[
            pytest.mark.testnet,
            pytest.mark.slow,
            pytest.mark.skipif(not has_testnet_keys(), reason="needs BINANCE_API_KEY and _SECRET of the testnet"),
        ],
    ),
]
_INTENTS = itertools.count(time.time_ns() // 1_000_000_000)


@pytest.fixture(scope="module", params=VENUES)
def settings(request: pytest.FixtureRequest) -> Iterator[VenueSettings]:
    if request.param == "testnet":
        yield settings_of_testnet()
        return
    with embedded_exchange(EMBEDDED_SPEED) as found:
        yield found


@pytest.fixture
async def venue(settings: VenueSettings) -> AsyncIterator[Trader]:
    async with trader(settings) as running:
        await running.execute(SetPositionMode(PositionMode.ONEWAY))
        yield running
        await flatten(running)


def new_id(leg: Leg) -> str:
    return str(ClientOrderId(epoch=1, intent=next(_INTENTS), leg=leg, attempt=0))


async def order(venue: Trader, side: Side, *, exit: bool = False, **changes: Any) -> tuple[OrderRequest, VenueReply]:
    leg = Leg.CLOSE if exit else Leg.ENTRY
    request = OrderRequest(
        symbol=SYMBOL,
        side=side,
        position_side=PositionSide.BOTH,
        type=OrderType.MARKET,
        quantity=await venue.quantity(),
        client_order_id=new_id(leg),
        leg=leg,
        reduce_only=exit,
    )
    request = replace(request, **changes)
    return request, await venue.execute(submit(request, Priority.EXIT if exit else Priority.ENTRY))


async def conditional(venue: Trader, kind: OrderType, trigger: Decimal) -> tuple[AlgoOrderRequest, VenueReply]:
    leg = Leg.STOP if kind is OrderType.STOP_MARKET else Leg.TARGET
    request = AlgoOrderRequest(
        symbol=SYMBOL,
        side=Side.SELL,
        position_side=PositionSide.BOTH,
        type=kind,
        trigger_price=venue.tick(trigger),
        client_order_id=new_id(leg),
        leg=leg,
        close_position=True,
    )
    return request, await venue.execute(submit(request, Priority.EXIT))


async def resting(venue: Trader) -> tuple[OrderRequest, VenueReply]:
    price = venue.tick(await venue.price() * Decimal("0.97"))
    quantity = await venue.quantity() * 2
    return await order(
        venue, Side.BUY, type=OrderType.LIMIT, price=price, quantity=quantity, time_in_force=TimeInForce.GTC
    )


async def position(venue: Trader) -> Decimal:
    rows: tuple[PositionReport, ...] = (await venue.execute(FetchPositions(SYMBOL))).payload()
    return sum((row.quantity for row in rows), Decimal(0))


async def flatten(venue: Trader) -> None:
    for algo in (await venue.execute(FetchOpenAlgoOrders(SYMBOL))).payload():
        await venue.execute(CancelOrder(SYMBOL, algo.client_order_id, OrderService.ALGO))
    for plain in (await venue.execute(FetchOpenOrders(SYMBOL))).payload():
        await venue.execute(CancelOrder(SYMBOL, plain.client_order_id, OrderService.PLAIN))
    held = await position(venue)
    if held:
        side = Side.SELL if held > 0 else Side.BUY
        await order(venue, side, exit=True, quantity=abs(held))
    assert await position(venue) == 0


def refusal(reply: VenueReply) -> Refused:
    assert isinstance(reply.outcome, Refused), reply.outcome
    return reply.outcome


def order_updates(venue: Trader, client_order_id: str) -> list[OrderReport]:
    reports = [event.report for event in venue.events if isinstance(event, OrderUpdated)]
    return [report for report in reports if report.client_order_id == client_order_id]


def algo_updates(venue: Trader, client_order_id: str) -> list[AlgoOrderReport]:
    reports = [event.report for event in venue.events if isinstance(event, AlgoOrderUpdated)]
    return [report for report in reports if report.client_order_id == client_order_id]


async def test_start_knows_instruments_time_and_position_mode(venue: Trader) -> None:
    assert venue.instrument.status is SymbolStatus.TRADING
    assert venue.gateway.venue_time_ms() > 0
    assert (await venue.execute(FetchPositionMode())).payload() is PositionMode.ONEWAY


async def test_symbol_settings_are_read_back_as_set_and_may_be_set_twice(venue: Trader) -> None:
    for _ in range(2):
        assert (await venue.execute(SetLeverage(SYMBOL, 7))).outcome == Accepted(None)
        assert (await venue.execute(SetMarginType(SYMBOL, MarginType.ISOLATED))).outcome == Accepted(None)
    (config,) = (await venue.execute(FetchSymbolConfig(SYMBOL))).payload()
    assert config == SymbolConfig(SYMBOL, 7, MarginType.ISOLATED)


async def test_brackets_and_fee_rates_are_there(venue: Trader) -> None:
    steps = (await venue.execute(FetchLeverageBrackets())).payload()[SYMBOL]
    assert [step.notional_floor for step in steps] == sorted(step.notional_floor for step in steps)
    rates = (await venue.execute(FetchCommissionRate(SYMBOL))).payload()
    assert isinstance(rates, CommissionRate)
    assert Decimal(0) <= Decimal(rates.maker) <= Decimal(rates.taker) < Decimal("0.01")


async def test_market_entry_is_told_by_reply_stream_query_and_trades_alike(venue: Trader) -> None:
    request, reply = await order(venue, Side.BUY)
    assert isinstance(reply.outcome, Accepted), reply.outcome
    ack: OrderReport = reply.payload()
    assert (ack.client_order_id, ack.status) == (request.client_order_id, OrderStatus.FILLED)
    await until(lambda: any(row.status is OrderStatus.FILLED for row in order_updates(venue, request.client_order_id)))
    streamed = [row.fill for row in order_updates(venue, request.client_order_id) if row.fill is not None]
    query = (await venue.execute(QueryOrder(SYMBOL, request.client_order_id, OrderService.PLAIN))).payload()
    assert (await venue.execute(IdentifyOrder(SYMBOL, ack.venue_order_id))).payload() == query
    listed: tuple[FillReport, ...] = (
        await venue.execute(FetchFills(SYMBOL, from_trade_id=streamed[0].trade_id))
    ).payload()
    listed = tuple(fill for fill in listed if fill.venue_order_id == ack.venue_order_id)
    assert [replace(fill, client_order_id="") for fill in streamed] == list(listed)
    assert sum(fill.quantity for fill in listed) == request.quantity == query.filled_quantity
    assert query.status is OrderStatus.FILLED
    cost = sum(fill.price * fill.quantity for fill in listed)
    assert abs(query.average_price * request.quantity - cost) <= venue.instrument.tick_size * request.quantity
    assert await position(venue) == request.quantity


async def test_fill_updates_the_account_before_or_with_the_order(venue: Trader) -> None:
    request, _ = await order(venue, Side.SELL)
    await until(lambda: any(row.fill for row in order_updates(venue, request.client_order_id)))
    await until(lambda: any(isinstance(event, AccountUpdated) and event.positions for event in venue.events))
    account = next(event for event in venue.events if isinstance(event, AccountUpdated) and event.positions)
    assert account.reason == "ORDER"
    held = next(row for row in account.positions if row.symbol == SYMBOL and row.position_side is PositionSide.BOTH)
    assert held.quantity < 0


async def test_wallet_changes_by_realised_profit_less_fees_to_the_last_digit(venue: Trader) -> None:
    async def wallet() -> Decimal:
        rows = (await venue.execute(FetchBalances())).payload()
        return next(row.wallet_balance for row in rows if row.asset == "USDT")

    since = venue.gateway.venue_time_ms()
    before = await wallet()
    entry, reply = await order(venue, Side.BUY)
    first = reply.payload().venue_order_id
    _, reply = await order(venue, Side.SELL, exit=True, quantity=entry.quantity)
    last = reply.payload().venue_order_id
    after = await wallet()
    fills = (await venue.execute(FetchFills(SYMBOL, start_time_ms=since - 60_000))).payload()
    fills = [fill for fill in fills if fill.venue_order_id in (first, last)]
    income = (await venue.execute(FetchIncome(since - 60_000, "FUNDING_FEE"))).payload()
    funding = sum((row.amount for row in income if row.event_time_ms > since), Decimal(0))
    earned = sum((fill.realized_pnl - fill.fee for fill in fills), Decimal(0))
    assert after - before == earned + funding


async def test_stop_and_target_rest_on_the_algo_service_until_cancelled(venue: Trader) -> None:
    await order(venue, Side.BUY)
    price = await venue.price()
    stop, stopped = await conditional(venue, OrderType.STOP_MARKET, price * Decimal("0.96"))
    target, targeted = await conditional(venue, OrderType.TAKE_PROFIT_MARKET, price * Decimal("1.04"))
    for reply in (stopped, targeted):
        assert isinstance(reply.outcome, Accepted), reply.outcome
        assert reply.payload().status is AlgoStatus.NEW
    listed = (await venue.execute(FetchOpenAlgoOrders(SYMBOL))).payload()
    assert {row.client_order_id for row in listed} == {stop.client_order_id, target.client_order_id}
    assert all(row.close_position and row.venue_order_id is None for row in listed)
    asked = (await venue.execute(QueryOrder(SYMBOL, stop.client_order_id, OrderService.ALGO))).payload()
    assert (asked.trigger_price, asked.type) == (stop.trigger_price, OrderType.STOP_MARKET)
    plain = refusal(await venue.execute(QueryOrder(SYMBOL, stop.client_order_id, OrderService.PLAIN)))
    assert plain.kind is RefusalKind.NOT_FOUND  # two id spaces
    for leg in (stop, target):
        reply = await venue.execute(CancelOrder(SYMBOL, leg.client_order_id, OrderService.ALGO))
        assert reply.outcome == Accepted(None)
    await until(lambda: any(row.status is AlgoStatus.CANCELED for row in algo_updates(venue, target.client_order_id)))
    assert (await venue.execute(FetchOpenAlgoOrders(SYMBOL))).payload() == ()


async def test_stop_beyond_the_price_would_trigger_at_once(venue: Trader) -> None:
    await order(venue, Side.BUY)
    _, reply = await conditional(venue, OrderType.STOP_MARKET, await venue.price() * Decimal("1.03"))
    assert (refusal(reply).kind, refusal(reply).code) == (RefusalKind.WOULD_TRIGGER, -2021)


async def test_second_closing_stop_of_the_same_kind_is_refused(venue: Trader) -> None:
    await order(venue, Side.BUY)
    price = await venue.price()
    await conditional(venue, OrderType.STOP_MARKET, price * Decimal("0.96"))
    _, reply = await conditional(venue, OrderType.STOP_MARKET, price * Decimal("0.95"))
    assert (refusal(reply).kind, refusal(reply).code) == (RefusalKind.BUSINESS, -4130)


async def test_closing_stop_without_a_position_is_refused(venue: Trader) -> None:
    _, reply = await conditional(venue, OrderType.STOP_MARKET, await venue.price() * Decimal("0.96"))
    assert refusal(reply).kind is RefusalKind.REDUCE_ONLY


async def test_conditional_type_on_the_plain_route_is_refused(venue: Trader) -> None:
    _, reply = await order(venue, Side.SELL, type=OrderType.STOP_MARKET)
    assert (refusal(reply).kind, refusal(reply).code) == (RefusalKind.BUSINESS, -4120)


async def test_close_with_nothing_left_to_reduce_says_so(venue: Trader) -> None:
    _, reply = await order(venue, Side.SELL, exit=True)
    assert (refusal(reply).kind, refusal(reply).code) == (RefusalKind.REDUCE_ONLY, -2022)


async def test_resting_order_is_listed_then_cancelled_and_then_unknown(venue: Trader) -> None:
    request, reply = await resting(venue)
    assert reply.payload().status is OrderStatus.NEW
    (listed,) = (await venue.execute(FetchOpenOrders(SYMBOL))).payload()
    assert (listed.client_order_id, listed.price) == (request.client_order_id, request.price)
    cancel = CancelOrder(SYMBOL, request.client_order_id, OrderService.PLAIN)
    assert (await venue.execute(cancel)).outcome == Accepted(None)
    await until(lambda: OrderStatus.CANCELED in [row.status for row in order_updates(venue, request.client_order_id)])
    assert refusal(await venue.execute(cancel)).kind is RefusalKind.NOT_FOUND
    assert (await venue.execute(FetchOpenOrders(SYMBOL))).payload() == ()


async def test_open_client_id_cannot_be_used_twice(venue: Trader) -> None:
    request, _ = await resting(venue)
    reply = await venue.execute(submit(request))
    assert refusal(reply).kind is RefusalKind.DUPLICATE_ID


@pytest.mark.parametrize("service", list(OrderService))
async def test_order_that_never_was_is_not_found(venue: Trader, service: OrderService) -> None:
    reply = await venue.execute(QueryOrder(SYMBOL, new_id(Leg.ENTRY), service))
    assert refusal(reply).kind is RefusalKind.NOT_FOUND


async def test_orders_off_the_filters_are_refused_for_certain(venue: Trader) -> None:
    quantity = await venue.quantity()
    _, off_step = await order(venue, Side.BUY, quantity=quantity + venue.instrument.step_size / 10)
    assert refusal(off_step).kind is RefusalKind.BUSINESS
    smallest = max(venue.instrument.min_quantity, venue.instrument.step_size)
    _, too_small = await order(venue, Side.BUY, quantity=smallest)
    assert refusal(too_small).kind is RefusalKind.BUSINESS
    _, hedge = await order(venue, Side.BUY, position_side=PositionSide.LONG)
    assert refusal(hedge).code == -4061


async def test_hedge_mode_keeps_two_legs_and_closes_each_by_its_side(venue: Trader) -> None:
    assert (await venue.execute(SetPositionMode(PositionMode.HEDGE))).outcome == Accepted(None)
    assert (await venue.execute(FetchPositionMode())).payload() is PositionMode.HEDGE
    sides = ((PositionSide.LONG, Side.BUY, Side.SELL), (PositionSide.SHORT, Side.SELL, Side.BUY))
    quantities = {}
    for leg, entry, _ in sides:
        request, reply = await order(venue, entry, position_side=leg)
        assert isinstance(reply.outcome, Accepted), reply.outcome
        quantities[leg] = request.quantity
    rows: tuple[PositionReport, ...] = (await venue.execute(FetchPositions(SYMBOL))).payload()
    held = {row.position_side: row.quantity for row in rows if row.quantity}
    assert held == {
        PositionSide.LONG: quantities[PositionSide.LONG],
        PositionSide.SHORT: -quantities[PositionSide.SHORT],
    }
    changing = await venue.execute(SetPositionMode(PositionMode.ONEWAY))
    assert refusal(changing).code == -4068  # not while positions are open
    for leg, _, exit in sides:
        _, reply = await order(venue, exit, position_side=leg, quantity=quantities[leg])
        assert isinstance(reply.outcome, Accepted), reply.outcome
    assert await position(venue) == 0
    assert (await venue.execute(SetPositionMode(PositionMode.ONEWAY))).outcome == Accepted(None)


async def test_wrong_key_is_an_authentication_refusal(settings: VenueSettings) -> None:
    gateway = BinanceGateway(replace(settings, api_key="x" * 64), SystemClock())
    await gateway.synchronise()
    for command in (FetchPositions(), SetLeverage(SYMBOL, 5)):
        assert refusal(await gateway.execute(command)).kind is RefusalKind.AUTHENTICATION
    await gateway.close()


async def test_wrong_secret_is_an_authentication_refusal(settings: VenueSettings) -> None:
    gateway = BinanceGateway(replace(settings, api_secret="x" * 64), SystemClock())
    await gateway.synchronise()
    reply = refusal(await gateway.execute(FetchPositions()))
    assert (reply.kind, reply.code) == (RefusalKind.AUTHENTICATION, -1022)
    await gateway.close()


async def test_used_weight_is_counted_from_the_venues_headers(venue: Trader) -> None:
    assert venue.gateway.used_weight > 0


async def test_history_is_closed_contiguous_and_ends_at_the_present(venue: Trader) -> None:
    candles = await venue.gateway.candles(SYMBOL, "1m", None, None, 1200)
    assert len(candles) == 1200
    opens = [candle.open_time_ms for candle in candles]
    assert opens == list(range(opens[0], opens[0] + 1200 * 60_000, 60_000))
    now_ms = venue.gateway.venue_time_ms()
    assert candles[-1].close_time_ms < now_ms
    assert now_ms - candles[-1].close_time_ms < 180_000
    for candle in candles:
        assert candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
        assert venue.instrument.is_on_tick(candle.close)


async def test_history_of_a_span_equals_the_same_span_of_the_whole(venue: Trader) -> None:
    whole = await venue.gateway.candles(SYMBOL, "1m", None, None, 60)
    part = await venue.gateway.candles(SYMBOL, "1m", whole[10].open_time_ms, whole[19].open_time_ms, 500)
    assert part == whole[10:20]


async def test_longer_intervals_are_the_sum_of_the_minutes(venue: Trader) -> None:
    (five,) = await venue.gateway.candles(SYMBOL, "5m", None, None, 1)
    minutes = await venue.gateway.candles(SYMBOL, "1m", five.open_time_ms, five.close_time_ms, 5)
    assert (five.open, five.close) == (minutes[0].open, minutes[-1].close)
    assert five.high == max(minute.high for minute in minutes)
    assert five.volume == sum(minute.volume for minute in minutes)


@pytest.mark.slow
async def test_streamed_candles_equal_history_and_follow_one_another(venue: Trader) -> None:
    def closed() -> list[CandleClosed]:
        return [event for event in venue.events if isinstance(event, CandleClosed)]

    await until(lambda: len(closed()) >= 2, within_s=150)
    first, second = (event.candle for event in closed()[:2])
    assert second.open_time_ms == first.next_open_time_ms
    history = await venue.gateway.candles(SYMBOL, "1m", first.open_time_ms, second.close_time_ms, 2)
    assert history == [first, second]
    assert any(isinstance(event, PriceUpdated) for event in venue.events)
    assert any(isinstance(event, MarkPriceUpdated) for event in venue.events)
