"""exchangeInfo of three real moments becomes instruments; what cannot be traded is left out, not guessed."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.enums import SymbolStatus
from exchange.binance.budget import RateLimits
from exchange.binance.exchange_info import InstrumentCache, parse_exchange_info
from exchange.binance.wire import WireError


def body_of(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


@pytest.mark.parametrize(
    ("name", "count", "btc_tick", "weight"),
    [
        ("binance_um_exchangeInfo_mainnet_2021-07-21.json.gz", None, "0.01", 2400),
        ("binance_um_exchangeInfo_testnet_2025-12-24.json.gz", 649, "0.10", 6000),
        ("binance_um_exchangeInfo_demo_2026-09-10_2symbols.json", 2, "0.10", 6000),
    ],
)
def test_parse_recorded_exchange_info_yields_every_perpetual(
    shared_data: Path, name: str, count: int | None, btc_tick: str, weight: int
) -> None:
    body = body_of(shared_data / "exchange_info" / name)
    instruments, limits = parse_exchange_info(body)
    raw = [row for row in json.loads(body)["symbols"] if row["contractType"] in ("PERPETUAL", "TRADIFI_PERPETUAL")]
    tradable = [row for row in raw if all(Decimal(item.get("tickSize", "1")) > 0 for item in row["filters"])]
    assert set(instruments) == {row["symbol"] for row in tradable}
    assert len(raw) - len(tradable) <= 1  # one delisted contract has a tick of zero
    assert count is None or len(instruments) == count
    assert instruments["BTCUSDT"].tick_size == Decimal(btc_tick)
    assert limits.weight_1m == weight
    for row in tradable:
        filters = {item["filterType"]: item for item in row["filters"]}
        instrument = instruments[row["symbol"]]
        assert instrument.status.value == row["status"]
        assert instrument.tick_size == Decimal(filters["PRICE_FILTER"]["tickSize"])
        assert instrument.step_size == Decimal(filters["LOT_SIZE"]["stepSize"])
        assert instrument.market_max_quantity == Decimal(filters["MARKET_LOT_SIZE"]["maxQty"])
        assert instrument.min_notional == Decimal(filters["MIN_NOTIONAL"]["notional"])
        assert instrument.multiplier_up == Decimal(filters["PERCENT_PRICE"]["multiplierUp"])
        assert instrument.trigger_protect == Decimal(row["triggerProtect"])


def symbol(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "symbol": "AAAUSDT",
        "baseAsset": "AAA",
        "quoteAsset": "USDT",
        "status": "TRADING",
        "contractType": "PERPETUAL",
        "pricePrecision": 2,
        "quantityPrecision": 0,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01", "minPrice": "0.01", "maxPrice": "1000"},
            {"filterType": "LOT_SIZE", "stepSize": "1", "minQty": "1", "maxQty": "100"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95"},
            {"filterType": "INVENTED_LATER", "limit": "many"},
        ],
    }
    return row | changes


def parse(*symbols: dict[str, Any]) -> dict[str, Any]:
    return parse_exchange_info(json.dumps({"symbols": symbols}).encode())[0]


def without(filter_type: str) -> list[dict[str, Any]]:
    return [row for row in symbol()["filters"] if row["filterType"] != filter_type]


def test_parse_tolerates_filters_and_fields_invented_later() -> None:
    instrument = parse(symbol(newField=[1]))["AAAUSDT"]
    assert instrument.market_step_size == instrument.step_size == Decimal(1)


def test_parse_unknown_status_blocks_instead_of_failing() -> None:
    assert parse(symbol(status="FROZEN_SOLID"))["AAAUSDT"].status is SymbolStatus.UNKNOWN


@pytest.mark.parametrize("name", ["PRICE_FILTER", "LOT_SIZE", "MIN_NOTIONAL", "PERCENT_PRICE"])
def test_parse_leaves_a_contract_without_a_needed_filter_out_and_keeps_the_others(name: str) -> None:
    broken = symbol(symbol="BROKEN", filters=without(name))
    assert list(parse(broken, symbol())) == ["AAAUSDT"]


def test_parse_ignores_delivery_contracts() -> None:
    assert parse(symbol(contractType="CURRENT_QUARTER")) == {}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"symbols": 3}', b'{"symbols": [1]}'])
def test_parse_of_something_else_raises(body: bytes) -> None:
    with pytest.raises(WireError):
        parse_exchange_info(body)


def test_rate_limits_that_are_not_stated_keep_the_documented_values() -> None:
    _, limits = parse_exchange_info(b'{"symbols": []}')
    assert limits == RateLimits()


def test_cache_reports_what_came_went_and_changed() -> None:
    cache = InstrumentCache()
    one, two = parse(symbol(symbol="ONE")), parse(symbol(symbol="TWO"))
    assert cache.replace(one | two) == ("ONE", "TWO")
    assert cache.replace(one | two) == ()
    halted = parse(symbol(symbol="TWO", status="SETTLING"))
    three = parse(symbol(symbol="THREE"))
    assert cache.replace(halted | three) == ("ONE", "THREE", "TWO")
    assert set(cache.instruments()) == {"TWO", "THREE"}
