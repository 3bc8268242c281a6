"""What a replay counts of all that the core writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from backtest.lane import Lane
from backtest.trades import BacktestTrade
from core.records import (
    AlertRecord,
    DenialRecord,
    IncomeRecord,
    PositionRecord,
    Record,
    SignalRecord,
    SignalStatus,
)
from executor.income import FUNDING

COUNTED = frozenset({PositionRecord, DenialRecord, SignalRecord, IncomeRecord})
"""The kinds of rows that `Tally.take` looks at."""


@dataclass(slots=True)
class Tally:
    """Finished trades, denials by code, alerts; how many signals were seen and skipped, how many exits finer candles
    told apart."""

    signals: int = 0
    skipped: int = 0
    finer: int = 0
    denials: Counter[str] = field(default_factory=Counter)
    alerts: list[AlertRecord] = field(default_factory=list)
    trades: list[BacktestTrade] = field(default_factory=list)

    def take(self, record: Record, lanes: Mapping[str, Lane]) -> None:
        """Count one row; `lanes` by symbol hold the trades that it belongs to."""
        if isinstance(record, PositionRecord):
            self.trades.append(lanes[record.symbol].finish(record))
        elif isinstance(record, DenialRecord):
            self.denials[record.code] += 1
        elif isinstance(record, SignalRecord) and record.status is SignalStatus.REFUSED:
            self.denials[f"refused by the venue: {record.denial_code}"] += 1
        elif isinstance(record, IncomeRecord) and record.income_type == FUNDING:
            trade = lanes[record.symbol].trade
            if trade is not None:
                trade.funding += record.amount
