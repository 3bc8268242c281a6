"""Every recorded message and every documented example goes through our decoders: read, or ignored on purpose."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.commands import Refused, SymbolConfig
from core.enums import AlgoStatus, LiquiditySide, OrderStatus, OrderType, PositionSide
from core.events import (
    AccountConfigChanged,
    AccountUpdated,
    AlgoOrderUpdated,
    CandleClosed,
    MarginCalled,
    MarkPriceUpdated,
    OrderUpdated,
    PriceUpdated,
    QuoteUpdated,
)
from core.orders import OrderReport
from exchange.binance import mapping
from exchange.binance.classify import refusal
from exchange.binance.exchange_info import parse_exchange_info
from exchange.binance.market_frames import decode_market
from exchange.binance.user_frames import decode_user
from exchange.binance.wire import decode_json

NOW_MS = 1_800_000_000_000

USER_KINDS: dict[str, type | None] = {
    "ORDER_TRADE_UPDATE": OrderUpdated,
    "ALGO_UPDATE": AlgoOrderUpdated,
    "ACCOUNT_UPDATE": AccountUpdated,
    "ACCOUNT_CONFIG_UPDATE": AccountConfigChanged,
    "MARGIN_CALL": MarginCalled,
    "TRADE_LITE": None,
    "listenKeyExpired": None,
}
MARKET_KINDS: dict[str, type] = {
    "markPriceUpdate": MarkPriceUpdated,
    "aggTrade": PriceUpdated,
    "bookTicker": QuoteUpdated,
    "kline": PriceUpdated,
}


def lines(path: Path) -> list[dict[str, Any]]:
    return [decode_json(line.encode()) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def payload(row: dict[str, Any]) -> Any:
    data = row["payload"]
    return data["data"] if isinstance(data, dict) and "stream" in data else data


@pytest.fixture
def messages(shared_data: Path) -> Path:
    return shared_data / "messages"


def test_recorded_user_events_become_their_domain_events(messages: Path) -> None:
    rows = lines(messages / "binance_um_user_stream.jsonl")
    assert len(rows) == 27
    for row in rows:
        event = decode_user(payload(row), NOW_MS)
        expected = USER_KINDS[row["kind"]]
        if expected is None:
            assert event is None, row["n"]
            continue
        assert type(event) is expected, (row["n"], event)
        assert event.received_time_ms == NOW_MS
        assert event.event_time_ms == payload(row)["E"]


def user_event(messages: Path, number: int) -> Any:
    row = next(row for row in lines(messages / "binance_um_user_stream.jsonl") if row["n"] == number)
    return decode_user(payload(row), NOW_MS)


def test_recorded_market_fill_keeps_price_fee_and_ids(messages: Path) -> None:
    report = user_event(messages, 3).report
    assert (report.status, report.execution_type) == (OrderStatus.FILLED, "TRADE")
    assert report.average_price == Decimal("84146.50000")
    fill = report.fill
    assert (fill.trade_id, fill.venue_order_id) == (310194316, 4129479931)
    assert (fill.price, fill.quantity, fill.fee) == (Decimal("84146.50"), Decimal("0.100"), Decimal("3.36586000"))
    assert (fill.fee_asset, fill.liquidity_side) == ("USDT", LiquiditySide.TAKER)


def test_recorded_new_order_has_no_fill_and_no_average_price(messages: Path) -> None:
    report = user_event(messages, 1).report
    assert report.fill is None
    assert report.average_price is None
    assert report.filled_quantity == 0


def test_recorded_maker_fill_without_fee_is_a_maker_fill_of_zero_fee(messages: Path) -> None:
    fill = user_event(messages, 13).report.fill
    assert (fill.fee, fill.liquidity_side) == (Decimal(0), LiquiditySide.MAKER)


def test_recorded_algo_walk_links_the_plain_order_from_triggered_on(messages: Path) -> None:
    triggering, finished, triggered = (user_event(messages, number).report for number in (17, 18, 19))
    assert (triggering.status, triggering.venue_order_id) == (AlgoStatus.TRIGGERING, None)
    assert (triggered.status, triggered.venue_order_id) == (AlgoStatus.TRIGGERED, 88937381063)
    assert triggered.actual_price is None
    assert (finished.status, finished.venue_order_id) == (AlgoStatus.FINISHED, 88937381063)
    assert (finished.actual_price, finished.actual_quantity) == (Decimal("0.13856"), Decimal(38))


def test_recorded_hedge_short_position_is_negative(messages: Path) -> None:
    (position,) = user_event(messages, 25).positions
    assert (position.position_side, position.quantity) == (PositionSide.SHORT, Decimal("-0.473"))


def test_recorded_funding_carries_the_balance_change_only(messages: Path) -> None:
    event = user_event(messages, 7)
    assert (event.reason, event.positions) == ("FUNDING_FEE", ())
    assert event.balances[0].balance_change == Decimal("-0.00085067")


def test_recorded_public_frames_become_market_events_or_nothing(messages: Path) -> None:
    rows = lines(messages / "binance_um_public_stream.jsonl")
    assert len(rows) == 6
    for row in rows:
        event = decode_market(payload(row), NOW_MS, 1)
        expected = MARKET_KINDS.get(row["kind"])
        assert (event is None) if expected is None else (type(event) is expected), row["n"]


def test_recorded_rest_answers_are_read(messages: Path) -> None:
    rows = {row["n"]: row["payload"] for row in lines(messages / "binance_rest.jsonl")}
    assert len(rows) == 13
    assert mapping.algo_order_report(rows[1]).status is AlgoStatus.NEW
    assert mapping.order_report(rows[2][0], "ACK").quantity == Decimal("0.200")
    assert mapping.order_report(rows[3], "QUERY").venue_order_id == 664082074
    assert mapping.position_report(rows[4][0]).liquidation_price == Decimal("64846.98753790")
    assert mapping.fill_report(rows[6][0]).fee == Decimal("0.14626840")
    assert [mapping.fill_report(row).realized_pnl for row in rows[7]] == [Decimal(0), Decimal("-0.00325000")]
    assert mapping.income_report(rows[9][0]).transaction_id == 8082457372019390060
    assert mapping.order_report(rows[10], "ACK").average_price == Decimal("89.82000")
    for number in (11, 12, 13):
        assert isinstance(refusal(rows[number]["code"], rows[number]["msg"]), Refused)
    # 5 is v3/account, which we do not use; 8 is another end point whose rows lack nothing that we need
    assert mapping.order_report(rows[8][0], "QUERY").symbol == "LTCUSDT"


def test_recorded_trades_of_a_whole_session_are_read_and_add_up(messages: Path) -> None:
    with (messages / "binance_um_userTrades_testnet_2025-06-21.csv").open(encoding="utf-8") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    fills = [mapping.fill_report(row) for row in rows]
    assert len({fill.trade_id for fill in fills}) == len(rows) == 98
    for fill, row in zip(fills, rows, strict=True):
        assert fill.price * fill.quantity == Decimal(row["quoteQty"])
        assert fill.fee == Decimal(row["commission"])
    assert sum(fill.realized_pnl for fill in fills) == sum(Decimal(row["realizedPnl"]) for row in rows)


DOCUMENTED_ROWS = {
    "GetOrder": lambda body: mapping.order_report(body, "QUERY"),
    "GetOpenOrder": lambda body: mapping.order_report(body, "QUERY"),
    "GetOpenOrders": lambda body: [mapping.order_report(row, "QUERY") for row in body],
    "PlaceOrder": lambda body: mapping.order_report(body, "ACK"),
    "CancelOrder": lambda body: mapping.order_report(body, "QUERY"),
    "EditOrder": lambda body: mapping.order_report(body, "ACK"),
    "PlaceConditionalOrder": mapping.algo_order_report,
    "GetConditionalOrder": mapping.algo_order_report,
    "GetOpenConditionalOrders": lambda body: [mapping.algo_order_report(row) for row in body],
    "GetUserTrades": lambda body: [mapping.fill_report(row) for row in body],
    "GetIncomeHistory": lambda body: [mapping.income_report(row) for row in body],
    "GetBalances": lambda body: [mapping.balance_report(row) for row in body],
    "GetPositions": lambda body: [mapping.position_report(row) for row in body],
    "GetSymbolConfiguration": lambda body: [mapping.symbol_config(row) for row in body],
    "GetUserCommissionRate": mapping.commission_rate,
    "GetKlines": lambda body: mapping.candles("BTCUSDT", "1m", body),
    "GetExchangeInfo": lambda body: parse_exchange_info(json.dumps(body, default=str).encode()),
}


def test_documented_examples_of_what_we_call_are_read(messages: Path) -> None:
    seen = set()
    for row in lines(messages / "binance_um_docs_examples.jsonl"):
        if row["name"] in DOCUMENTED_ROWS:
            seen.add(row["name"])
            assert DOCUMENTED_ROWS[row["name"]](row["payload"]), row["name"]
    assert seen == set(DOCUMENTED_ROWS)


def test_documented_stream_examples_are_read_or_ignored(messages: Path) -> None:
    rows = [row for row in lines(messages / "binance_um_docs_examples.jsonl") if row["method"] == "WS"]
    assert len(rows) == 19
    for row in rows:
        data = payload(row)
        if isinstance(data, list):
            continue  # all-market arrays are not subscribed
        kind = data["e"]
        if kind in USER_KINDS:
            event: Any = decode_user(data, NOW_MS)
            expected = USER_KINDS[kind]
        else:
            event = decode_market(data, NOW_MS, 1)
            expected = MARKET_KINDS.get(kind)
        assert (event is None) if expected is None else (type(event) is expected), (row["name"], event)


def test_documented_liquidation_fields_are_data_not_errors(messages: Path) -> None:
    row = next(row for row in lines(messages / "binance_um_docs_examples.jsonl") if row["name"] == "OrderUpdate")
    order = payload(row)["o"] | {"o": "LIQUIDATION", "x": "CALCULATED", "X": "NEW_INSURANCE", "c": "autoclose-1"}
    order |= {"l": "0.001", "L": "9910", "t": 7, "z": "0.001"}
    event = decode_user(payload(row) | {"o": order}, NOW_MS)
    assert isinstance(event, OrderUpdated)
    assert (event.report.type, event.report.status) == (OrderType.LIQUIDATION, OrderStatus.UNKNOWN)
    assert event.report.fill is not None
    assert event.report.fill.trade_id == 7


def test_documented_symbol_config_is_exact(messages: Path) -> None:
    row = next(
        row for row in lines(messages / "binance_um_docs_examples.jsonl") if row["name"] == "GetSymbolConfiguration"
    )
    config = mapping.symbol_config(row["payload"][0])
    assert isinstance(config, SymbolConfig)
    assert config.leverage == 21


def test_documented_closing_kline_is_a_closed_candle(messages: Path) -> None:
    row = next(row for row in lines(messages / "binance_um_docs_examples.jsonl") if row["name"] == "Klines")
    data = payload(row)
    event = decode_market(data | {"k": data["k"] | {"x": True, "i": "1m"}}, NOW_MS, 42)
    assert isinstance(event, CandleClosed)
    assert event.received_ns == 42
    assert event.candle.high == Decimal(data["k"]["h"])
    assert event.candle.taker_buy_quote_volume == Decimal(data["k"]["Q"])


def test_order_reports_from_ack_and_query_agree_on_identity(messages: Path) -> None:
    rows = {row["n"]: row["payload"] for row in lines(messages / "binance_rest.jsonl")}
    report: OrderReport = mapping.order_report(rows[10], "QUERY")
    assert (report.execution_type, report.original_type) == ("QUERY", OrderType.MARKET)
