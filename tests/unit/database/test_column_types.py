"""Money and moments survive the database unchanged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select
from sqlalchemy.exc import StatementError

from database.column_types import Money, UtcTime, epoch_ms, exact_sum
from database.engine import parse_url, writing_engine
from utils.timefmt import to_datetime, to_ms

TABLE = Table("t", MetaData(), Column("id", Integer, primary_key=True), Column("m", Money), Column("t", UtcTime))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = writing_engine(parse_url(f"sqlite:///{tmp_path_factory.mktemp('types') / 't.db'}"))
    TABLE.metadata.create_all(engine)
    yield engine
    engine.dispose()


def stored(engine, **values):
    with engine.connect() as connection, connection.begin() as transaction:
        connection.execute(insert(TABLE).values(id=1, **values))
        row = connection.execute(select(TABLE)).mappings().one()
        transaction.rollback()
    return row


@settings(max_examples=50, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=None))
def test_money_any_finite_decimal_reads_back_equal(engine, value):
    assert stored(engine, m=value)["m"] == value


@pytest.mark.parametrize("text", ["0.1", "1E-18", "12345678901234567890.123456789012345678", "-0.00000001", "1E+5"])
def test_money_values_that_floats_lose_read_back_equal(engine, text):
    assert stored(engine, m=Decimal(text))["m"] == Decimal(text)


@pytest.mark.parametrize("value", [0.1, 1, "1"])
def test_money_other_than_decimal_is_refused(engine, value):
    with pytest.raises(StatementError, match="must be a Decimal"):
        stored(engine, m=value)


@pytest.mark.parametrize("text", ["NaN", "Infinity"])
def test_money_not_finite_is_refused(engine, text):
    with pytest.raises(StatementError, match="must be finite"):
        stored(engine, m=Decimal(text))


def test_exact_sum_beyond_float_and_default_precision_is_exact(engine):
    values = [Decimal("0.1"), Decimal("0.2"), Decimal("12345678901234567890123.000000000000000001")]
    with engine.connect() as connection, connection.begin() as transaction:
        connection.execute(insert(TABLE), [{"m": value} for value in values])
        total = connection.execute(select(exact_sum(TABLE.c.m))).scalar_one()
        transaction.rollback()
    assert total == Decimal("12345678901234567890123.300000000000000001")


def test_exact_sum_of_no_rows_is_zero(engine):
    with engine.connect() as connection:
        assert connection.execute(select(exact_sum(TABLE.c.m))).scalar_one() == Decimal(0)


@settings(max_examples=50, deadline=None)
@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_moment_every_millisecond_reads_back_equal_and_in_utc(engine, time_ms):
    moment = stored(engine, t=time_ms)["t"]
    assert to_ms(moment) == time_ms
    assert moment.tzinfo is UTC


def test_moment_of_another_zone_reads_back_as_the_same_instant(engine):
    moment = datetime(2025, 5, 1, 2, 0, tzinfo=timezone(timedelta(hours=2)))
    assert stored(engine, t=moment)["t"] == datetime(2025, 5, 1, tzinfo=UTC)


def test_moment_without_zone_is_refused(engine):
    with pytest.raises(StatementError, match="has no zone"):
        stored(engine, t=datetime(2025, 5, 1))  # noqa: DTZ001 - the point of the test


def test_epoch_ms_gives_the_integer(engine):
    with engine.connect() as connection, connection.begin() as transaction:
        connection.execute(insert(TABLE).values(t=to_datetime(1_746_057_600_123)))
        assert connection.execute(select(epoch_ms(TABLE.c.t))).scalar_one() == 1_746_057_600_123
        transaction.rollback()


def test_plain_numeric_on_sqlite_loses_what_money_keeps(tmp_path: Path):
    """The reason for the type: were it gone, this is what would be stored."""
    engine = create_engine(f"sqlite:///{tmp_path / 'f.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("create table f (m numeric)")
        connection.exec_driver_sql("insert into f values ('12345678901234567890.123456789')")
        assert connection.exec_driver_sql("select m from f").scalar_one() != Decimal("12345678901234567890.123456789")
    engine.dispose()
