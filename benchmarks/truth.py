"""What the trader wrote, held against what the exchange did: its klines by REST and its journal.

Read with plain SQL and plain JSON, so that a mistake of the trader's own mapping would show.
"""

from __future__ import annotations

import sqlite3
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

MINUTE_MS = 60_000
PAGE = 499
"""Costs two weight; a thousand cost five."""
_CANDLE = "open, high, low, close, volume, quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume"
_FIELDS = (1, 2, 3, 4, 5, 7, 8, 9, 10)
_FINAL = ("FILLED", "CANCELED", "EXPIRED", "REJECTED")


@dataclass(frozen=True, slots=True)
class Compared:
    """How many there were on the exchange, and which of them the database lacks or has otherwise."""

    expected: int
    wrong: tuple[str, ...]

    def text(self, name: str) -> str:
        shown = ", ".join(self.wrong[:3])
        return f"{name}: {self.expected} at the exchange, {len(self.wrong)} lost or different{shown and ': ' + shown}"


class Books:
    """A trader's database, read only."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def close(self) -> None:
        self._connection.close()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()


def compare_candles(books: Books, rest_url: str, first_ms: int, last_ms: int) -> Compared:
    """Every 1m candle that opened from `first_ms` to `last_ms`, of every symbol, field by field."""
    symbols = [row["symbol"] for row in _get(rest_url, "/fapi/v1/exchangeInfo")["symbols"]]
    expected, wrong = 0, []
    for symbol in symbols:
        found = {
            row[0]: tuple(Decimal(value) for value in row[1:])
            for row in books.rows(
                f"SELECT open_time, {_CANDLE} FROM candles_1m WHERE symbol = ? AND open_time BETWEEN ? AND ?",
                symbol,
                first_ms,
                last_ms,
            )
        }
        for row in _klines(rest_url, symbol, first_ms, last_ms):
            expected += 1
            if found.get(row[0]) != tuple(Decimal(row[index]) for index in _FIELDS):
                wrong.append(f"{symbol} at {row[0]}")
    return Compared(expected, tuple(wrong))


def compare_fills(books: Books, journal: Path, until_ms: int) -> Compared:
    """Every trade of the account up to `until_ms` of the market, and no fill that never was."""
    columns = "symbol, trade_id, venue_order_id, side, price, quantity, fee, realized_pnl"
    sql = f"SELECT {columns}, correction FROM fills"
    found = {row[:2]: (row[2], row[3], *map(Decimal, row[4:8]), row[8]) for row in books.rows(sql)}
    trades = _changes(journal, "trade")
    wrong = [f"{symbol} fill {number} never was" for symbol, number in found if str(number) not in trades]
    expected = 0
    for trade in trades.values():
        if trade["time_ms"] > until_ms:
            continue
        expected += 1
        numbers = (Decimal(trade[name]) for name in ("price", "quantity", "commission", "realised_pnl"))
        if found.get((trade["symbol"], trade["trade_id"])) != (trade["order_id"], trade["side"], *numbers, 0):
            wrong.append(f"{trade['symbol']} trade {trade['trade_id']}")
    return Compared(expected, tuple(wrong))


def compare_orders(books: Books, journal: Path, until_ms: int) -> Compared:
    """Every order of ours that ended by `until_ms` of the market: how it ended, and what of it was filled.

    A conditional order's end is compared too. What became of orders is told by user events, so a lost one shows here.
    """
    sql = "SELECT client_order_id, status, filled_quantity FROM orders"
    found = {row[0]: (row[1], Decimal(row[2])) for row in books.rows(sql)}
    expected, wrong = 0, []
    for order in _changes(journal, "order").values():
        if order["status"] not in _FINAL or order["update_time_ms"] > until_ms or order["algo_id"]:
            continue
        expected += 1
        if found.get(order["client_order_id"]) != (order["status"], Decimal(order["executed_quantity"])):
            wrong.append(f"{order['symbol']} {order['client_order_id']} {order['status']}")
    for algo in _changes(journal, "algo").values():
        if algo["status"] not in (*_FINAL, "FINISHED") or algo["update_time_ms"] > until_ms:
            continue
        expected += 1
        status = found.get(algo["client_algo_id"], ("missing", Decimal(0)))[0]
        # A triggered order that finished is known to us by what its market order did.
        if status != algo["status"] and (status, algo["status"]) not in {("FILLED", "FINISHED")}:
            wrong.append(f"{algo['symbol']} {algo['client_algo_id']} {algo['status']}, here {status}")
    return Compared(expected, tuple(wrong))


def close_to_match_ms(books: Books) -> list[int]:
    """Market time from the event that closed a candle to the first fill of its entry: both clocks are the exchange's.

    At speed 1 these are milliseconds of the whole way: encoding, both sockets, decision, commit, matching.
    """
    return sorted(
        row[0]
        for row in books.rows(
            "SELECT MIN(f.event_time) - s.event_time FROM signals s JOIN intents i ON i.signal_id = s.signal_id "
            "JOIN fills f ON f.intent_id = i.intent_id AND f.leg = 'E' GROUP BY s.signal_id"
        )
    )


def _changes(journal: Path, kind: str) -> dict[str, dict[str, Any]]:
    """Return the newest state of every row of a kind, by its key; rows that the exchange dropped later included."""
    found: dict[str, dict[str, Any]] = {}
    with journal.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break
            for row_kind, key, value in orjson.loads(line).get("c", ()):
                if row_kind == kind and value is not None:
                    found[key] = value
    return found


def _klines(rest_url: str, symbol: str, first_ms: int, last_ms: int) -> list[list[Any]]:
    rows: list[list[Any]] = []
    while first_ms <= last_ms:
        query = f"symbol={symbol}&interval=1m&startTime={first_ms}&endTime={last_ms}&limit={PAGE}"
        page = _get(rest_url, f"/fapi/v1/klines?{query}")
        if not page:
            break
        rows += page
        first_ms = page[-1][0] + MINUTE_MS
    return rows


def _get(rest_url: str, path: str) -> Any:
    while True:
        try:
            with urllib.request.urlopen(rest_url + path, timeout=30) as answer:
                return orjson.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise
            time.sleep(float(error.headers.get("Retry-After", "5")))
