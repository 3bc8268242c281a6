"""Column types that give back exactly what they were given, on SQLite and on PostgreSQL.

SQLite has neither decimals (a NUMERIC column stores a float: 0.1 comes back as 0.1000000000000000056) nor times with a
zone, and says nothing about either loss.
"""

from __future__ import annotations

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


class Money(TypeDecorator[Decimal]):
    """A finite `Decimal`: plain decimal text on SQLite, unconstrained NUMERIC on PostgreSQL.

    Raises TypeError for a float or int (a float would already have lost digits) and ValueError for NaN and infinity.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Numeric())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | Decimal | None:
        if value is None:
            return None
        if not isinstance(value, Decimal):
            raise TypeError(f"money must be a Decimal, not {type(value).__name__} {value!r}")
        if not value.is_finite():
            raise ValueError(f"money must be finite, not {value}")
        return format(value, "f") if dialect.name == "sqlite" else value

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

    def process_bind_param(self, value: int | datetime | None, dialect: Dialect) -> int | datetime | None:
        if value is None:
            return None
        if dialect.name == "sqlite":
            return value if isinstance(value, int) else to_ms(value)
        return to_datetime(value) if isinstance(value, int) else value

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
