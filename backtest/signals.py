"""Where a strategy wants to enter: decided over columns at once, turned into a signal only where one is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from backtest.candles import ReplayCandles
from core.candle import DAY_MS, INTERVAL_MS
from core.signal import Signal, signal_id_for
from strategies.aggregate import aggregate_columns
from strategies.base import SIGNAL, CandleColumns, Entry, GatedStrategy, Values
from strategies.evaluate import decide_columns, decide_some, value_at
from strategies.loader import ActiveStrategy
from strategies.memory import ColumnMemory

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decisions of one strategy on one symbol.

    `indices` are the minutes at whose close it signals, ascending; `rows` the candles of its own interval that they
    belong to. `gates` counts all decisions by the first gate that refused.
    """

    active: ActiveStrategy
    candles: ReplayCandles
    indices: IntArray
    rows: IntArray
    gates: Mapping[str, int]
    values: Values | None
    entries: Mapping[int, Entry]
    strategy: GatedStrategy | None
    open_time: IntArray

    def entry(self, number: int) -> Entry | None:
        """Return the decision behind signal `number`, as a live decision on the same candle would be."""
        row = self.rows.item(number)
        if self.strategy is None or self.values is None:
            return self.entries[row]
        decision = self.strategy.decide(value_at(self.values, row))
        return decision if isinstance(decision, Entry) else None

    def signal(self, number: int, *, explains: bool = True) -> Signal:
        """Return signal `number` as it reaches the executor at the close of its candle; without `explains` it gives no
        reason, for a run that writes none down."""
        entry = self.entry(number)
        assert entry is not None
        index, row = self.indices.item(number), self.rows.item(number)
        candles, params = self.candles, self.active.params
        open_time_ms = self.open_time.item(row)
        close_ms = candles.open_time.item(index) + 59_999
        return Signal(
            signal_id_for(self.active.name, candles.symbol, params.interval, open_time_ms),
            self.active.name,
            candles.symbol,
            params.interval,
            entry.direction,
            open_time_ms,
            candles.price(candles.close.item(index)),
            entry.exits,
            close_ms,
            close_ms,
            entry.reason if explains else "",
            max_holding_ms=params.max_holding_ms,
        )


def decide(
    active: ActiveStrategy,
    candles: ReplayCandles,
    *,
    warmup: int | None = None,
    start_ms: int | None = None,
    memory: ColumnMemory | None = None,
) -> Decisions:
    """Decide on every candle. Signals count from `start_ms` on, and only once the strategy knows enough.

    `warmup` is the number of candles before the first one that may signal; without it the strategy's own history
    counts, and where that is anchored to the UTC day, the first day that the candles hold from its start. `memory`
    belongs to these candles.
    """
    strategy = active.make()
    columns, last_minute = own_interval(candles, active.params.interval)
    over = None if memory is None else partial(memory.over, (candles.symbol, active.params.interval))
    history = strategy.history(strategy.indicators())
    needed = history.candles if warmup is None else warmup + 1
    usable = np.ones(len(columns), dtype=bool)
    if warmup is None and history.day_anchored and len(columns):
        first = int(columns.open_time[0])
        usable &= columns.open_time >= first + -first % DAY_MS
    if start_ms is not None:
        usable &= columns.open_time >= start_ms
    if isinstance(strategy, GatedStrategy):
        found = decide_columns(strategy, columns, needed, over)
        rows = np.flatnonzero((found.sides != 0) & usable)
        counts = [np.count_nonzero((found.refused_by == index) & usable) for index in range(len(found.gate_names))]
        gates = {name: int(count) for name, count in zip(found.gate_names, counts, strict=True) if count}
        return Decisions(
            active, candles, last_minute[rows], rows, {**gates, SIGNAL: len(rows)}, found.values, {}, strategy,
            columns.open_time,
        )  # fmt: skip
    entries: dict[int, Entry] = {}
    refused: Counter[str] = Counter()
    for index, decision in decide_some(strategy, columns, needed, over):
        if not isinstance(decision, Entry):
            refused[decision.gate] += 1
        elif usable[index]:
            entries[index] = decision
    rows = np.fromiter(entries, dtype=np.int64, count=len(entries))
    return Decisions(
        active, candles, last_minute[rows], rows, {**refused, SIGNAL: len(rows)}, None, entries, None,
        columns.open_time,
    )  # fmt: skip


def own_interval(candles: ReplayCandles, interval: str) -> tuple[CandleColumns, IntArray]:
    """Return the candles of `interval` and the minute whose close ends each: after a hole at its end, the next one."""
    minutes = candles.columns
    if interval == "1m":
        return minutes, np.arange(len(minutes), dtype=np.int64)
    columns = aggregate_columns(minutes, interval)
    last_minutes = columns.open_time + (INTERVAL_MS[interval] - INTERVAL_MS["1m"])
    return columns, np.searchsorted(minutes.open_time, last_minutes).astype(np.int64)
