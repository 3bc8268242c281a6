"""Write statements: one upsert per record type, in the words of the database in use.

On SQLite the compiled text and ready values go to the driver directly: SQLAlchemy's own preparation of each row would
cost three times as much as SQLite's work on it. Rows of one table go many to a statement: the driver lets go of the
interpreter's lock at every statement, and while the event loop is busy each time of getting it back takes longer than
writing the row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table, bindparam, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import UpdateBase

from core.records import Record
from database.mapping import MAPPINGS, MARK_COLUMNS, OnConflict, Row, TableMapping, mapping_of
from database.tables import table_of

_SOUGHT = "sought_"
"""SQLAlchemy wants another name for a parameter that compares than for the column that it compares with."""

_ROWS_A_STATEMENT = (32, 8)
"""As many rows as fit go together: few sizes, so that the driver keeps each text prepared, and below 999 values, which
an old SQLite takes at most."""
_ONE_ROW = re.compile(r"VALUES (\((?:\?, )*\?\))")

_Binder = Callable[[Any], Any] | None


@dataclass(slots=True)
class _Write:
    """One record type's statement, and once its first row was seen the driver's text and value converters."""

    table: Table
    statement: UpdateBase
    to_row: Callable[[Any], Row]
    driver_sql: str = ""
    driver_sql_of: dict[int, str] = field(default_factory=dict)
    """The same for several rows at once, by how many; empty where a statement takes one row only."""
    binders: tuple[tuple[str, _Binder], ...] = ()


class RecordStatements:
    """Prepared writes for one dialect ("sqlite" or "postgresql")."""

    def __init__(self, dialect_name: str) -> None:
        self._writes = {kind: _write(mapping, dialect_name) for kind, mapping in MAPPINGS.items()}

    def execute(self, connection: Connection, records: Sequence[Record]) -> None:
        """Write records inside the caller's transaction: table by table, the records of a table in their order.

        Tables do not refer to one another, so only the order within a table matters (the later upsert wins, and what
        only changes a row comes after the rows that are new with it).
        """
        batches: dict[type[Any], list[Record]] = {}
        for record in records:
            batches.setdefault(type(record), []).append(record)
        for kind, batch in sorted(batches.items(), key=_changes_only):
            write = self._writes.get(kind)
            if write is None:
                mapping_of(kind)  # raises TypeError with what to do
            elif connection.dialect.name == "sqlite":
                _execute_directly(connection, write, batch)
            else:
                connection.execute(write.statement, [write.to_row(record) for record in batch])


def _changes_only(batch: tuple[type[Any], list[Record]]) -> bool:
    """What changes a row must find it, also where the row is new in the same batch."""
    mapping = MAPPINGS.get(batch[0])
    return mapping is not None and mapping.on_conflict is OnConflict.UPDATE_ONLY


def _execute_directly(connection: Connection, write: _Write, batch: Iterable[Record]) -> None:
    rows = [write.to_row(record) for record in batch]
    if not write.driver_sql:
        _compile(connection, write, rows[0])
    binders = write.binders
    values = [tuple([row[name] if bind is None else bind(row[name]) for name, bind in binders]) for row in rows]
    start = 0
    for size, text in write.driver_sql_of.items():
        while len(values) - start >= size:
            together = values[start : start + size]
            connection.exec_driver_sql(text, tuple(chain.from_iterable(together)))
            start += size
    if start < len(values):
        connection.exec_driver_sql(write.driver_sql, values[start:])


def _compile(connection: Connection, write: _Write, row: Row) -> None:
    compiled = write.statement.compile(dialect=connection.dialect, column_keys=list(row))
    columns = write.table.c
    write.binders = tuple(
        (name, columns[name.removeprefix(_SOUGHT)].type.bind_processor(connection.dialect))
        for name in compiled.positiontup or ()
    )
    write.driver_sql = text = str(compiled)
    if one_row := _ONE_ROW.search(text):
        for size in _ROWS_A_STATEMENT:
            rows = ", ".join([one_row[1]] * size)
            write.driver_sql_of[size] = f"{text[: one_row.start(1)]}{rows}{text[one_row.end(1) :]}"


def _write(mapping: TableMapping, dialect_name: str) -> _Write:
    table = table_of(mapping.table)
    if mapping.on_conflict is OnConflict.UPDATE_ONLY:
        return _Write(table, _update(table, mapping), lambda record: _sought_row(mapping, mapping.to_row(record)))
    insert = sqlite.insert(table) if dialect_name == "sqlite" else postgresql.insert(table)
    if mapping.on_conflict is OnConflict.KEEP:
        return _Write(table, insert.on_conflict_do_nothing(index_elements=mapping.key), mapping.to_row)
    if mapping.on_conflict is OnConflict.GAIN_OWNER:
        is_owner_new = table.c.intent_id.is_(None) & insert.excluded.intent_id.is_not(None)
        owner = {column: insert.excluded[column] for column in mapping.changes}
        gain = insert.on_conflict_do_update(index_elements=mapping.key, set_=owner, where=is_owner_new)
        return _Write(table, gain, mapping.to_row)
    kept = {*mapping.key, *MARK_COLUMNS}
    changed = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in kept}
    return _Write(table, insert.on_conflict_do_update(index_elements=mapping.key, set_=changed), mapping.to_row)


def _update(table: Table, mapping: TableMapping) -> UpdateBase:
    changes: dict[str, Any] = {column: bindparam(column) for column in mapping.changes}
    is_it = [table.c[column] == bindparam(_SOUGHT + column) for column in mapping.key]
    return update(table).where(*is_it).values(changes)


def _sought_row(mapping: TableMapping, row: Row) -> Row:
    for column in mapping.key:
        row[_SOUGHT + column] = row.pop(column)
    return row
