"""The embedded exchange through the official SDK's typed REST methods, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from binance_common.errors import (
    BadRequestError,
    NotFoundError,
    RateLimitBanError,
    TooManyRequestsError,
    UnauthorizedError,
)
from binance_common.utils import send_request

from simulator.server.limits import REFUSALS_BEFORE_BAN, RateLimits
from simulator.service import ExchangeOptions
from tests.contract.simulator_support import START_MS, RunningExchange, rest_client, running

BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}


@pytest.fixture
async def exchange() -> AsyncIterator[RunningExchange]:
    """A slow market, so that prices stay near while a test trades."""
    async with running(ExchangeOptions(speed=1.0, start_ms=START_MS)) as served:
        yield served


async def away(exchange: RunningExchange, factor: str, symbol: str = "BTCUSDT") -> str:
    """Return a price at `factor` of the last one, on the tick."""
    price = (await exchange.call(exchange.rest.symbol_price_ticker_v2, symbol=symbol)).actual_instance.price
    return format((Decimal(price) * Decimal(factor)).quantize(Decimal(price)), "f")


PUBLIC: list[tuple[str, dict[str, Any]]] = [
    ("test_connectivity", {}),
    ("check_server_time", {}),
    ("exchange_information", {}),
    ("order_book", {"symbol": "BTCUSDT", "limit": 20}),
    ("kline_candlestick_data", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1440}),
    ("compressed_aggregate_trades_list", {"symbol": "BTCUSDT", "limit": 20}),
    ("mark_price", {}),
    ("mark_price", {"symbol": "ETHUSDT"}),
    ("get_funding_rate_history", {"symbol": "BTCUSDT"}),
    ("get_funding_rate_info", {}),
    ("symbol_price_ticker", {"symbol": "BTCUSDT"}),
    ("symbol_price_ticker_v2", {}),
    ("symbol_order_book_ticker", {"symbol": "BTCUSDT"}),
    ("symbol_order_book_ticker", {}),
    ("ticker24hr_price_change_statistics", {"symbol": "BTCUSDT"}),
    ("ticker24hr_price_change_statistics", {}),
]
PRIVATE: list[tuple[str, dict[str, Any]]] = [
    ("account_information_v3", {}),
    ("futures_account_balance_v3", {}),
    ("position_information_v3", {}),
    ("futures_account_configuration", {}),
    ("symbol_configuration", {"symbol": "BTCUSDT"}),
    ("get_current_multi_assets_mode", {}),
    ("get_current_position_mode", {}),
    ("notional_and_leverage_brackets", {}),
    ("notional_and_leverage_brackets", {"symbol": "BTCUSDT"}),
    ("user_commission_rate", {"symbol": "BTCUSDT"}),
    ("query_user_rate_limit", {}),
    ("current_all_open_orders", {}),
    ("current_all_algo_open_orders", {}),
    ("all_orders", {"symbol": "BTCUSDT"}),
    ("query_all_algo_orders", {"symbol": "BTCUSDT"}),
    ("account_trade_list", {"symbol": "BTCUSDT"}),
    ("get_income_history", {}),
]


async def test_every_reading_method_parses_without_complaint(
    exchange: RunningExchange, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK warns whenever an answer does not fit its model's types; here it never may."""
    for method, arguments in PUBLIC + PRIVATE:
        answer = await exchange.call(getattr(exchange.rest, method), **arguments)
        assert answer is not None, method
        assert not caplog.records, f"{method}: {caplog.text}"


async def test_limits_arrive_in_the_sdks_own_form(exchange: RunningExchange) -> None:
    response = await asyncio.to_thread(exchange.rest.new_order, **BUY)
    assert {(limit.rateLimitType, limit.interval, limit.intervalNum) for limit in response.rate_limits} == {
        ("REQUEST_WEIGHT", "MINUTE", 1),
        ("ORDERS", "SECOND", 10),
        ("ORDERS", "MINUTE", 1),
    }


async def test_order_life_by_client_id(exchange: RunningExchange) -> None:
    rest, call = exchange.rest, exchange.call
    placed = await call(
        rest.new_order,
        symbol="BTCUSDT",
        side="BUY",
        type="LIMIT",
        time_in_force="GTC",
        quantity="0.010",
        price=await away(exchange, "0.97"),
        new_client_order_id="a.b:c/1_-",
    )
    assert (placed.status, placed.client_order_id) == ("NEW", "a.b:c/1_-")
    named = {"symbol": "BTCUSDT", "orig_client_order_id": "a.b:c/1_-"}
    assert (await call(rest.query_order, **named)).order_id == placed.order_id
    assert (await call(rest.query_current_open_order, **named)).order_id == placed.order_id
    assert [row.order_id for row in await call(rest.current_all_open_orders)] == [placed.order_id]
    assert (await call(rest.cancel_order, **named)).status == "CANCELED"
    with pytest.raises(BadRequestError) as caught:
        await call(rest.cancel_order, **named)
    assert caught.value.status_code == -2011
    again = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": "0.010"}
    await call(rest.new_order, **again, price=await away(exchange, "0.97"))
    assert (await call(rest.cancel_all_open_orders, symbol="BTCUSDT")).code == 200
    assert await call(rest.current_all_open_orders) == []


async def test_entry_stop_and_target_through_the_algo_service(exchange: RunningExchange) -> None:
    rest, call = exchange.rest, exchange.call
    filled = await call(rest.new_order, **BUY, new_order_resp_type="RESULT")
    assert filled.status == "FILLED"
    position = (await call(rest.position_information_v3, symbol="BTCUSDT"))[0]
    assert position.position_amt == "0.010"
    algo = {"algo_type": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "close_position": "true"}
    stop = await call(
        rest.new_algo_order,
        **algo,
        type="STOP_MARKET",
        trigger_price=await away(exchange, "0.98"),
        client_algo_id="stop-1",
    )
    target = await call(
        rest.new_algo_order, **algo, type="TAKE_PROFIT_MARKET", trigger_price=await away(exchange, "1.02")
    )
    opened = await call(rest.current_all_algo_open_orders, symbol="BTCUSDT")
    assert {row.algo_id for row in opened} == {stop.algo_id, target.algo_id}
    assert (await call(rest.query_algo_order, client_algo_id="stop-1")).algo_status == "NEW"
    assert (await call(rest.cancel_algo_order, algo_id=target.algo_id)).code == "200"
    assert (await call(rest.cancel_all_algo_open_orders, symbol="BTCUSDT")).code == 200
    assert await call(rest.current_all_algo_open_orders) == []
    with pytest.raises(BadRequestError) as caught:
        await call(rest.new_order, symbol="BTCUSDT", side="SELL", type="STOP_MARKET", quantity="0.010")
    assert caught.value.status_code == -4120


async def test_settings_are_changed_and_read_back(exchange: RunningExchange) -> None:
    rest, call = exchange.rest, exchange.call
    assert (await call(rest.change_initial_leverage, symbol="BTCUSDT", leverage=7)).leverage == 7
    assert (await call(rest.change_margin_type, symbol="BTCUSDT", margin_type="ISOLATED")).code == 200
    config = (await call(rest.symbol_configuration, symbol="BTCUSDT"))[0]
    assert (config.leverage, config.margin_type) == (7, "ISOLATED")
    assert (await call(rest.change_position_mode, dual_side_position="true")).code == 200
    assert (await call(rest.get_current_position_mode)).dual_side_position is True


async def test_listen_key_calls(exchange: RunningExchange) -> None:
    rest, call = exchange.rest, exchange.call
    key = (await call(rest.start_user_data_stream)).listen_key
    assert (await call(rest.keepalive_user_data_stream)).listen_key == key
    await call(rest.close_user_data_stream)
    with pytest.raises(BadRequestError) as caught:
        await call(rest.keepalive_user_data_stream)
    assert caught.value.status_code == -1125


async def test_refusals_become_the_sdks_own_errors(exchange: RunningExchange) -> None:
    stranger = rest_client(exchange.info, key="somebody-else")
    forger = rest_client(exchange.info, secret="a-guess")
    with pytest.raises(UnauthorizedError) as unknown:
        await exchange.call(stranger.futures_account_balance_v3)
    assert unknown.value.status_code == -2015
    with pytest.raises(BadRequestError) as forged:
        await exchange.call(forger.futures_account_balance_v3)
    assert forged.value.status_code == -1022
    with pytest.raises(BadRequestError) as invented:
        await exchange.call(exchange.rest.order_book, symbol="NOPEUSDT")
    assert invented.value.status_code == -1121
    rest = exchange.rest
    with pytest.raises(NotFoundError):
        await asyncio.to_thread(
            send_request,
            rest._session,
            rest.configuration,
            method="GET",
            path="/fapi/v1/unheardOf",
            payload={},
            time_unit=None,
        )


async def test_a_float_in_scientific_notation_is_refused_not_guessed(exchange: RunningExchange) -> None:
    with pytest.raises(BadRequestError) as caught:
        await exchange.call(exchange.rest.new_order, **{**BUY, "quantity": 0.00001})
    assert caught.value.status_code == -1100


async def test_too_many_requests_and_then_a_ban() -> None:
    limits = RateLimits(weight_per_minute=3)
    async with running(ExchangeOptions(start_ms=START_MS, limits=limits)) as exchange:
        with pytest.raises(TooManyRequestsError) as throttled:
            for _ in range(10):
                await exchange.call(exchange.rest.check_server_time)
        assert throttled.value.status_code == -1003
        assert 1 <= int(throttled.value.retry_after) <= 60
        with pytest.raises(RateLimitBanError) as banned:
            for _ in range(REFUSALS_BEFORE_BAN + 5):
                try:
                    await exchange.call(exchange.rest.check_server_time)
                except TooManyRequestsError:
                    continue
        assert int(banned.value.retry_after) > 100


async def test_server_time_and_recv_window_guard_signed_calls(exchange: RunningExchange) -> None:
    server = (await exchange.call(exchange.rest.check_server_time)).server_time
    assert abs(server - START_MS) > 1_000_000  # the gateway's clock is the wall's, not the market's
    with pytest.raises(BadRequestError) as caught:
        await exchange.call(exchange.rest.futures_account_balance_v3, recv_window=60_001)
    assert caught.value.status_code == -1130


async def test_the_same_market_again_for_the_same_seed() -> None:
    found = []
    for seed in (5, 5, 6):
        async with running(ExchangeOptions(start_ms=START_MS, seed=seed, symbols=12)) as exchange:
            found.append(
                await exchange.call(
                    exchange.rest.kline_candlestick_data,
                    symbol="SYM012USDT",
                    interval="1m",
                    limit=200,
                    end_time=START_MS - 1,
                )
            )
    assert found[0] == found[1] != found[2]
