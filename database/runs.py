"""Stored backtests: adding one, and reading them back. Opened only for that; no writer thread, no lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import URL, Engine, Select, func, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from core.clock import Clock
from core.errors import ConfigurationError, RuntimeFailure
from database.engine import describe, parse_url, reading_engine, sqlite_path, writing_engine
from database.schema import explain, prepare
from database.tables import BacktestRunRow, MetaRow, table_of

_RUNS, _META = table_of(BacktestRunRow), table_of(MetaRow)


def add_run(url: str, run: BacktestRunRow, *, environment: str, clock: Clock) -> int:
    """Store a run and return its number.

    A database that is there keeps its environment; an absent one is made for `environment`, an older one is brought to
    this schema. Raises ConfigurationError or RuntimeFailure, in one line, where that cannot be.
    """
    parsed = parse_url(url)
    engine = writing_engine(parsed)
    try:
        stamp, has_runs = _state(parsed)
        if not has_runs:  # checking and migrating reads the whole file
            prepare(engine, parsed, stamp or environment, created_time_ms=clock.wall_ms(), backup=True)
        with engine.begin() as connection:
            added = connection.execute(insert(_RUNS).returning(_RUNS.c.id), run.model_dump(exclude={"id"}))
            return int(added.scalar_one())
    except DBAPIError as error:
        raise explain(error, parsed) from error
    finally:
        engine.dispose()


def _state(url: URL) -> tuple[str | None, bool]:
    """Return for which environment a database is (None: it is not there yet), and whether it can hold runs."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return None, False
    engine = reading_engine(url)
    try:
        with engine.connect() as connection:
            tables = inspect(connection).get_table_names()
            stamp = None
            if _META.name in tables:
                stamp = connection.execute(select(_META.c.value).where(_META.c.key == "environment")).scalar()
            return stamp, _RUNS.name in tables
    finally:
        engine.dispose()


class RunBook:
    """The runs of one database, for reading. Raises RuntimeFailure where there is no database that holds any."""

    def __init__(self, url: str) -> None:
        parsed = parse_url(url)
        path = sqlite_path(parsed)
        try:
            is_there = _state(parsed)[1]
        except DBAPIError as error:
            raise explain(error, parsed) from error
        if not is_there:
            where = "the database" if path is None else str(path)
            raise RuntimeFailure(f"{where} holds no backtests yet; `main.py backtest` stores each one that it runs")
        self._engine: Engine = reading_engine(parsed)

    def close(self) -> None:
        self._engine.dispose()

    def runs(self, strategy: str | None = None, symbol: str | None = None, limit: int = 50) -> list[BacktestRunRow]:
        """Runs with that strategy and symbol among others, newest first."""
        statement = select(_RUNS)
        for column, wanted in ((_RUNS.c.strategies, strategy), (_RUNS.c.symbols, symbol)):
            if wanted is not None:
                statement = statement.where(("," + column + ",").contains(f",{wanted},", autoescape=True))
        return self._rows(statement.order_by(_RUNS.c.id.desc()).limit(limit))

    def run(self, number: int) -> BacktestRunRow:
        """Return one run; raises ConfigurationError for a number that no run has."""
        found = self._rows(select(_RUNS).where(_RUNS.c.id == number))
        if not found:
            raise ConfigurationError(f"there is no backtest {number}; `main.py backtests` lists those that are stored")
        return found[0]

    def overwritten_by(self, run: BacktestRunRow) -> int | None:
        """Return the run that last wrote its report to the same place, None where this one did."""
        newest = select(func.max(_RUNS.c.id)).where(_RUNS.c.report == run.report, _RUNS.c.id > run.id)
        found = self._read(newest)[0][0]
        return None if found is None else int(found)

    def _rows(self, statement: Select[Any]) -> list[BacktestRunRow]:
        return [BacktestRunRow(**row._mapping) for row in self._read(statement)]

    def _read(self, statement: Select[Any]) -> Sequence[Any]:
        try:
            with self._engine.connect() as connection:
                return connection.execute(statement).all()
        except DBAPIError as error:
            raise RuntimeFailure(f"the database cannot be read: {describe(error)}") from error
