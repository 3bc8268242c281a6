"""Writes down under which limits, parameters and contracts is traded, at the start and at each change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from backtest.conditions import Conditions, Contract, digest_of, parameters_of
from core.instrument import Instrument
from core.limits import TradingConfig
from core.records import ConditionsRecord
from database.database import Database
from executor.setup import SetupReport
from strategies.loader import StrategyBook


class ConditionsLog:
    """One row a change: what a start or an edit leaves as it was is not written again."""

    def __init__(
        self,
        database: Database,
        code_version: str,
        config: TradingConfig,
        book: StrategyBook,
        contracts: Mapping[str, Contract],
    ) -> None:
        self._writer = database.writer
        self._code_version = code_version
        self._config = config
        self._book = book
        self._contracts = contracts
        newest = database.repository.newest_conditions()
        self._digest = None if newest is None else newest.digest

    def note(self, time_ms: int) -> None:
        """Write the conditions of `time_ms` (venue time) if they are others than before."""
        limits = {name: self._book.limits(limits) for name, limits in self._config.symbols.items()}
        config = replace(self._config, symbols=limits)
        text = Conditions(self._code_version, config, parameters_of(self._book), self._contracts).text()
        digest = digest_of(text)
        if digest != self._digest:
            self._digest = digest
            self._writer.submit([ConditionsRecord(time_ms, digest, text)])


def contracts_of(instruments: Mapping[str, Instrument], setup: SetupReport) -> dict[str, Contract]:
    """Return the contracts of the symbols that are traded, as the venue tells them."""
    return {
        symbol: Contract(instruments[symbol], found.brackets, found.maker_fee_rate, found.taker_fee_rate)
        for symbol, found in setup.symbols.items()
        if symbol in instruments
    }
