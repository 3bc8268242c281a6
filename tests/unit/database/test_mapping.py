"""Every record has a table, and comes back from it as it went in."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

import pytest
from sqlalchemy import select

from core.enums import Leg
from core.records import (
    CandleRecord,
    DecisionRecord,
    FillOwnerRecord,
    PositionMarkRecord,
    Record,
    SignalRecord,
)
from database.database import Database
from database.mapping import (
    MAPPINGS,
    candle_from_row,
    from_row,
    mapping_of,
    signal_from_row,
    to_row,
    verdict_from_row,
)
from database.tables import PositionRow, table_of
from tests.unit.database import examples
from utils.timefmt import to_datetime


def test_mappings_cover_exactly_the_record_union():
    assert set(MAPPINGS) == set(get_args(Record))


def test_mapping_of_unknown_type_raises_with_what_to_do():
    with pytest.raises(TypeError, match=r"no table for records of type str; add it to database/mapping\.py"):
        mapping_of(str)


def read_back(database: Database, record):
    table = table_of(mapping_of(type(record)).table)
    with database._reading.connect() as connection:
        row = dict(connection.execute(select(table)).mappings().one())
    match record:
        case SignalRecord():
            return signal_from_row(row)
        case CandleRecord():
            return CandleRecord(candle_from_row(row))
        case DecisionRecord():
            return DecisionRecord(verdict_from_row(row))
        case _:
            return from_row(type(record), row)


@pytest.mark.parametrize(
    "record",
    [one for one in examples.ONE_OF_EACH if not isinstance(one, PositionMarkRecord | FillOwnerRecord)],
    ids=lambda record: type(record).__name__,
)
async def test_record_written_reads_back_equal(database: Database, record):
    await database.writer.commit([record])
    assert read_back(database, record) == record


@pytest.mark.parametrize("changes", [{"exit_reason": None}, {"entry_price": None, "opened_time_ms": None}])
async def test_record_with_absent_values_reads_back_equal(database: Database, changes):
    record = examples.position(**changes)
    await database.writer.commit([record])
    assert read_back(database, record) == record


async def test_mark_changes_only_the_valuation_and_survives_an_upsert(database: Database):
    await database.writer.commit([examples.mark(), examples.position()])  # the mark finds the new row
    await database.writer.commit([examples.position(quantity=Decimal("0.01"))])
    with database._reading.connect() as connection:
        row = connection.execute(select(table_of(PositionRow))).mappings().one()
    assert (row["quantity"], row["mark_price"], row["unrealized_pnl"]) == (
        Decimal("0.01"),
        examples.mark().mark_price,
        examples.mark().unrealized_pnl,
    )
    assert row["marked_time"] == to_datetime(examples.mark().marked_time_ms)


async def test_mark_of_an_unknown_position_writes_nothing(database: Database):
    await database.writer.commit([examples.mark(404)])
    assert database.repository.open_positions() == []


async def test_fill_owner_changes_only_whose_the_fill_is(database: Database):
    await database.writer.commit([examples.fill_owner(2), examples.fill(1), examples.fill(2)])  # finds the new row
    first, second = sorted(database.repository.fills(), key=lambda row: row.trade_id)
    assert first == examples.fill(1)
    assert second == examples.fill(2, client_order_id="", leg=None)
    await database.writer.commit([examples.fill_owner(2, "ft-1-1-X0", Leg.CLOSE), examples.fill(2)])
    (_, second) = sorted(database.repository.fills(), key=lambda row: row.trade_id)
    assert (second.client_order_id, second.leg) == ("ft-1-1-X0", Leg.CLOSE)


async def test_fill_of_no_trade_may_come_to_one_and_never_leaves_it(database: Database):
    nobodys = examples.fill(3, client_order_id="web_1", intent_id=None, leg=None, strategy="")
    await database.writer.commit([nobodys])
    owned = examples.fill(3, client_order_id="", leg=None, price=Decimal(1))
    await database.writer.commit([owned])
    (row,) = database.repository.fills()
    assert row == examples.fill(3, client_order_id="", leg=None), "whose it is changes, what it was does not"
    await database.writer.commit([nobodys, examples.fill(3, intent_id=9)])
    assert database.repository.fills() == [row]


def test_decision_numbers_keep_ten_digits():
    row = to_row(examples.decision(vwap=94210.123456789012))
    assert row["numbers"] == '{"vwap":94210.12346}'


def test_candle_of_another_interval_is_refused():
    record = examples.candle()
    five = CandleRecord(examples.made(record.candle, {"interval": "5m"}))
    with pytest.raises(ValueError, match="holds 1m candles, not 5m"):
        to_row(five)
