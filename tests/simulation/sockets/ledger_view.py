"""What a trader's database says, read beside it from the file; and triggers that catch what must never be written."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.enums import AlgoStatus, OrderStatus

_OVER = sorted({s.value for s in OrderStatus if s.is_terminal} | {s.value for s in AlgoStatus if s.is_terminal})
_OVER_LIST = ", ".join(f"'{status}'" for status in _OVER)
TRIGGERS = f"""
CREATE TABLE seen_wrong (text TEXT);
CREATE TRIGGER watch_orders BEFORE UPDATE ON orders
WHEN CAST(NEW.filled_quantity AS REAL) < CAST(OLD.filled_quantity AS REAL)
  OR (OLD.status IN ({_OVER_LIST}) AND NEW.status != OLD.status)
BEGIN INSERT INTO seen_wrong VALUES ('I-12 ' || OLD.client_order_id || ' from ' || OLD.status || ' '
  || OLD.filled_quantity || ' to ' || NEW.status || ' ' || NEW.filled_quantity); END;
CREATE TRIGGER watch_intents BEFORE UPDATE ON intents
WHEN OLD.state IN ('closed', 'refused') AND NEW.state != OLD.state
BEGIN INSERT INTO seen_wrong VALUES ('I-12 intent ' || OLD.intent_id || ' from ' || OLD.state || ' to ' || NEW.state);
END;
CREATE TRIGGER watch_doubt BEFORE UPDATE ON intents
WHEN OLD.state = 'in_doubt' AND NEW.state = 'refused' AND NEW.evidence = ''
BEGIN INSERT INTO seen_wrong VALUES ('I-13 intent ' || OLD.intent_id || ' left its doubt without evidence'); END;
CREATE TRIGGER watch_fills BEFORE UPDATE ON fills
WHEN OLD.correction = 0 AND (NEW.quantity != OLD.quantity OR NEW.price != OLD.price OR NEW.side != OLD.side)
BEGIN INSERT INTO seen_wrong VALUES ('I-10 trade ' || OLD.trade_id || ' was booked anew'); END;
"""
OVER_ROWS = {
    "intents": "SELECT intent_id, symbol, quantity, client_order_id, state FROM intents"
    " WHERE state IN ('closed', 'refused')",
    "orders": "SELECT client_order_id, symbol, side, status, filled_quantity FROM orders"
    f" WHERE status IN ({_OVER_LIST})",
    "fills": "SELECT symbol, trade_id, client_order_id, quantity, price, fee, realized_pnl FROM fills"
    " WHERE NOT correction",
    "positions": "SELECT intent_id, symbol, quantity, entry_price, exit_price, realized_pnl, fees, funding"
    " FROM positions WHERE state = 'closed'",
    "income": "SELECT transaction_id, income_type, symbol, amount FROM income",
}
"""What is over, by table: no restart may change it."""


class LedgerView:
    """Reads committed rows only: the file is opened read-only, beside the trader's own connections."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._connection: sqlite3.Connection | None = None
        self._written_wrong = 0

    def prepare(self) -> None:
        """Add the triggers to a database that has its tables."""
        with sqlite3.connect(self.file) as connection:
            connection.executescript(TRIGGERS)
        connection.close()

    @property
    def exists(self) -> bool:
        return self._connection is not None or self.file.exists()

    def rows(self, sql: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        if self._connection is None:
            self._connection = sqlite3.connect(f"{self.file.as_uri()}?mode=ro", uri=True, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
        return self._connection.execute(sql, tuple(values)).fetchall()

    def has_order(self, client_id: str) -> bool:
        return bool(self.rows("SELECT 1 FROM orders WHERE client_order_id = ?", (client_id,)))

    def intent(self, intent_id: int) -> sqlite3.Row | None:
        found = self.rows("SELECT * FROM intents WHERE intent_id = ?", (intent_id,))
        return found[0] if found else None

    def halted(self) -> set[tuple[str, str]]:
        """Return (scope, reason) of the halts without an end that hold."""
        sql = "SELECT scope, reason FROM halts WHERE active AND until_time IS NULL"
        return {(row["scope"], row["reason"]) for row in self.rows(sql)}

    def in_doubt(self) -> set[tuple[str, int]]:
        """Return (symbol, intent) of the entries whose outcome is unknown."""
        sql = "SELECT symbol, intent_id FROM intents WHERE state = 'in_doubt'"
        return {(row["symbol"], row["intent_id"]) for row in self.rows(sql)}

    def take_wrong(self) -> list[str]:
        """Return what the triggers have caught since the last call."""
        found = [str(row["text"]) for row in self.rows("SELECT text FROM seen_wrong ORDER BY rowid")]
        fresh, self._written_wrong = found[self._written_wrong :], len(found)
        return fresh

    def positions(self) -> dict[str, Decimal]:
        """Return what the open trades hold, signed, by symbol."""
        held: dict[str, Decimal] = defaultdict(Decimal)
        for row in self.rows("SELECT symbol, direction, quantity FROM positions"):
            sign = 1 if row["direction"].lower() == "long" else -1
            held[row["symbol"]] += sign * Decimal(row["quantity"])
        return {symbol: quantity for symbol, quantity in held.items() if quantity}

    def open_orders(self) -> set[str]:
        """Return the client ids of the orders that rest at the venue according to the rows."""
        gone = f"{_OVER_LIST}, 'REFUSED', 'ABSENT'"  # words of our own: the venue never had it
        sql = f"SELECT client_order_id FROM orders WHERE status NOT IN ({gone})"
        return {row["client_order_id"] for row in self.rows(sql)}

    def over(self) -> set[tuple[Any, ...]]:
        """Return all rows that nothing may change any more, each with the name of its table."""
        return {(table, *tuple(row)) for table, sql in OVER_ROWS.items() for row in self.rows(sql)}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
