"""Requests of people to the running trader, one process enqueuing and another taking: `core.ports.OperatorRequests`.

A request is `new`, then `running` with its progress as result, then `done` or `failed`. Calls block: run them in a
thread.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, Select, insert, select, update
from sqlalchemy.exc import DBAPIError

from core.errors import RuntimeFailure
from core.ports import OperatorRequest
from database.engine import describe
from database.tables import CommandRow, table_of
from database.writer import DatabaseWriter
from utils.timefmt import to_ms

CALL_TIMEOUT_S = 30.0
_COMMANDS = table_of(CommandRow)
_OPEN = select(_COMMANDS).where(_COMMANDS.c.state.in_(("new", "running"))).order_by(_COMMANDS.c.id)
"""Asked twice a second: built once."""


class RequestQueue:
    """Reads on a session of its own, changes through this process's writer."""

    def __init__(self, reading: Engine, writer: DatabaseWriter) -> None:
        self._reading = reading
        self._writer = writer

    def enqueue(self, kind: str, symbol: str | None, issuer: str, now_ms: int) -> int:
        """Add a request and return its id. Raises PersistenceError."""
        values = {
            "kind": kind,
            "symbol": symbol,
            "arguments": "",
            "issuer": issuer,
            "issued_time": now_ms,
            "state": "new",
            "result": "",
        }

        def add(connection: Connection) -> int:
            row: Any = connection.execute(insert(_COMMANDS).returning(_COMMANDS.c.id), values).scalar_one()
            return int(row)

        return self._writer.call(add).result(CALL_TIMEOUT_S)

    def unfinished(self) -> list[OperatorRequest]:
        """Return what is not finished, oldest first. Raises RuntimeFailure."""
        return [_request(row) for row in self._read(_OPEN)]

    def get(self, request_id: int) -> OperatorRequest:
        (row,) = self._read(select(_COMMANDS).where(_COMMANDS.c.id == request_id))
        return _request(row)

    def report(self, request_id: int, state: str, result: str, now_ms: int) -> None:
        """Tell how far a request is. Raises PersistenceError."""
        statement = update(_COMMANDS).where(_COMMANDS.c.id == request_id)
        values = {"state": state, "result": result, "handled_time": now_ms}

        def change(connection: Connection) -> None:
            connection.execute(statement.values(**values))

        self._writer.call(change).result(CALL_TIMEOUT_S)

    def _read(self, statement: Select[Any]) -> list[Any]:
        """Run a query; a database that cannot be read is a RuntimeFailure of one line."""
        try:
            with self._reading.connect() as connection:
                return list(connection.execute(statement).mappings())
        except DBAPIError as error:
            raise RuntimeFailure(f"the requests of people cannot be read: {describe(error)}") from error


def _request(row: Any) -> OperatorRequest:
    return OperatorRequest(
        id=row["id"],
        kind=row["kind"],
        symbol=row["symbol"],
        issuer=row["issuer"],
        issued_time_ms=to_ms(row["issued_time"]),
        state=row["state"],
        result=row["result"],
    )
