"""Our JSON against recorded messages and the documentation's examples: the same keys, the same forms of value."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from simulator.server.stream_names import Category
from tests.unit.simulator_server.support import Desk, frames

DECIMAL = re.compile(r"-?\d+(\.\d+)?")
ADDED = {
    "order": {"cumQty"},
    "trade": {"pair", "baseQty"},
    "aggTrades": {"nq"},
    "commission": {"rpiCommissionRate"},
}
"""Keys that the venue has added since the message was recorded (fact sheet sections 4, 7, 11)."""


INTEGERS = {"orderId", "id", "time", "updateTime", "goodTillDate", "adl", "tranId"}
"""Keys that are JSON numbers on the wire; one source of the recordings quotes them."""


def form(value: Any) -> Any:
    """Return the form of a value: its JSON type, with decimal text told from other text."""
    if isinstance(value, dict):
        return {key: form(item) for key, item in value.items()}
    if isinstance(value, list):
        return [form(value[0])] if value else []
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    if isinstance(value, int):
        return "integer"
    if isinstance(value, str) and DECIMAL.fullmatch(value):
        return "decimal"
    return "text"


def unquoted(value: Any) -> Any:
    """Return the payload with the integers that its recorder had quoted."""
    if isinstance(value, dict):
        return {key: int(item) if key in INTEGERS else unquoted(item) for key, item in value.items()}
    return [unquoted(item) for item in value] if isinstance(value, list) else value


def recorded(folder: Path, file: str, **wanted: Any) -> Any:
    """Return the payload of the first message whose fields equal `wanted`."""
    for line in (folder / "messages" / file).read_bytes().splitlines():
        message = orjson.loads(line)
        if all(message.get(key) == value for key, value in wanted.items()):
            quoted = message["encoding"] == "ccxt_numbers_as_strings"
            return unquoted(message["payload"]) if quoted else message["payload"]
    raise AssertionError(f"{file} has no message with {wanted}")


def assert_same(ours: Any, theirs: Any, *, added: set[str] = frozenset(), gone: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Compare keys and forms; `added` are keys newer than the recording, `gone` such as the venue has dropped."""
    ours_form, theirs_form = form(ours), form(theirs)
    assert set(ours_form) - added == set(theirs_form) - gone
    for key in set(theirs_form) - gone:
        assert ours_form[key] == theirs_form[key], key


@pytest.fixture
def traded(desk: Desk) -> Desk:
    """An account with a filled order, a resting one, a conditional one, and a closed round trip."""
    price = (desk.market.last_price("BTCUSDT") * Decimal("0.97")).quantize(Decimal("0.1"))
    order = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010"}
    desk.call("POST", "/fapi/v1/order", **order, type="MARKET")
    desk.call("POST", "/fapi/v1/order", **order, type="LIMIT", timeInForce="GTC", price=f"{price}")
    algo = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "algoType": "CONDITIONAL"}
    desk.call("POST", "/fapi/v1/algoOrder", **algo, triggerPrice=f"{price}", quantity="0.010")
    desk.call("POST", "/fapi/v1/order", **{**order, "side": "SELL", "quantity": "0.005"}, type="MARKET")
    return desk


def test_order_ack_equals_the_recorded_one_without_what_was_dropped(traded: Desk, shared_data: Path) -> None:
    theirs = recorded(shared_data, "binance_rest.jsonl", n=2)[0]
    ours = traded.call("POST", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.010")
    assert_same(ours, theirs, gone={"avgPrice", "cumQuote"})


def test_open_order_equals_the_recorded_one(traded: Desk, shared_data: Path) -> None:
    theirs = recorded(shared_data, "binance_rest.jsonl", n=3)
    assert_same(traded.call("GET", "/fapi/v1/openOrders")[0], theirs)


def test_algo_ack_equals_the_recorded_one(traded: Desk, shared_data: Path) -> None:
    theirs = recorded(shared_data, "binance_rest.jsonl", n=1)
    price = (traded.market.last_price("BTCUSDT") * Decimal("0.95")).quantize(Decimal("0.1"))
    ours = traded.call(
        "POST",
        "/fapi/v1/algoOrder",
        algoType="CONDITIONAL",
        symbol="BTCUSDT",
        side="SELL",
        type="STOP_MARKET",
        triggerPrice=f"{price}",
        quantity="0.010",
    )
    assert_same(ours, theirs)


def test_algo_query_equals_the_documented_one(traded: Desk, shared_data: Path) -> None:
    theirs = recorded(shared_data, "binance_um_docs_examples.jsonl", name="GetConditionalOrder")
    ours = traded.call("GET", "/fapi/v1/openAlgoOrders")[0]
    theirs |= {"actualOrderId": "", "actualType": ""}
    assert_same(ours, theirs)


def test_user_trades_equal_the_recorded_ones(traded: Desk, shared_data: Path) -> None:
    opening, closing = recorded(shared_data, "binance_rest.jsonl", n=7)
    ours = traded.call("GET", "/fapi/v1/userTrades", symbol="BTCUSDT")
    assert_same(ours[0], opening, added=ADDED["trade"])
    assert_same(ours[-1], closing, added=ADDED["trade"])
    assert ours[0]["realizedPnl"] == opening["realizedPnl"] == "0"


def test_position_and_account_equal_the_recorded_ones(traded: Desk, shared_data: Path) -> None:
    position = recorded(shared_data, "binance_rest.jsonl", n=4)[0]
    assert_same(traded.call("GET", "/fapi/v3/positionRisk")[0], position)
    account = recorded(shared_data, "binance_rest.jsonl", n=5)
    assert_same(traded.call("GET", "/fapi/v3/account"), account)


def test_income_and_errors_equal_the_recorded_ones(traded: Desk, shared_data: Path) -> None:
    income = recorded(shared_data, "binance_rest.jsonl", n=9)[0]
    ours = traded.call("GET", "/fapi/v1/income", incomeType="COMMISSION")[0]
    assert_same({**ours, "tradeId": ""}, {**income, "info": ours["info"]})
    assert isinstance(ours["tradeId"], str)
    refused = traded.refused(
        "POST", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="STOP_MARKET", quantity="1", stopPrice="1"
    )
    assert orjson.loads(refused.body) == recorded(shared_data, "binance_rest.jsonl", n=11)
    assert orjson.loads(traded.refused("GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=10**12).body) == recorded(
        shared_data, "binance_rest.jsonl", n=12
    )
    assert orjson.loads(traded.refused("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=10**12).body) == recorded(
        shared_data, "binance_rest.jsonl", n=13
    )


DOCUMENTED = [
    ("GetAggregatedTradeHistory", "/fapi/v1/aggTrades", {"symbol": "BTCUSDT"}, ADDED["aggTrades"]),
    ("GetUserCommissionRate", "/fapi/v1/commissionRate", {"symbol": "BTCUSDT"}, ADDED["commission"]),
    ("GetOrderBook", "/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 5}, set()),
    ("GetFundingRates", "/fapi/v1/fundingRate", {"symbol": "BTCUSDT"}, set()),
    ("GetKlines", "/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 2}, set()),
    ("GetMultiAssetsMode", "/fapi/v1/multiAssetsMargin", {}, set()),
    ("GetMarkPrice", "/fapi/v1/premiumIndex", {"symbol": "BTCUSDT"}, set()),
    ("GetOrderRateLimit", "/fapi/v1/rateLimit/order", {}, set()),
    ("GetTicker", "/fapi/v1/ticker/24hr", {"symbol": "BTCUSDT"}, set()),
    ("GetBookPrice", "/fapi/v1/ticker/bookTicker", {"symbol": "BTCUSDT"}, set()),
    ("GetServerTime", "/fapi/v1/time", {}, set()),
    ("GetPrice", "/fapi/v2/ticker/price", {"symbol": "BTCUSDT"}, set()),
    ("GetBalances", "/fapi/v3/balance", {}, set()),
    ("GetAccountConfiguration", "/fapi/v1/accountConfig", {}, set()),
]


@pytest.mark.parametrize(("name", "path", "parameters", "added"), DOCUMENTED, ids=[row[0] for row in DOCUMENTED])
def test_answer_equals_the_documented_example(
    traded: Desk, shared_data: Path, name: str, path: str, parameters: Any, added: set[str]
) -> None:
    theirs = recorded(shared_data, "binance_um_docs_examples.jsonl", name=name)
    ours = traded.call("GET", path, **parameters)
    if isinstance(theirs, list) and isinstance(theirs[0], list):
        assert [form(item) for item in ours[0]] == [form(item) for item in theirs[0]]
    elif isinstance(theirs, list):
        assert_same(ours[0], theirs[0], added=added)
    else:
        assert_same(ours, theirs, added=added)


def test_exchange_info_equals_the_recorded_one(desk: Desk, shared_data: Path) -> None:
    file = shared_data / "exchange_info" / "binance_um_exchangeInfo_demo_2026-09-10_2symbols.json"
    theirs = orjson.loads(file.read_bytes())
    ours = desk.call("GET", "/fapi/v1/exchangeInfo")
    assert set(ours) >= set(theirs)
    ours_symbol, theirs_symbol = ours["symbols"][0], theirs["symbols"][0]
    assert_same(ours_symbol, theirs_symbol)
    ours_filters = {row["filterType"]: form(row) for row in ours_symbol["filters"]}
    assert ours_filters == {row["filterType"]: form(row) for row in theirs_symbol["filters"]}


def test_user_events_equal_the_recorded_ones(desk: Desk, shared_data: Path) -> None:
    session = desk.user_stream()
    desk.call("POST", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.010")
    found = frames(session)
    kinds = [frame["e"] for frame in found]
    assert kinds == ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE"]
    accepted, account, lite, filled = found
    file = "binance_um_user_stream.jsonl"
    assert_same(accepted["o"], recorded(shared_data, file, n=15)["o"])
    assert_same(filled["o"], recorded(shared_data, file, n=13)["o"])
    assert_same(lite, recorded(shared_data, file, n=14))
    theirs = recorded(shared_data, file, n=4)
    assert_same(account["a"]["B"][0], theirs["a"]["B"][0])
    assert_same(account["a"]["P"][0], theirs["a"]["P"][0])
    assert account["T"] == filled["T"]


def test_algo_events_equal_the_recorded_ones(desk: Desk, shared_data: Path) -> None:
    session = desk.user_stream()
    last = desk.market.last_price("BTCUSDT")
    algo = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "BUY", "type": "STOP_MARKET", "quantity": "0.01"}
    desk.call("POST", "/fapi/v1/algoOrder", **algo, triggerPrice=f"{last + Decimal('0.1')}")
    while not any(frame.startswith(b'{"e":"ALGO_UPDATE"') and b"FINISHED" in frame for frame in session.outgoing):
        desk.play(60_000)
    updates = [frame["o"] for frame in frames(session) if frame["e"] == "ALGO_UPDATE"]
    assert [update["X"] for update in updates] == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]
    file = "binance_um_user_stream.jsonl"
    for update, number in zip(updates, (20, 17, 19, 18), strict=True):
        theirs = recorded(shared_data, file, n=number)
        theirs = theirs.get("data", theirs)["o"]
        assert_same(update, theirs, added={"ia"} - set(theirs))


def test_market_frames_equal_the_recorded_ones(desk: Desk, shared_data: Path) -> None:
    market = desk.connect(Category.MARKET, "btcusdt@aggTrade", "btcusdt@markPrice@1s", "btcusdt@kline_1m")
    public = desk.connect(Category.PUBLIC, "btcusdt@bookTicker", "btcusdt@depth@100ms")
    desk.play(60_000, wall_ms=1000)
    desk.play(20_000, wall_ms=1000)
    by_kind = {frame["e"]: frame for session in (market, public) for frame in frames(session)}
    stream = "binance_um_public_stream.jsonl"
    assert_same(by_kind["aggTrade"], recorded(shared_data, stream, n=1)["data"])
    assert_same(by_kind["markPriceUpdate"], recorded(shared_data, stream, n=2)["data"])
    book = [orjson.loads(line)["data"] for line in _lines(shared_data / "book" / BOOK_FILE)]
    assert_same(by_kind["bookTicker"], next(frame for frame in book if frame["e"] == "bookTicker"))
    theirs = next(frame for frame in book if frame["e"] == "depthUpdate" and frame["a"] and frame["b"])
    assert_same(by_kind["depthUpdate"], theirs)
    documented = recorded(shared_data, "binance_um_docs_examples.jsonl", name="Klines")["data"]
    assert_same(by_kind["kline"], documented)


BOOK_FILE = "binance_um_BTCUSDT_demo_2026-09-15_frames.jsonl"


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()
