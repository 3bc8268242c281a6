"""Write statements: one upsert per record type, in the words of the database in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, bindparam, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import UpdateBase

from core.records import PositionMarkRecord, Record
from database.mapping import MAPPINGS, OnConflict, Row, TableMapping, mapping_of
from database.tables import table_of

MARK_COLUMNS = ("mark_price", "unrealized_pnl", "marked_time")
"""Columns of `positions` that belong to `PositionMarkRecord`: an upsert of the position leaves them alone."""


@dataclass(frozen=True, slots=True)
class _Write:
    statement: UpdateBase
    to_row: Callable[[Any], Row]


class RecordStatements:
    """Prepared writes for one dialect ("sqlite" or "postgresql")."""

    def __init__(self, dialect_name: str) -> None:
        self._writes = {kind: _write(mapping, dialect_name) for kind, mapping in MAPPINGS.items()}

    def execute(self, connection: Connection, records: Sequence[Record]) -> None:
        """Write records inside the caller's transaction: table by table, the records of a table in their order.

        Tables do not refer to one another, so only the order within a table matters (the later upsert wins).
        """
        batches: dict[type[Any], list[Row]] = {}
        for record in records:
            kind = type(record)
            write = self._writes.get(kind)
            if write is None:
                mapping_of(kind)  # raises TypeError with what to do
                continue
            batches.setdefault(kind, []).append(write.to_row(record))
        for kind, rows in sorted(batches.items(), key=_marks_last):
            connection.execute(self._writes[kind].statement, rows)


def _marks_last(batch: tuple[type[Any], list[Row]]) -> bool:
    """A valuation of a position that is new in the same batch must find its row."""
    return batch[0] is PositionMarkRecord


def _write(mapping: TableMapping, dialect_name: str) -> _Write:
    table = table_of(mapping.table)
    if mapping.on_conflict is OnConflict.UPDATE_ONLY:
        return _Write(_update_mark(table), lambda record: _mark_row(mapping.to_row(record)))
    insert = sqlite.insert(table) if dialect_name == "sqlite" else postgresql.insert(table)
    if mapping.on_conflict is OnConflict.KEEP:
        return _Write(insert.on_conflict_do_nothing(index_elements=mapping.key), mapping.to_row)
    kept = {*mapping.key, *MARK_COLUMNS}
    changed = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in kept}
    return _Write(insert.on_conflict_do_update(index_elements=mapping.key, set_=changed), mapping.to_row)


def _update_mark(table: Table) -> UpdateBase:
    marked: dict[str, Any] = {column: bindparam(column) for column in MARK_COLUMNS}
    return update(table).where(table.c.intent_id == bindparam("marked_intent_id")).values(marked)


def _mark_row(row: Row) -> Row:
    """SQLAlchemy wants another name for a parameter that compares than for the column that it compares with."""
    row["marked_intent_id"] = row.pop("intent_id")
    return row
