"""Column types that give back exactly what they were given, on SQLite and on PostgreSQL.

SQLite has neither decimals (a NUMERIC column stores a float: 0.1 comes back as 0.1000000000000000056) nor times with a
zone, and says nothing about either loss.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

from sqlalchemy import BigInteger, Dialect, Numeric, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from utils.timefmt import to_datetime, to_ms

_EXACT = Context(prec=200)
"""Wide enough that no sum of real amounts is ever rounded (the default context keeps 28 digits)."""


def _money_checked(value: Decimal | None) -> Decimal | None:
    if value is None:
        return None
    if not isinstance(value, Decimal):
        raise TypeError(f"money must be a Decimal, not {type(value).__name__} {value!r}")
    if not value.is_finite():
        raise ValueError(f"money must be finite, not {value}")
    return value


def _money_as_text(value: Decimal | None) -> str | None:
    if not isinstance(value, Decimal) or not value.is_finite():
        _money_checked(value)
        return None
    text = str(value)  # half the price of formatting, which only an exponent makes necessary
    return format(value, "f") if "E" in text else text


def _moment_as_ms(value: int | datetime | None) -> int | None:
    return to_ms(value) if isinstance(value, datetime) else value


def _moment_as_datetime(value: int | datetime | None) -> datetime | None:
    return to_datetime(value) if isinstance(value, int) else value


class Money(TypeDecorator[Decimal]):
    """A finite `Decimal`: plain decimal text on SQLite, unconstrained NUMERIC on PostgreSQL.

    Raises TypeError for a float or int (a float would already have lost digits) and ValueError for NaN and infinity.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Numeric())

    def bind_processor(self, dialect: Dialect) -> Callable[[Decimal | None], Any]:
        return _money_as_text if dialect.name == "sqlite" else _money_checked

    def process_result_value(self, value: str | Decimal | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


class UtcTime(TypeDecorator[datetime]):
    """A UTC moment with millisecond resolution: INTEGER milliseconds on SQLite, TIMESTAMPTZ on PostgreSQL.

    Takes UTC epoch milliseconds (what the domain speaks) or an aware datetime; always gives back an aware datetime.
    """

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else TIMESTAMP(timezone=True))

    def bind_processor(self, dialect: Dialect) -> Callable[[int | datetime | None], Any]:
        return _moment_as_ms if dialect.name == "sqlite" else _moment_as_datetime

    def process_result_value(self, value: int | datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return to_datetime(value) if isinstance(value, int) else value.astimezone(UTC)


class exact_sum(FunctionElement[Decimal]):
    """Σ of a `Money` column without rounding, zero for no rows.

    PostgreSQL sums NUMERIC exactly by itself; SQLite would sum text as floats, so its connections carry an aggregate
    of our own (`DecimalSum`, registered in `database/engine.py`).
    """

    type = Money()
    inherit_cache = True


@compiles(exact_sum, "sqlite")
def _sum_on_sqlite(element: exact_sum, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f"coalesce(decimal_sum({compiler.process(element.clauses, **kwargs)}), '0')"


@compiles(exact_sum)
def _sum_elsewhere(element: exact_sum, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f"coalesce(sum({compiler.process(element.clauses, **kwargs)}), 0)"


class epoch_ms(FunctionElement[int]):
    """A `UtcTime` column as an integer of UTC epoch milliseconds, for arithmetic in SQL."""

    type = BigInteger()
    inherit_cache = True


@compiles(epoch_ms, "sqlite")
def _epoch_ms_on_sqlite(element: epoch_ms, compiler: SQLCompiler, **kwargs: Any) -> str:
    return compiler.process(element.clauses, **kwargs)


@compiles(epoch_ms)
def _epoch_ms_elsewhere(element: epoch_ms, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f"cast(extract(epoch from {compiler.process(element.clauses, **kwargs)}) * 1000 as bigint)"


class DecimalSum:
    """SQLite aggregate behind `exact_sum`: adds decimal text, returns decimal text."""

    def __init__(self) -> None:
        self._total = Decimal(0)

    def step(self, value: str | None) -> None:
        if value is not None:
            self._total = _EXACT.add(self._total, Decimal(value))

    def finalize(self) -> str:
        return format(self._total, "f")
